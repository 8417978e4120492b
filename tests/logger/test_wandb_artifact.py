"""Encoders as artifacts: one name and one content for who leaves them and who goes on from them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tiles_ecg.logger.wandb_artifact import encoder_artifact, left_by, went_on_from

Run = Callable[..., Path]


@pytest.fixture
def run(tiles_train: Run) -> Path:
    folder = tiles_train("run", "trainer.max_steps=4")
    (folder / "wandb_run_id.txt").write_text("abc123")
    return folder


def test_a_run_leaves_its_best_and_last_encoder_under_one_name(run: Path) -> None:
    found = left_by(run)
    assert {alias: one.name for alias, one in found.items()} == {"best": "encoder-abc123", "last": "encoder-abc123"}
    about = found["last"].metadata()
    assert about["step"] == 4
    assert about["sha256"] == hashlib.sha256((run / "checkpoints/last.safetensors").read_bytes()).hexdigest()
    assert about["preprocessing"]["sample_rate"] == 100
    assert about["architecture"]["widths"] == [8, 16]
    assert len(about["stores"]) == 1


def test_whoever_goes_on_from_it_names_the_same_artifact_of_the_same_content(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    left = left_by(run)["last"].built()
    for path in (run, run / "checkpoints/last.safetensors", run / "checkpoints/last.ckpt"):
        used = went_on_from({"encoder": {"path": str(path)}})[run.name if path == run else "run last"].built()
        assert (used.name, used.type, used.digest) == (left.name, left.type, left.digest)


def test_a_moved_file_is_known_by_its_weights(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((run / "checkpoints/last.safetensors").read_bytes())
    there, here = encoder_artifact(run), encoder_artifact(moved)
    assert here.name == f"encoder-{there.about.digest}"
    assert here.metadata() == there.metadata()


def test_a_config_names_what_a_run_goes_on_from(run: Path) -> None:
    assert went_on_from({"encoder": {"_target_": "x"}, "encoders": None}) == {}
    assert went_on_from({"encoder": {"path": str(run), "fresh": True}}) == {}
    several = {"encoders": {"a": str(run), "b": {"path": str(run), "strict": False}}, "encoder": {}}
    assert [one.name for one in went_on_from(several).values()] == ["encoder-abc123", "encoder-abc123"]
    assert list(went_on_from({"encoders": [str(run)]})) == ["run"]


def test_a_run_without_checkpoints_leaves_none_and_a_damaged_one_is_passed_over(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert left_by(tmp_path) == {}
    (run / "checkpoints/best.safetensors").write_bytes(b"cut short")
    assert list(left_by(run)) == ["last"]
    assert "no artifact of" in caplog.text
