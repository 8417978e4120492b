"""Twenty kills each, at random moments, of training, preparation and a sweep: nothing lost, nothing half-written.

With TILES_ECG_CRASH_LOG=FILE every kill is written down; `experiments/crash-test` holds one such log.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tiles_ecg.run_record import read_status

N_KILLS = int(os.environ.get("TILES_ECG_CRASH_KILLS", "20"))
SEED = int(os.environ.get("TILES_ECG_CRASH_SEED", "0"))
TRAINING = (
    "dataset.batch_size=16",
    "dataset.val_share=0.34",
    "encoder.widths=[8,16]",
    "encoder.strides=[2,4]",
    "encoder.embedding_dim=32",
    "trainer.accelerator=cpu",
    "trainer.max_steps=60",
    "trainer.val_check_interval=8",
    "trainer.log_every_n_steps=1",
    "callback.checkpoint.every_n_train_steps=3",
    "callback.online_probe.n_windows=40",
    "logger=default",
    "logger.wandb=null",
)
COHORT = ("reader=synthetic", "reader.n_subjects=8", "reader.sessions_per_subject=2", "reader.session_h=1", "n_jobs=2")

pytestmark = pytest.mark.slow


class Zygote:
    """Starts commands without their start-up time; see `zygote.py`."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output.txt"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
        )
        assert self._line() == "ready"

    def run(self, program: str, argv: Sequence[str], kill_after_s: float | None = None) -> tuple[int, float]:
        """Exit status, and how long the command ran; killed with all its processes after a while, if it still runs."""
        assert self.process.stdin is not None
        asked = {"program": program, "argv": list(argv), "output": str(self.output)}
        began = time.monotonic()
        self.process.stdin.write(json.dumps(asked) + "\n")
        pid = int(self._line())
        timer = threading.Timer(kill_after_s, kill_group, [pid]) if kill_after_s is not None else None
        if timer is not None:
            timer.start()
        status = int(self._line())
        if timer is not None:
            timer.cancel()
        return status, time.monotonic() - began

    def shown(self) -> str:
        """What commands have shown so far."""
        return self.output.read_text(errors="replace")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def kill_group(pid: int) -> None:
    """Kill a command and what it started."""
    for send in (os.killpg, os.kill):
        try:
            send(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return


@pytest.fixture
def zygote(tmp_path: Path) -> Iterator[Zygote]:
    started = Zygote(tmp_path)
    yield started
    assert started.process.stdin is not None
    started.process.stdin.close()
    started.process.wait(30)


@pytest.fixture
def note() -> Callable[[str], None]:
    """Writes a line into the log, if one is asked for."""
    path = os.environ.get("TILES_ECG_CRASH_LOG")

    def write(line: str) -> None:
        if path:
            with Path(path).open("a") as file:
                file.write(f"{line}\n")

    return write


def checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, after a look at every byte of it."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    return torch.load(path, weights_only=True)  # type: ignore[no-any-return]


def assert_whole(folder: Path) -> str:
    """Every file that a killed run left under its final name can be read; the steps of its checkpoints, in words."""
    assert read_status(folder).state in ("planned", "stopped", "finished")
    steps = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".ckpt":
            steps[path.stem] = checkpoint(path)["global_step"]
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".yaml":
            assert yaml.safe_load(path.read_text())
        elif path.name == "metrics.csv":
            lines = path.read_text().splitlines()
            assert all(line.count(",") == lines[0].count(",") for line in lines)
    return ", ".join(f"{name}.ckpt of step {step}" for name, step in steps.items()) or "no checkpoint yet"


def assert_same_tree(found: Any, expected: Any) -> None:
    """Equal bit for bit, tensors within dicts and lists too."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same_tree(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same_tree(a, b)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        assert found == expected


def assert_same_run(found: Path, expected: Path) -> None:
    """All that the checkpoints of two runs hold is equal bit for bit, apart from their folders; so are the metrics."""
    for name in ("last", "best"):
        ours, theirs = (checkpoint(folder / "checkpoints" / f"{name}.ckpt") for folder in (found, expected))
        assert_same_tree(ours | {"config": None}, theirs | {"config": None})
    assert (found / "metrics.csv").read_text() == (expected / "metrics.csv").read_text()
    assert read_status(found).state == "finished"


def killed_until_done(
    zygote: Zygote,
    program: str,
    argv: Callable[[int], Sequence[str]],
    look: Callable[[int], str],
    compare: Callable[[int], None],
    whole_s: float,
    note: Callable[[str], None],
) -> None:
    """Kill a command at random moments and start it again, in one repetition after the other, until `N_KILLS` kills.

    Args:
        zygote: Runs it.
        program: Which.
        argv: Its arguments in a repetition, the same for the first start and every later one.
        look: Checks what a killed command left, and says it.
        compare: Checks what a repetition ended with.
        whole_s: How long the command takes undisturbed; each is killed somewhere within.
        note: Takes a line of the log.
    """
    draw = random.Random(f"{program}/{SEED}")
    kills = repetition = 0
    while kills < N_KILLS:
        repetition += 1
        is_done = False
        while not is_done:
            delay = draw.uniform(0.0, whole_s) if kills < N_KILLS else None
            status, took = zygote.run(program, argv(repetition), delay)
            is_done = status == 0
            assert is_done or status == -signal.SIGKILL, zygote.shown()
            kills += not is_done
            told = "ended by itself" if is_done else f"kill {kills}"
            note(f"{program} run {repetition}: {told} after {took:.2f} s; {look(repetition)}")
        compare(repetition)
        note(f"{program} run {repetition}: equal to the undisturbed one")


def test_a_run_killed_twenty_times_ends_like_an_undisturbed_one(
    zygote: Zygote, small_store: Path, tmp_path: Path, note: Callable[[str], None]
) -> None:
    def argv(repetition: int) -> list[str]:
        folder = tmp_path / f"run-{repetition}"
        return [*TRAINING, f"dataset.store={small_store}", f"hydra.run.dir={folder}", "resume=true"]

    status, whole_s = zygote.run("tiles-train", argv(0))
    assert status == 0, zygote.shown()
    killed_until_done(
        zygote,
        "tiles-train",
        argv,
        lambda repetition: assert_whole(tmp_path / f"run-{repetition}"),
        lambda repetition: assert_same_run(tmp_path / f"run-{repetition}", tmp_path / "run-0"),
        whole_s,
        note,
    )


def test_a_preparation_killed_twenty_times_writes_the_same_store(
    zygote: Zygote, tmp_path: Path, note: Callable[[str], None]
) -> None:
    def store(repetition: int) -> Path:
        return tmp_path / f"stores-{repetition}" / "cohort.h5"

    def argv(repetition: int) -> list[str]:
        store(repetition).parent.mkdir(exist_ok=True)
        return [*COHORT, f"store={store(repetition)}"]

    def look(repetition: int) -> str:
        if not store(repetition).exists():
            return "no store yet"
        with h5py.File(store(repetition)) as file:
            return f"a store of {len(file['signal'])} windows"

    def compare(repetition: int) -> None:
        assert [path.name for path in store(repetition).parent.iterdir()] == ["cohort.h5"]
        with h5py.File(store(repetition)) as ours, h5py.File(store(0)) as theirs:
            names: list[str] = []
            theirs.visit(names.append)
            for name in names:
                if isinstance(theirs[name], h5py.Dataset):
                    np.testing.assert_array_equal(ours[name][()], theirs[name][()])

    status, whole_s = zygote.run("tiles-prepare", argv(0))
    assert status == 0, zygote.shown()
    killed_until_done(zygote, "tiles-prepare", argv, look, compare, whole_s, note)


def test_a_sweep_killed_twenty_times_ends_like_an_undisturbed_one(
    zygote: Zygote, small_store: Path, tmp_path: Path, note: Callable[[str], None]
) -> None:
    jobs = ("seed=0", "seed=1", "seed=2")

    def argv(repetition: int) -> list[str]:
        folder = tmp_path / f"sweep-{repetition}"
        own = ["seed=0,1,2", "trainer.max_steps=20", "callback.pictures=null"]  # pictures cost a second a job
        same = [text for text in TRAINING if "max_steps" not in text]
        return ["-m", *same, *own, f"dataset.store={small_store}", f"hydra.sweep.dir={folder}", "resume=true"]

    def look(repetition: int) -> str:
        folder = tmp_path / f"sweep-{repetition}"
        return "; ".join(f"{job}: {assert_whole(folder / job)}" for job in jobs)

    def compare(repetition: int) -> None:
        folders = (tmp_path / f"sweep-{repetition}", tmp_path / "sweep-0")
        assert sorted(path.name for path in folders[0].iterdir()) == sorted(path.name for path in folders[1].iterdir())
        for job in jobs:
            assert_same_run(folders[0] / job, folders[1] / job)

    status, whole_s = zygote.run("tiles-train", argv(0))
    assert status == 0, zygote.shown()
    killed_until_done(zygote, "tiles-train", argv, look, compare, whole_s, note)
