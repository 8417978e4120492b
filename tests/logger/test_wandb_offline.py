"""What offline runs really hold, and leave behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.logger.wandb_folder import run_id
from tiles_ecg.objective.simclr import SimCLR

Run = Callable[..., Path]
Reader = Callable[[Path], list[dict[str, Any]]]


@pytest.mark.slow
def test_an_offline_run_holds_config_and_metrics_and_goes_on_under_its_id(inspected: Reader, tiles_train: Run) -> None:
    folder = tiles_train("run", "logger=default", "trainer.max_steps=4")
    tiles_train("run", "logger=default", "trainer.max_steps=6", "resume=true")
    first, second = inspected(folder)
    assert first["config"]["encoder"]["widths"] == [8, 16]
    assert first["exit_code"] == second["exit_code"] == 0
    assert first["run_id"] == second["run_id"] == run_id(folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert second["summary"]["trainer/global_step"] == saved["global_step"] - 1 == 5
    text = (folder / "metrics.csv").read_text().splitlines()
    row = dict(zip(text[0].split(","), text[-1].split(","), strict=True))
    for name in ("train/loss", "val/loss", "probe/heart_rate_r2"):
        assert second["summary"][name] == pytest.approx(float(row[name]))


@pytest.mark.slow
def test_over_the_attempts_of_an_offline_run_steps_only_go_up(
    records: Reader, tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 8:
            raise ZeroDivisionError
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(ZeroDivisionError):
        tiles_train("run", "logger=default")
    monkeypatch.setattr(SimCLR, "training_step", whole)
    folder = tiles_train("run", "logger=default", "resume=true")
    rows = [record["history"] for record in records(folder) if record["type"] == "history"]
    assert [row["step"]["num"] for row in rows] == list(range(10))
    kept = (folder / "metrics.csv").read_text().splitlines()
    losses = [float(line.split(",")[kept[0].split(",").index("train/loss")]) for line in kept[1:]]
    assert [row["item"]["train/loss"] for row in rows] == pytest.approx(losses)
    assert len({record["run"]["run_id"] for record in records(folder) if record["type"] == "run"}) == 1


@pytest.mark.slow
def test_an_offline_run_declares_the_artifact_that_it_goes_on_from(
    records: Reader, tiles_train: Run, finetune: Run, tone_store: Path
) -> None:
    crop = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "callback.online_probe=null")
    short = ("trainer.max_steps=2", "logger=wandb")
    first = tiles_train("first", f"dataset.store={tone_store}", "dataset.window_s=2.0", *short, *crop)
    second = finetune("second", "encoder=pretrained", f"encoder.path={first}", "audit.accept=[pretraining]", *short)
    left = [record["artifact"] for record in records(first) if record["type"] == "artifact"]
    declared = [record["artifact"] for record in records(second) if record["type"] == "artifact"]
    (used,) = (one for one in declared if one.get("use_after_commit"))
    (last,) = (one for one in left if "last" in one["aliases"])
    assert (used["name"], used["digest"]) == (last["name"], last["digest"])
    assert used["name"] == f"encoder-{run_id(first)}"
    assert {one["name"] for one in declared if not one.get("use_after_commit") and one["type"] == "model"} == {
        f"encoder-{run_id(second)}"
    }
    for one in (*left, *declared):
        for entry in one["manifest"]["contents"]:
            assert (first if one in left else second) in Path(entry["local_path"]).parents
    tables = [file.name for file in second.glob("wandb/*/files/media/table/tables/*.json")]
    assert {name.startswith("test_classes") for name in tables} == {True, False}


@pytest.mark.slow
def test_a_run_that_raises_is_finished_as_failed_and_the_next_is_its_own(
    inspected: Reader, tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wandb

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    whole = SimCLR.training_step
    monkeypatch.setattr(SimCLR, "training_step", broken)
    with pytest.raises(ZeroDivisionError):
        tiles_train("failed", "logger=default")
    assert wandb.run is None
    monkeypatch.setattr(SimCLR, "training_step", whole)
    tiles_train("fine", "logger=default", "trainer.max_steps=2")
    (failed,), (fine,) = inspected(tmp_path / "failed"), inspected(tmp_path / "fine")
    assert (failed["exit_code"], fine["exit_code"]) == (1, 0)
    assert (failed["summary"]["state"], fine["summary"]["state"]) == ("failed", "finished")
    assert failed["summary"]["error"].startswith("ZeroDivisionError")
    assert failed["run_id"] != fine["run_id"]


@pytest.mark.slow
def test_the_command_leaves_no_process_behind_and_nothing_in_the_home_folder(
    services: Callable[[int], list[int]], small_store: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    tiny = ("dataset.batch_size=16", "dataset.val_share=0.34", "encoder.widths=[8,16]", "encoder.strides=[2,4]")
    command = [str(Path(sys.executable).with_name("tiles-train")), *tiny, "logger=wandb", "trainer.max_steps=2"]
    command += [f"dataset.store={small_store}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.accelerator=cpu"]
    unset = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    with subprocess.Popen(
        command, env=environment | {"HOME": str(home), "WANDB_MODE": "offline"}, stderr=subprocess.PIPE, text=True
    ) as run:
        told = run.communicate()[1]
    assert run.returncode == 0, told
    assert list(home.rglob("*wandb*")) == []
    assert services(run.pid) == []
