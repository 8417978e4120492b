"""TensorBoard events."""

from pathlib import Path

import pytest
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
