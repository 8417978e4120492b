"""tiles-train in two processes: plain, in a sweep, in a search, under torchrun, killed and resumed, fine-tuning."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from tiles_ecg import console, train
from tiles_ecg.callback.preemption import AGREE_EVERY
from tiles_ecg.distributed.launcher import FOLDER, SET_BY_LAUNCH
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.run_record import read_status

pytestmark = pytest.mark.slow
Run = Callable[..., Path]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SHORT = ("trainer=ddp", "trainer.max_steps=4", "trainer.val_check_interval=2", "callback.online_probe.n_windows=20")


@pytest.fixture(autouse=True)
def _started_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process starts others as on a machine without torchrun and Slurm."""
    for name in list(os.environ):
        if name.startswith(("SLURM", "TORCHELASTIC")) or name in SET_BY_LAUNCH:
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)  # type: ignore[no-any-return]


def assert_same(found: Any, expected: Any) -> None:
    """Equal bit for bit, tensors within dicts and lists too."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    elif isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    else:
        assert found == expected


def assert_same_run(found: Path, expected: Path) -> None:
    """But for the name of the folder, which their configs hold."""
    for name in ("last", "best"):
        assert_same(checkpoint(found, name) | {"config": None}, checkpoint(expected, name) | {"config": None})
    assert (found / "metrics.csv").read_text() == (expected / "metrics.csv").read_text()


def columns(folder: Path, name: str) -> list[float]:
    return [float(row[name]) for row in csv.DictReader((folder / "metrics.csv").open()) if row[name]]


def others() -> list[str]:
    """Command lines of processes that our launcher started and that still live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if "tiles_ecg.distributed.worker" in words:
            found.append(" ".join(words))
    return found


def mine(tmp_path: Path) -> list[str]:
    return [line for line in others() if str(tmp_path) in line]


def test_the_jobs_of_a_sweep_begin_afresh_one_after_the_other(tiles_train: Run, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    before = dict(os.environ)
    tiles_train("sweep", *SHORT, "seed=0,1", f"hydra.sweep.dir={sweep}", "-m")
    folders = sorted(path.parent for path in sweep.glob("*/config.yaml"))
    assert [yaml.safe_load((folder / "config.yaml").read_text())["seed"] for folder in folders] == [0, 1]
    for folder in folders:
        assert read_status(folder).state == "finished"
        assert len(columns(folder, "train/loss")) == 4
        assert not (folder / FOLDER).exists()
    assert columns(folders[0], "train/loss") != columns(folders[1], "train/loss")
    assert mine(tmp_path) == []
    assert not torch.distributed.is_initialized()
    assert {name: os.environ.get(name) for name in SET_BY_LAUNCH} == {name: before.get(name) for name in SET_BY_LAUNCH}


def test_the_trials_of_a_search_train_all_processes_by_what_was_drawn(tiles_train: Run, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the search needs Optuna")
    search = tmp_path / "search"
    given = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "objective.temperature=interval(0.1,0.5)")
    tiles_train("search", *SHORT, *given, f"hydra.sweep.dir={search}", "-m")
    folders = sorted(path.parent for path in search.glob("*/config.yaml"))
    drawn = [yaml.safe_load((folder / "config.yaml").read_text())["objective"]["temperature"] for folder in folders]
    assert len(set(drawn)) == 2
    assert {read_status(folder).state for folder in folders} == {"finished"}  # else the ranks had not agreed
    assert mine(tmp_path) == []


def test_a_run_that_is_signalled_and_then_killed_leaves_no_process_and_ends_like_an_uninterrupted_one(
    tiles_train: Run, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    given = ["trainer=ddp", "trainer.max_steps=60", "trainer.val_check_interval=20", "resume=true"]
    given += ["callback.checkpoint.every_n_train_steps=6", "callback.online_probe=null"]
    whole, folder = tiles_train("whole", *given), tmp_path / "run"
    last, step = folder / "checkpoints" / "last.ckpt", SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 8:
            (child,) = self.trainer.strategy.launcher.procs  # type: ignore[union-attr]
            child.send_signal(signal.SIGUSR1)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(SystemExit) as end:
        tiles_train("run", *given)
    assert end.value.code == 143
    saved = checkpoint(folder)["global_step"]
    assert saved % AGREE_EVERY == 0
    assert 10 <= saved < 60
    assert len(columns(folder, "train/loss")) == saved
    assert read_status(folder).state == "preempted"
    assert f"SIGUSR1: saved {last} after step {saved}" in capfd.readouterr().err
    monkeypatch.setattr(SimCLR, "training_step", step)

    before = last.stat().st_ino
    command = [str(Path(sys.executable).with_name("tiles-train")), f"dataset.store={small_store}", *tiny(given)]
    with subprocess.Popen([*command, f"hydra.run.dir={folder}"], stderr=subprocess.DEVNULL) as run:
        while last.stat().st_ino == before and run.poll() is None:
            time.sleep(0.02)
        assert len(mine(tmp_path)) == 1
        run.kill()
    waited = time.monotonic()
    while mine(tmp_path) and time.monotonic() - waited < 60:
        time.sleep(0.1)
    assert mine(tmp_path) == []
    assert read_status(folder).state == "stopped"
    assert saved < checkpoint(folder)["global_step"] < 60
    assert_same_run(tiles_train("run", *given), whole)


def tiny(given: list[str]) -> list[str]:
    """Overrides of the fixture `tiles_train`, for a process of its own."""
    defaults = (
        "dataset.batch_size=16 dataset.val_share=0.34 encoder.widths=[8,16] encoder.strides=[2,4] "
        "encoder.embedding_dim=32 trainer.accelerator=cpu trainer.max_steps=10 trainer.val_check_interval=4 "
        "trainer.log_every_n_steps=1 callback.checkpoint.every_n_train_steps=3 callback.online_probe.n_windows=40 "
        "callback.pictures=null logger=csv"
    )
    keys = {text.partition("=")[0] for text in given}
    return [*(text for text in defaults.split() if text.partition("=")[0] not in keys), *given]


def test_a_child_that_fails_ends_the_run_as_failed_with_its_last_lines(
    tiles_train: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 2:  # here the first process goes on; the other one dies
            (child,) = self.trainer.strategy.launcher.procs  # type: ignore[union-attr]
            child.send_signal(signal.SIGKILL)
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(Exception, match=r"process 1 of 2 was killed \(SIGKILL\)"):
        tiles_train("run", *SHORT)
    status = read_status(tmp_path / "run")
    assert status.state == "failed"
    assert "process 1 of 2 was killed" in status.error
    assert not (tmp_path / "run" / FOLDER).exists()
    assert mine(tmp_path) == []
    assert not torch.distributed.is_initialized()


def test_fine_tuning_stops_early_and_is_judged_once_by_the_first_process(finetune: Run, tmp_path: Path) -> None:
    given = ("trainer=ddp", "trainer.max_steps=60", "callback.early_stopping.patience=1", "optimizer.lr=1e-9")
    folder = finetune("run", *given)
    status = read_status(folder)
    assert status.state == "finished"
    assert status.step is not None
    assert 8 <= status.step < 60  # two validations of which the second is no better
    assert len(list((folder / "predictions").glob("*.npz"))) == 1
    assert mine(tmp_path) == []


def test_processes_of_torchrun_train_one_run_in_one_folder(small_store: Path, tmp_path: Path) -> None:
    command = [*TORCHRUN, "-m", "tiles_ecg.train", f"dataset.store={small_store}", *tiny(list(SHORT))]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    (config,) = tmp_path.glob("outputs/*/*/config.yaml")
    assert [path for path in tmp_path.glob("outputs/*/*") if path != config.parent] == []
    assert len(columns(config.parent, "train/loss")) == 4
    assert read_status(config.parent).state == "finished"
    told = [line for line in re.split(r"[\r\n]+", ended.stdout + ended.stderr) if line]
    for once in ("144 windows", "run folder", "linear probe"):
        assert sum(line.startswith(once) for line in told) == 1


def test_a_mistake_under_torchrun_ends_all_processes(small_store: Path, tmp_path: Path) -> None:
    store = f"dataset.store={small_store}"
    command = [*TORCHRUN, "-m", "tiles_ecg.train", store, *tiny([*SHORT, "callback.online_probe.labels=[mood]"])]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0
    assert ended.stderr.count("callback.online_probe.labels = mood: no store has this label") == 1
    assert list(tmp_path.glob("outputs/*/*")) == []


def test_a_sweep_under_torchrun_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        console.run(train.train, "train", ["-m", "seed=0,1", "trainer=ddp", f"dataset.store={small_store}"])
    assert ended.value.code == 2
    assert "a sweep: torchrun started 2 processes of it; start one, without torchrun" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
