"""tiles-train, in this process: it learns, stops, goes on, and says what is wrong."""

import csv
import math
import os
import random
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
from torch import Tensor, nn

from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.callback.finite_loss import NonFiniteLossError
from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.run_record import read_status

Run = Callable[..., Path]
TINY = (  # as in the fixture `tiles_train`
    "dataset.batch_size=16",
    "dataset.val_share=0.34",
    "encoder.widths=[8,16]",
    "encoder.strides=[2,4]",
    "encoder.embedding_dim=32",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "callback.online_probe.n_windows=40",
    "callback.pictures=null",
)


class PowerCut(Exception):
    """What interrupts a run in these tests."""


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)  # type: ignore[no-any-return]


def losses(folder: Path, column: str = "train/loss") -> dict[int, float]:
    rows = csv.DictReader((folder / "metrics.csv").open())
    return {int(row["step"]): float(row[column]) for row in rows if row[column]}


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
    for name in ("last", "best"):
        ours, theirs = checkpoint(found, name), checkpoint(expected, name)
        assert ours.keys() == theirs.keys()
        for key in set(theirs) - {"config"}:  # the run folder's name
            assert_same(ours[key], theirs[key])
    assert (found / "metrics.csv").read_text() == (expected / "metrics.csv").read_text()


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Have the run end in the middle of a step; None: no more."""
    whole = SimCLR.training_step

    def cut(step: int | None) -> None:
        def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
            if self.global_step == step:
                raise PowerCut
            return whole(self, batch, batch_idx)

        monkeypatch.setattr(SimCLR, "training_step", training_step)

    return cut


def test_on_separable_windows_the_loss_falls_below_chance(tiles_train: Run) -> None:
    folder = tiles_train("run", "trainer.max_steps=40", "trainer.val_check_interval=40", "optimizer.lr=3e-3")
    chance = math.log(2 * 16 - 1)
    found = losses(folder)
    assert sum(found[step] for step in range(30, 40)) / 10 < 0.85 * chance
    assert losses(folder, "val/loss")[39] < 0.95 * chance


def test_metrics_have_a_row_a_step_and_validation_beside_it(tiles_train: Run) -> None:
    folder = tiles_train("run")
    assert list(losses(folder)) == list(range(10))
    for column in ("val/loss", "val/alignment", "val/uniformity", "val/effective_rank"):
        assert list(losses(folder, column)) == [3, 7, 9]
    assert list(losses(folder, "probe/heart_rate_r2")) == [0, 3, 7, 9]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiles_train: Run) -> None:
    first, second = tiles_train("a", "trainer.max_steps=3"), tiles_train("b", "trainer.max_steps=3")
    assert_same_run(second, first)
    other = checkpoint(tiles_train("c", "trainer.max_steps=3", "seed=1"))["state_dict"]
    weight = "encoder.stem.0.weight"
    assert not torch.equal(other[weight], checkpoint(first)["state_dict"][weight])


@pytest.mark.parametrize("every", [3, 4])  # checkpoints between validations, and with them
def test_an_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(
    tiles_train: Run, cut_at: Callable[[int | None], None], every: int
) -> None:
    saving = f"callback.checkpoint.every_n_train_steps={every}"
    whole = tiles_train("whole", saving)
    cut_at(8)
    with pytest.raises(PowerCut):
        tiles_train("cut", saving)
    cut_at(None)
    assert checkpoint(whole / ".." / "cut")["global_step"] == 8 // every * every
    assert_same_run(tiles_train("cut", saving, "resume=true"), whole)


def test_a_resumed_run_sees_the_windows_and_the_views_that_the_uninterrupted_one_would_have(
    tiles_train: Run, cut_at: Callable[[int | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, tuple[list[int], bytes]] = {}
    whole = Chain.__call__
    now: list[Tensor] = []

    def drawn(self: Chain, *given: Tensor) -> Any:
        views = whole(self, *given)
        now.append(views[0])
        return views

    def on_train_batch_end(self: SimCLR, outputs: Any, batch: Any, batch_idx: int) -> None:
        views = b"".join(view.numpy().tobytes() for view in now[-2:])  # those before are of a check or a validation
        seen[self.global_step] = (batch.index.tolist(), views)

    monkeypatch.setattr(Chain, "__call__", drawn)
    monkeypatch.setattr(SimCLR, "on_train_batch_end", on_train_batch_end)
    tiles_train("whole")
    expected = dict(seen)
    assert list(expected) == list(range(1, 11))
    assert len({views for _, views in expected.values()}) == 10
    cut_at(8)
    with pytest.raises(PowerCut):
        tiles_train("cut")
    cut_at(None)
    seen.clear()
    tiles_train("cut", "resume=true")
    assert list(seen) == [7, 8, 9, 10]
    assert seen == {step: expected[step] for step in seen}


def test_a_run_interrupted_before_its_first_checkpoint_begins_anew(
    tiles_train: Run, cut_at: Callable[[int | None], None]
) -> None:
    whole = tiles_train("whole")
    cut_at(2)
    with pytest.raises(PowerCut):
        tiles_train("cut")
    cut_at(None)
    assert_same_run(tiles_train("cut", "resume=true"), whole)


def test_with_accumulated_gradients_a_resumed_run_ends_like_an_uninterrupted_one(
    tiles_train: Run, cut_at: Callable[[int | None], None]
) -> None:
    twice = "+trainer.accumulate_grad_batches=2"
    whole = tiles_train("whole", twice)
    cut_at(7)
    with pytest.raises(PowerCut):
        tiles_train("cut", twice)
    cut_at(None)
    assert checkpoint(whole / ".." / "cut")["global_step"] == 6
    assert_same_run(tiles_train("cut", twice, "resume=true"), whole)


def test_a_finished_run_resumed_stays_as_it_is(tiles_train: Run) -> None:
    folder = tiles_train("run")
    before = checkpoint(folder), (folder / "metrics.csv").read_text()
    tiles_train("run", "resume=true")
    assert_same(checkpoint(folder)["state_dict"], before[0]["state_dict"])
    assert (folder / "metrics.csv").read_text() == before[1]


@pytest.mark.parametrize("first_end", [8, 10])  # with a validation of the interval, and between two
def test_a_finished_run_goes_on_to_a_later_last_step(tiles_train: Run, first_end: int) -> None:
    folder = tiles_train("run", "scheduler=constant", f"trainer.max_steps={first_end}")
    tiles_train("run", "scheduler=constant", "resume=true", "trainer.max_steps=13")
    assert checkpoint(folder)["global_step"] == 13
    rows = [int(line.partition(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert rows == list(range(13))


def test_a_folder_that_holds_a_run_is_not_overwritten(tiles_train: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiles_train("run")
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(SystemExit) as end:
        tiles_train("run")
    assert end.value.code == 2
    assert re.search(r"run: holds a run already .*; give resume=true", capsys.readouterr().err)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoder.widths=[8,24]", "its checkpoint is of something else (encoder was"),
        ("dataset.batch_size=12", "batch_size was 16, is 12"),
        ("seed=5", "seed was 0, is 5"),
        ("dataset.normalise=window", "was trained with subject"),
    ],
)
def test_a_run_cannot_be_resumed_as_another(
    tiles_train: Run, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    tiles_train("run", "trainer.max_steps=3")
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "resume=true", override)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tiles_train: Run, capsys: pytest.CaptureFixture[str]) -> None:
    last = tiles_train("run", "trainer.max_steps=3") / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "trainer.max_steps=3", "resume=true")
    assert end.value.code == 2
    assert "checkpoints/last.ckpt is damaged" in capsys.readouterr().err


def test_an_encoder_that_checks_the_stores_tells_its_notes_once_or_ends_the_run(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def check(self: ResNet1d, windows: Windows) -> list[str]:
        if windows.normalise == "window":
            raise ConfigError("the encoder cannot take these")
        return [f"it looked at {len(windows)} windows"]

    monkeypatch.setattr(ResNet1d, "check", check, raising=False)
    tiles_train("run", "trainer.max_steps=1")
    assert capsys.readouterr().err.count("encoder: it looked at 144 windows") == 1
    with pytest.raises(SystemExit) as end:
        tiles_train("refused", "dataset.normalise=window")
    assert end.value.code == 2
    assert "the encoder cannot take these" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()


def test_several_stores_train_together(tiles_train: Run, small_store: Path, other_store: Path) -> None:
    folder = tiles_train("run", f"dataset.store=[{small_store},{other_store}]", "trainer.max_steps=3")
    assert len(checkpoint(folder)["EcgDataModule"]["stores"]) == 2


def test_a_run_without_validation_saves_its_last_step(tiles_train: Run) -> None:
    folder = tiles_train("run", "dataset.val_share=0", "trainer.max_steps=4")
    assert checkpoint(folder)["global_step"] == 4
    assert not (folder / "checkpoints" / "best.ckpt").exists()


def test_a_loss_that_is_no_number_ends_the_run_at_that_step_with_the_checkpoint_of_before(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
        return whole(self, batch, batch_idx) * (math.nan if self.global_step == 5 else 1)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(NonFiniteLossError, match=r"training loss of step 6 is not a finite number; lower optimizer.lr"):
        tiles_train("run")
    assert checkpoint(tmp_path / "run")["global_step"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.store=none.h5", "dataset.store = none.h5: no such file"),
        ("dataset.sample_rate=250", "give dataset.sample_rate=100.0"),
        ("dataset.batch_size=512", "only 96 training windows are left of 144"),
        ("dataset.val_share=0.99", "cannot be split into training and validation"),
        ("callback.online_probe.labels=[rythm]", "no store has this label; there are activity, age, beat_type"),
        ("callback.checkpoint.monitor=val/los", "callback.checkpoint.monitor = val/los: no validation logs it"),
        ("augmentation.steps.crop.crop_s=0.05", "n_segments = [10, 10] is more than the window's 5 points"),
        ("trainer.strategy=dpp", "trainer: You selected an invalid strategy name"),
    ],
)
def test_a_mistake_that_the_parts_find_ends_with_one_message_and_no_folder(
    tiles_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        tiles_train("run", override)
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert message in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_the_parts_are_built_before_a_store_is_opened(
    tiles_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "none.h5"
    store.write_text("no store")
    with pytest.raises(SystemExit):
        tiles_train("run", f"dataset.store={store}", "encoder.kernel_size=4")
    assert "kernel_size = 4: choose an odd length" in capsys.readouterr().err


def test_a_part_that_is_null_is_left_out(tiles_train: Run) -> None:
    off = ("logger.wandb=null", "logger.tensorboard=null", "callback.online_probe=null", "trainer.max_steps=2")
    folder = tiles_train("run", "logger=default", *off)
    assert not (folder / "wandb").exists()
    assert "probe" not in (folder / "metrics.csv").read_text()


def test_a_machine_without_what_is_asked_for_is_a_mistake_without_traceback(
    tiles_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "trainer.accelerator=gpu")
    assert end.value.code == 2
    assert "trainer: No supported gpu backend found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_status_130_and_leaves_ctrl_c_working(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(SystemExit) as end:
        tiles_train("run")
    assert end.value.code == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_terminal_shows_nothing_that_a_user_cannot_act_on(
    tiles_train: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    tiles_train("run", "logger=default", "trainer.max_steps=3", "trainer.log_every_n_steps=50")
    out, err = capfd.readouterr()
    lines = [line for line in re.split(r"[\r\n]+", out + err) if line and not line.startswith("training:")]
    starts = (
        "W&B: offline; send it later",
        "144 windows of 6 subjects",
        "linear probe on 2 subjects",
        "run folder: run",
    )
    assert [line for line in lines if not line.startswith((*starts, "  probe/"))] == []
    assert all(any(line.startswith(start) for line in lines) for start in starts)


@pytest.mark.slow
def test_the_command_asked_to_end_and_resumed_ends_like_an_uninterrupted_run_and_is_quiet(
    tiles_train: Run, small_store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = ("trainer.max_steps=60", "trainer.val_check_interval=20", "callback.checkpoint.every_n_train_steps=5")
    whole = tiles_train("whole", *long)
    command = [
        str(Path(sys.executable).with_name("tiles-train")),
        *(TINY + long),
        "logger=csv",
        f"dataset.store={small_store}",
        f"hydra.run.dir={tmp_path / 'ended'}",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as run:
        last = tmp_path / "ended" / "checkpoints" / "last.ckpt"
        while not last.exists() and run.poll() is None:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.2))
        run.terminate()
    assert run.returncode == 143
    assert read_status(tmp_path / "ended").state == "preempted"
    assert checkpoint(tmp_path / "ended")["global_step"] < 60
    capfd.readouterr()
    assert_same_run(tiles_train("ended", *long, "resume=true"), whole)
    told = [line for line in re.split(r"[\r\n]+", "".join(capfd.readouterr())) if line]
    starts = ("144 windows", "going on from step", "training:", "linear probe", "  probe/", "run folder")
    assert [line for line in told if not line.startswith(starts)] == []


@pytest.mark.slow
def test_a_compiled_run_equals_an_uncompiled_one(tiles_train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_eagerly(self: nn.Module, **given: Any) -> None:
        self._compiled_call_impl = torch.compile(self._call_impl, backend="eager", fullgraph=True, **given)

    monkeypatch.setattr(nn.Module, "compile", compile_eagerly)  # the graphs, without the code that is made of them
    torch.compiler.reset()
    whole = tiles_train("whole")
    assert_same_run(tiles_train("compiled", "objective.compile=true"), whole)


@pytest.mark.slow
def test_two_processes_train_through_the_command_and_leave_one_run_folder(
    tiles_train: Run, small_store: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = [str(Path(sys.executable).with_name("tiles-train")), *TINY, f"dataset.store={small_store}"]
    command += [f"hydra.run.dir={tmp_path / 'two'}", "trainer=ddp", "trainer.max_steps=4", "logger=default"]
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(home)}
    for name in ("XDG_CACHE_HOME", "WANDB_CACHE_DIR"):
        environment.pop(name, None)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert list(home.glob("**/*wandb*")) == []
    assert len(list(tmp_path.glob("two/wandb/offline-*/*.wandb"))) == 1
    assert checkpoint(tmp_path / "two")["global_step"] == 4
    assert list(losses(tmp_path / "two")) == [0, 1, 2, 3]
    told = [line for line in re.split(r"[\r\n]+", ended.stdout + ended.stderr) if line]
    starts = ("144 windows", "W&B: offline", "training:", "linear probe", "  probe/", "run folder")
    assert [line for line in told if not line.startswith(starts)] == []
