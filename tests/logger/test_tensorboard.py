"""TensorBoard events."""

import io
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tiles_ecg.logger.tensorboard import TensorBoard


def scalars(folder: Path) -> dict[int, float]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("train/loss")}


def log(folder: Path, start: int, values: list[float]) -> None:
    logger = TensorBoard(str(folder))
    logger.resume(start)
    for step, value in enumerate(values, start):
        logger.log_metrics({"train/loss": value}, step)
    logger.finalize("success")


def test_the_events_hold_the_scalars(tmp_path: Path) -> None:
    log(tmp_path, 0, [3.0, 2.0])
    assert scalars(tmp_path) == {0: 3.0, 1: 2.0}


def test_steps_made_again_by_a_resumed_run_are_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log(tmp_path, 0, [3.0, 2.0, 1.0])
    first = next((tmp_path / "tensorboard").glob("events*"))
    first.rename(first.with_name("events.out.tfevents.0.first"))  # files are read in the order of their names
    log(tmp_path, 1, [2.5])
    assert scalars(tmp_path) == {0: 3.0, 1: 2.5}


def test_pictures_tables_and_the_config_are_in_the_events(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / "red.png")
    logger = TensorBoard(str(tmp_path))
    logger.resume(0)
    logger.log_hyperparams({"encoder": {"widths": [8, 16]}})
    logger.log_picture("pictures/views", tmp_path / "red.png", "what is seen", 3)
    logger.log_rows("tables/test", ["metric", "value"], [["auroc", 0.75], ["f|1", None]], 3)
    logger.end("finished", {})
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0, "tensors": 0})
    events.Reload()
    (picture,) = events.Images("pictures/views")
    assert (picture.step, picture.width, picture.height) == (3, 8, 4)
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert text(events, "config/text_summary") == "    encoder:\n      widths:\n      - 8\n      - 16"
    assert text(events, "tables/test/text_summary").splitlines()[2:] == ["| auroc | 0.75 |", "| f\\|1 |  |"]
    assert text(events, "pictures/views/caption/text_summary") == "what is seen"
    assert not list(tmp_path.glob("tensorboard/*.yaml"))


def test_a_full_disk_at_the_end_hides_nothing_of_how_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = TensorBoard(str(tmp_path))
    logger.resume(0)
    logger.log_metrics({"train/loss": 1.0}, 0)

    def broken() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logger.experiment, "close", broken)
    logger.end("failed", {})
    assert "its last rows are not kept" in caplog.text


def test_a_resumed_run_does_not_tell_its_config_again(tmp_path: Path) -> None:
    logger = TensorBoard(str(tmp_path))
    logger.resume(4)
    logger.log_hyperparams({"seed": 0})
    assert not list(tmp_path.iterdir())


def text(events: EventAccumulator, tag: str) -> str:
    return str(events.Tensors(tag)[0].tensor_proto.string_val[0].decode())
