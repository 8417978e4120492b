"""Pictures: they are drawn, handed to the loggers, and change nothing of a run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tiles_ecg.callback.pictures import Pictures
from tiles_ecg.objective.simclr import SimCLR

Run = Callable[..., Path]
DRAWN = "callback.pictures={n_mapped:20}"  # over what the fixtures leave out


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)  # type: ignore[no-any-return]


def size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_a_run_with_pictures_equals_one_without_to_the_last_bit(tiles_train: Run) -> None:
    dropout = "encoder.dropout=0.2"  # draws from the run's generator while it trains
    plain = tiles_train("plain", dropout)
    with_pictures = tiles_train("drawn", dropout, "callback.pictures={n_mapped:20,every_n_validations:1}")
    assert (with_pictures / "metrics.csv").read_text() == (plain / "metrics.csv").read_text()
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(checkpoint(with_pictures)[part], checkpoint(plain)[part])
    assert sorted(path.name for path in (with_pictures / "pictures").iterdir()) == ["embedding_map.png", "views.png"]
    assert not (plain / "pictures").exists()


def test_pictures_lie_in_the_folder_in_tensorboard_and_in_wandb(tiles_train: Run) -> None:
    folder = tiles_train("run", DRAWN, "logger=default", "trainer.max_steps=3")
    events = EventAccumulator(str(folder / "tensorboard"), {"images": 0})
    events.Reload()
    assert sorted(events.Tags()["images"]) == ["pictures/embedding_map", "pictures/views"]
    assert events.Images("pictures/views")[0].step == 0
    assert events.Images("pictures/embedding_map")[0].step == 3
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(file)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["summary"]
    for name in ("views", "embedding_map"):
        inside = file.parent / "files" / told[f"pictures/{name}"]["path"]
        assert inside.read_bytes() == (folder / "pictures" / f"{name}.png").read_bytes()


def test_a_resumed_run_keeps_the_views_and_draws_the_map_anew(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 8:
            raise ZeroDivisionError
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    with pytest.raises(ZeroDivisionError):
        tiles_train("run", DRAWN)
    monkeypatch.setattr(SimCLR, "training_step", whole)
    views = tmp_path / "run" / "pictures" / "views.png"
    views.parent.mkdir(exist_ok=True)
    views.write_bytes(b"as it was")
    tiles_train("run", DRAWN, "resume=true")
    assert views.read_bytes() == b"as it was"
    assert size(views.with_name("embedding_map.png"))[0] == 880


def test_a_task_colours_the_map_and_windows_that_are_not_augmented_are_not_drawn(finetune: Run) -> None:
    folder = finetune("run", "trainer.max_steps=2", DRAWN)
    assert [path.name for path in (folder / "pictures").iterdir()] == ["embedding_map.png"]
    crop = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "callback.pictures={n_mapped:0}")
    folder = finetune("cropped", "trainer.max_steps=2", *crop)
    assert [path.name for path in (folder / "pictures").iterdir()] == ["views.png"]


@pytest.mark.parametrize("label", ["null", "age", "activity", "beat_type"])
def test_the_map_is_coloured_by_any_label(tiles_train: Run, label: str) -> None:
    few = f"callback.pictures={{n_mapped:20,n_windows:0,label:{label}}}"
    folder = tiles_train("run", few, "trainer.max_steps=1", "callback.online_probe=null")
    n_panels = 1 if label == "null" else 2  # by subject, and by the label
    assert size(folder / "pictures" / "embedding_map.png")[0] == (605, 880)[n_panels - 1]


def test_a_label_that_no_store_has_is_a_mistake(
    tiles_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        tiles_train("run", "callback.pictures={label:rythm}")
    assert end.value.code == 2
    assert "callback.pictures.label = rythm: no store has this label; there are auto, heart_rate" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_a_picture_that_cannot_be_drawn_does_not_end_the_run(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiles_ecg.summary import figure_map, figure_views

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(figure_views, "draw_views", broken)
    monkeypatch.setattr(figure_map, "draw_maps", broken)
    folder = tiles_train("run", DRAWN, "trainer.max_steps=2")
    told = capsys.readouterr().err
    assert "the views: not drawn (RuntimeError: no ink)" in told
    assert "the embedding map: not drawn (RuntimeError: no ink)" in told
    assert checkpoint(folder)["global_step"] == 2


def test_embedding_leaves_every_module_in_the_mode_it_had() -> None:
    from types import SimpleNamespace

    from tiles_ecg.callback.pictures import _embed

    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(4), torch.nn.Dropout())
    encoder[1].eval()
    batch = SimpleNamespace(signal=torch.randn(3, 1, 4))
    datamodule = SimpleNamespace(gather=lambda rows: batch)
    module: Any = SimpleNamespace(encoder=encoder, device=torch.device("cpu"))
    before = encoder[1].running_mean.clone()
    found = _embed(datamodule, module, np.arange(3))
    np.testing.assert_array_equal(found, encoder.eval()(batch.signal).detach().numpy())
    assert torch.equal(encoder[1].running_mean, before)
    encoder.train()
    encoder[1].eval()
    _embed(datamodule, module, np.arange(3))
    assert [part.training for part in encoder] == [True, False, True]


def test_a_checkpoint_saved_at_a_validation_has_counted_it_so_that_a_resumed_run_draws_in_step(
    tiles_train: Run,
) -> None:
    folder = tiles_train(
        "run", "callback.pictures={n_windows:0,n_mapped:0}", "callback.checkpoint.every_n_train_steps=4"
    )
    counts = {
        name: torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["callbacks"]["Pictures"]
        for name in ("previous", "last")
    }
    assert counts == {"previous": {"n_validations": 2}, "last": {"n_validations": 3}}
    again = Pictures(str(folder))
    again.load_state_dict(counts["previous"])
    assert again.state_dict() == counts["previous"]
