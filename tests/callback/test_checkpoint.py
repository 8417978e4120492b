"""Checkpoints: whole or absent, the best is the best, and the encoder beside them can be rebuilt."""

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from safetensors import safe_open
from safetensors.torch import load_file

from tiles_ecg.callback.checkpoint import Checkpoint
from tiles_ecg.config import ConfigError
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.logger.metrics_csv import MetricsCsv
from tiles_ecg.objective.simclr import SimCLR
from tiles_ecg.run_record import read_status
from tiles_ecg.store import Store

Run = Callable[..., Path]


def test_a_checkpoint_loads_with_weights_only_and_carries_the_config(tiles_train: Run) -> None:
    folder = tiles_train("run", "trainer.max_steps=4")
    loaded = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["global_step"] == 4
    assert loaded["config"]["encoder"]["widths"] == [8, 16]
    assert loaded["config"]["run_dir"] == str(folder)


def test_the_encoder_file_rebuilds_an_encoder_of_the_same_output(tiles_train: Run) -> None:
    folder = tiles_train("run", "trainer.max_steps=4") / "checkpoints"
    with safe_open(folder / "last.safetensors", "pt") as file:
        about = file.metadata()
    encoder = instantiate(json.loads(about["encoder"]), _convert_="all")
    encoder.load_state_dict(load_file(folder / "last.safetensors"))
    whole = torch.load(folder / "last.ckpt", weights_only=True)
    trained = instantiate(whole["config"]["encoder"], _convert_="all")
    names = {name: value for name, value in whole["state_dict"].items() if name.startswith("encoder.")}
    trained.load_state_dict({name.removeprefix("encoder."): value for name, value in names.items()})
    signal = torch.randn(3, 1, 1000)
    assert torch.equal(encoder.eval()(signal), trained.eval()(signal))


def test_the_encoder_file_says_what_its_input_needs(tiles_train: Run, small_store: Path) -> None:
    folder = tiles_train("run", "trainer.max_steps=4", "dataset.normalise=window") / "checkpoints"
    with safe_open(folder / "last.safetensors", "pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items() if not key.startswith("format")}
    wanted = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "unit": "mV", "n_leads": 1, "normalise": "window"}
    assert wanted.items() <= about["preprocessing"].items()
    assert about["stores"] == [Store(small_store).digest]
    assert about["step"] == 4


def test_the_encoder_file_says_which_recordings_it_learned_from(
    finetune: Run, tiles_train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources(folder: Path) -> tuple[frozenset[str], frozenset[str]]:
        files = [folder / "checkpoints" / f"last.{kind}" for kind in ("ckpt", "safetensors")]
        (found,) = {(about.sources, about.labelled_sources) for about, _ in map(read_encoder_file, files)}
        return found

    monkeypatch.setattr(Store, "fingerprints", frozenset(["a", "b"]))
    assert sources(tiles_train("pre-trained")) == ({"a", "b"}, set())
    first = finetune("first")
    monkeypatch.setattr(Store, "fingerprints", frozenset(["c"]))
    further = ("encoder=pretrained", f"encoder.path={first}", "audit.accept=[labels]")
    assert sources(finetune("second", *further)) == ({"a", "b", "c"}, {"a", "b", "c"})
    assert sources(finetune("probed", "objective=probe", *further)) == ({"a", "b", "c"}, {"a", "b"})


def test_the_encoder_file_says_whose_labels_it_learned_from(
    finetune: Run, tiles_train: Run, tone_store: Path, small_store: Path
) -> None:
    def labelled(folder: Path) -> tuple[str, ...]:
        files = [folder / "checkpoints" / f"last.{kind}" for kind in ("ckpt", "safetensors")]
        (found,) = {read_encoder_file(file)[0].labelled for file in files}
        return found

    assert labelled(tiles_train("pre-trained")) == ()
    tuned = finetune("tuned")
    assert labelled(tuned) == (Store(tone_store).digest,)
    further = ("encoder=pretrained", f"encoder.path={tuned}", "audit.accept=[labels]")
    assert labelled(finetune("probed", "objective=probe", *further)) == (Store(tone_store).digest,)
    assert labelled(finetune("frozen", "objective=probe")) == ()


def test_a_checkpoint_says_of_its_encoder_what_the_file_beside_it_says(tiles_train: Run) -> None:
    folder = tiles_train("run", "trainer.max_steps=4") / "checkpoints"
    kept = torch.load(folder / "last.ckpt", weights_only=True)
    with safe_open(folder / "last.safetensors", "pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items() if not key.startswith("format")}
    assert kept["encoder"].pop("prefix") == "encoder."
    assert kept["encoder"].pop("architecture") == about.pop("encoder") == kept["config"]["encoder"]
    assert kept["global_step"] == about.pop("step")
    assert kept["encoder"] == about


def test_the_best_checkpoint_is_of_the_lowest_validation_loss(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([3.0, 1.0, 2.0, float("nan"), 1.0])

    def on_validation_epoch_end(self: SimCLR) -> None:
        self._validated = []
        self.log("val/loss", next(values))

    monkeypatch.setattr(SimCLR, "on_validation_epoch_end", on_validation_epoch_end)
    folder = tiles_train("run", "trainer.val_check_interval=2") / "checkpoints"
    best = torch.load(folder / "best.ckpt", weights_only=True)
    assert best["global_step"] == 4
    assert best["callbacks"]["Checkpoint"]["best"] == 1.0
    with safe_open(folder / "best.safetensors", "pt") as file:
        assert json.loads(file.metadata()["step"]) == 4
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 10


def test_a_metric_that_no_validation_logs_is_a_mistake(tmp_path: Path) -> None:
    objective: Any = SimCLR
    Checkpoint(str(tmp_path), 1, monitor="val/effective_rank").check(None, objective)
    Checkpoint(str(tmp_path), 1, monitor="probe/heart_rate_r2").check(None, objective)
    with pytest.raises(ConfigError, match=r"callback.checkpoint.monitor = val/los: .* \(did you mean val/loss\?\)"):
        Checkpoint(str(tmp_path), 1, monitor="val/los").check(None, objective)


@pytest.mark.parametrize(("mode", "better"), [("min", 0.5), ("max", 2.0)])
def test_the_mode_says_what_is_better_and_no_number_never_is(tmp_path: Path, mode: Any, better: float) -> None:
    callback = Checkpoint(str(tmp_path), 1, mode=mode)
    assert callback._is_better(1.0)
    assert not callback._is_better(float("nan"))
    callback.load_state_dict({"best": 1.0})
    assert callback._is_better(better)
    assert not callback._is_better(1.0)
    assert not callback._is_better(float("nan"))


def test_a_crash_while_saving_leaves_the_checkpoint_of_before(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole, seen = os.replace, []

    def replace(source: Any, target: Any) -> None:
        if Path(target).name == "last.ckpt":
            seen.append(target)
            if len(seen) == 2:
                raise KeyboardInterrupt
        whole(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(SystemExit):
        tiles_train("run")
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3


def test_a_full_disk_is_told_with_what_to_do_and_leaves_the_checkpoint_of_before(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = torch.save

    def save(content: Any, file: Any) -> None:
        if content["global_step"] == 6:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(content, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "dataset.val_share=0")
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "last.ckpt: not written at step 6 (No space left on device); make room, then go on with resume=true" in told
    folder = tmp_path / "run" / "checkpoints"
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3
    assert not list(folder.glob("*.tmp"))


def test_a_disk_that_is_full_at_the_end_is_told_too(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(content: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "dataset.val_share=0", "trainer.max_steps=2")
    assert end.value.code == 2
    assert "last.ckpt: not written at step 2 (No space left on device); make room" in capsys.readouterr().err
    assert read_status(tmp_path / "run").state == "failed"
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_what_could_not_be_written_is_told_beside_another_failure(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(content: Any, file: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 3:
            raise ZeroDivisionError
        return whole(self, batch, batch_idx)

    whole = SimCLR.training_step
    monkeypatch.setattr(SimCLR, "training_step", training_step)
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(ZeroDivisionError):
        tiles_train("run")
    assert "last.ckpt: not written at step 3 (Input/output error); see to the folder" in capsys.readouterr().err


def test_a_run_that_fails_before_a_step_is_logged_keeps_the_checkpoint_of_before(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = MetricsCsv.log_metrics

    def log_metrics(self: MetricsCsv, metrics: Any, step: int | None = None) -> None:
        if step == 5:
            raise ZeroDivisionError
        whole(self, metrics, step)

    monkeypatch.setattr(MetricsCsv, "log_metrics", log_metrics)
    with pytest.raises(ZeroDivisionError):
        tiles_train("run")
    folder = tmp_path / "run" / "checkpoints"
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3
    assert not list(folder.glob("*.tmp"))


def test_the_last_checkpoint_and_the_one_before_are_kept_and_the_run_sums_up_its_best(tiles_train: Run) -> None:
    folder = tiles_train("run")
    steps = {
        path.name: torch.load(path, weights_only=True)["global_step"]
        for path in (folder / "checkpoints").glob("*.ckpt")
    }
    assert (steps["last.ckpt"], steps["previous.ckpt"]) == (10, 9)
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]["Checkpoint"]["best"]
    assert read_status(folder).metrics["best/val/loss"] == best
    losses = [row["val/loss"] for row in csv.DictReader((folder / "metrics.csv").open()) if row["val/loss"]]
    assert best == pytest.approx(min(map(float, losses)))


def test_what_a_killed_run_left_half_written_is_removed_when_it_goes_on(tiles_train: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt.tmp").write_bytes(b"half")
    tiles_train("run", "dataset.val_share=0", "trainer.max_steps=2")
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "last.safetensors"]
