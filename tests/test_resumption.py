"""Resuming: what a run goes on from, and that it ends as if nothing had happened."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from tiles_ecg.checkpoint_file import read_checkpoint
from tiles_ecg.config import ConfigError
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.resumption import Checkpointed, checkpoint_to_go_on_from

Run = Callable[..., Path]
LOGGERS = ("logger=default", "logger.wandb=null")
ALONE = SimpleNamespace(world_size=1, is_global_zero=True, strategy=SimpleNamespace())


class PowerCut(Exception):
    """What interrupts a run in these tests."""


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


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it may be the same file as another
    path.write_bytes(content)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    found = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def steps(folder: Path) -> dict[str, int]:
    return {path.stem: read_checkpoint(path)["global_step"] for path in (folder / "checkpoints").glob("*.ckpt")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Path]], Path]:
    """Runs that the tests of this file share, each made once and copied."""
    kept: dict[str, Path] = {}

    def copy_of(name: str, make: Callable[[], Path]) -> Path:
        if name not in kept:
            kept[name] = Path(shutil.copytree(make(), tmp_path_factory.mktemp("made") / name))
        return kept[name]

    return copy_of


@pytest.fixture
def cut_run(tiles_train: Run, cut_at: Callable[[int | None], None], made: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of a run that was cut at its ninth step, with checkpoints of the sixth and the third."""

    def make() -> Path:
        cut_at(8)
        with pytest.raises(PowerCut):
            tiles_train("cut", *LOGGERS)
        cut_at(None)
        return tmp_path / "cut"

    kept = made("cut", make)
    return Path(shutil.copytree(kept, tmp_path / "cut", dirs_exist_ok=True))


@pytest.mark.parametrize("damage", [truncate, blank, flip])
def test_a_damaged_last_checkpoint_is_noticed_and_the_run_ends_as_if_nothing_had_happened(
    cut_run: Path,
    tiles_train: Run,
    made: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    whole = made("whole", lambda: tiles_train("whole", *LOGGERS))
    last = cut_run / "checkpoints" / "last.ckpt"
    assert steps(cut_run) == {"last": 6, "previous": 3, "best": 8}
    damage(last)
    damaged = last.read_bytes()
    capsys.readouterr()
    tiles_train("cut", *LOGGERS, "resume=true")
    told = capsys.readouterr().err
    assert f"{last} of step 6 is damaged (" in told
    assert f"and is kept as damaged.ckpt: going on from {last.with_name('previous.ckpt')} of step 3" in told
    assert "going on from step 3 of" in told
    assert last.with_name("damaged.ckpt").read_bytes() == damaged
    last.with_name("damaged.ckpt").unlink()
    assert steps(cut_run) == steps(whole)
    for name in ("last", "best", "previous"):
        ours, theirs = (read_checkpoint(run / "checkpoints" / f"{name}.ckpt") for run in (cut_run, whole))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops"):
            torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=0, equal_nan=True)
    assert (cut_run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert scalars(cut_run) == scalars(whole)
    assert sorted(path.name for path in last.parent.iterdir()) == sorted(
        path.name for path in (whole / "checkpoints").iterdir()
    )


def going_on(folder: Path, resume: bool | str = True, **trainer: Any) -> Checkpointed | None:
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"resume": resume}
    return checkpoint_to_go_on_from(folder, config, SimpleNamespace(**(vars(ALONE) | trainer)))


def test_a_missing_last_checkpoint_is_replaced_by_the_one_before(
    cut_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = cut_run / "checkpoints" / "last.ckpt"
    last.unlink()
    assert going_on(cut_run) == Checkpointed(last, 3)
    assert "last.ckpt of step 6 is missing: going on from" in caplog.text
    assert not last.with_name("damaged.ckpt").exists()
    caplog.clear()
    assert going_on(cut_run) == Checkpointed(last, 3)
    assert [record for record in caplog.records if record.name.startswith("tiles_ecg")] == []


def test_where_both_are_damaged_both_are_named_and_stay_as_they_are(cut_run: Path) -> None:
    files = [cut_run / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt")]
    for path in files:
        truncate(path)
    before = [path.read_bytes() for path in files]
    with pytest.raises(ConfigError, match=r"last\.ckpt is damaged .* before: .*previous\.ckpt: damaged .*remove both"):
        going_on(cut_run)
    assert [path.read_bytes() for path in files] == before
    files[1].unlink()
    with pytest.raises(ConfigError, match=r"last\.ckpt is damaged \(.*\); remove it to begin anew"):
        going_on(cut_run)
    files[0].unlink()
    assert going_on(cut_run) is None


def test_a_run_that_lost_its_last_checkpoint_is_not_overwritten_by_a_new_one(cut_run: Path) -> None:
    (cut_run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(ConfigError, match=r"holds a run already .*; give resume=true to go on with it"):
        going_on(cut_run, resume=False)


@pytest.mark.parametrize(("count", "goes_on"), [("1", True), ("12", True), ("0", False), ("", False), ("x", False)])
def test_a_job_that_slurm_started_again_goes_on(
    cut_run: Path, monkeypatch: pytest.MonkeyPatch, count: str, goes_on: bool
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    if goes_on:
        assert going_on(cut_run, resume=False) == Checkpointed(cut_run / "checkpoints" / "last.ckpt", 6)
        return
    with pytest.raises(ConfigError, match="holds a run already"):
        going_on(cut_run, resume=False)


class Together:
    """Two processes that something else started: what the first hands on, the second gets."""

    def __init__(self, is_external: bool = True) -> None:
        self.cluster_environment = SimpleNamespace(creates_processes_externally=is_external)
        self.handed_on: list[Any] = []
        self.is_first = True

    def broadcast(self, value: Any) -> Any:
        if self.is_first:
            self.handed_on.append(value)
            return value
        return self.handed_on.pop(0)


def test_processes_started_from_outside_go_on_from_what_the_first_one_found(cut_run: Path) -> None:
    strategy = Together()
    first = going_on(cut_run, world_size=2, strategy=strategy)
    assert first == Checkpointed(cut_run / "checkpoints" / "last.ckpt", 6)
    strategy.is_first = False
    shutil.rmtree(cut_run / "checkpoints")  # it need not look itself
    assert going_on(cut_run, world_size=2, is_global_zero=False, strategy=strategy) == first


def test_a_mistake_that_the_first_process_finds_ends_all(cut_run: Path) -> None:
    strategy, told = Together(), []
    for is_first in (True, False):
        strategy.is_first = is_first
        with pytest.raises(ConfigError, match="holds a run already") as error:
            going_on(cut_run, resume=False, world_size=2, is_global_zero=is_first, strategy=strategy)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_processes_that_the_first_one_starts_are_not_asked(cut_run: Path) -> None:
    strategy = Together(is_external=False)
    assert going_on(cut_run, world_size=2, strategy=strategy) is not None
    assert strategy.handed_on == []
