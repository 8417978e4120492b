"""The writer of checkpoints: training goes on while it writes, and nothing half-logged gets a name."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.callback.checkpoint_writer import CheckpointWriter
from tiles_ecg.checkpoint_file import read_checkpoint


def state(step: int) -> dict[str, Any]:
    about = {"prefix": "encoder.", "architecture": {}}
    return {"global_step": step, "state_dict": {"encoder.w": torch.full((2,), float(step))}, "encoder": about}


def test_a_checkpoint_gets_its_name_when_it_is_released_and_not_before(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.save_checkpoint(state(1), tmp_path / "last.ckpt")
    assert writer.waits_for_release
    writer._write.join(0.2)  # type: ignore[union-attr]
    assert not (tmp_path / "last.ckpt").exists()
    writer.release()
    assert not writer.waits_for_release
    assert writer.wait() is None
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 1


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.save_checkpoint(state(1), tmp_path / "last.ckpt")
    writer.discard()
    assert writer.wait() is None
    assert os.listdir(tmp_path) == []
    writer.save_checkpoint(state(2), tmp_path / "last.ckpt")
    writer.teardown()
    assert os.listdir(tmp_path) == []


def test_what_is_released_is_not_discarded_any_more(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.save_checkpoint(state(1), tmp_path / "last.ckpt")
    writer.release()
    writer.discard()
    writer.teardown()
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 1


def test_training_goes_on_meanwhile_and_the_file_is_of_the_state_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, may_write = torch.save, threading.Event()

    def save(*given: Any) -> None:
        assert may_write.wait(10)
        whole(*given)

    monkeypatch.setattr(torch, "save", save)
    writer, training = CheckpointWriter(), state(1)
    writer.save_checkpoint(training, tmp_path / "last.ckpt", [tmp_path / "best.ckpt"])
    training["state_dict"]["encoder.w"].zero_()
    training["global_step"] = 2
    may_write.set()
    writer.wait()
    for name in ("last.ckpt", "best.ckpt"):
        found = read_checkpoint(tmp_path / name)
        assert (found["global_step"], found["state_dict"]["encoder.w"].tolist()) == (1, [1.0, 1.0])


def test_a_save_waits_for_the_one_before(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    for step in (1, 2, 3):
        writer.save_checkpoint(state(step), tmp_path / "last.ckpt")
    writer.wait()
    found = {path.name: read_checkpoint(path)["global_step"] for path in tmp_path.glob("*.ckpt")}
    assert found == {"last.ckpt": 3, "previous.ckpt": 2}


def test_a_failure_is_told_once_with_file_and_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = CheckpointWriter()
    writer.save_checkpoint(state(5), tmp_path / "file" / "last.ckpt")
    failure = writer.wait()
    assert failure is not None
    assert (failure.path, failure.step) == (tmp_path / "file" / "last.ckpt", 5)
    assert isinstance(failure.error, OSError)
    assert writer.wait() is None


def test_a_failure_that_was_not_asked_for_comes_up_at_the_next_save(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = CheckpointWriter()
    writer.save_checkpoint(state(5), tmp_path / "file" / "last.ckpt")
    with pytest.raises(OSError, match="file"):
        writer.save_checkpoint(state(6), tmp_path / "last.ckpt")
    writer.save_checkpoint(state(7), tmp_path / "last.ckpt")
    assert writer.wait() is None
