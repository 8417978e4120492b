"""The progress bar."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tiles_ecg.callback import progress
from tiles_ecg.callback.progress import Progress


def trainer(step: int, **metrics: float) -> Any:
    named = {key.replace("_", "/", 1): torch.tensor(value) for key, value in metrics.items()}
    return SimpleNamespace(
        global_step=step,
        max_steps=40,
        is_global_zero=True,
        callback_metrics=named,
        datamodule=SimpleNamespace(batch_size=16),
    )


def run(callback: Progress, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    module: Any = None
    callback.on_train_start(trainer(start), module)
    for step in range(start + 1, 41):
        metrics = {"train_loss": 2.5, "val_loss": 3.25, "val_effective_rank": 17.0}
        callback.on_train_batch_end(trainer(step, **metrics), module, None, None, step)
    callback.on_train_end(trainer(40), module)


def test_it_shows_step_loss_windows_a_second_and_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Progress(10), 0, monkeypatch)
    last = re.split(r"[\r\n]+", capsys.readouterr().err.strip())[-1]
    assert last.startswith("training: 100%")
    assert "40/40 [" in last
    assert "<00:00, loss 2.5, 160 windows/s, val loss 3.25, val effective_rank 17]" in last  # 40 steps of 16 in 4 s


def test_in_a_terminal_of_80_columns_everything_but_the_validation_is_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, module, running = Progress(1), None, trainer(0, train_loss=2.125, val_loss=2.0)
    running.max_steps, running.datamodule.batch_size = 60000, 1024
    times = iter([0.0, 3600.0, 3600.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    callback.on_train_start(running, module)  # type: ignore[arg-type]
    running.global_step = running.max_steps
    callback.on_train_batch_end(running, module, None, None, 1)  # type: ignore[arg-type]
    callback.on_train_end(running, module)  # type: ignore[arg-type]
    last = re.split(r"[\r\n]+", capsys.readouterr().err.strip())[-1]
    seen = last[: last.index("windows/s") + len("windows/s")].replace("█" * 10, "█")  # the bar gives way
    assert len(seen) <= 80 - 4  # 1:00:00 instead of 00:00, twice
    assert seen.endswith("loss 2.12, 17,067 windows/s")


def test_the_loss_is_not_read_more_often_than_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unread:
        def __float__(self) -> float:
            raise AssertionError("read, which makes the CPU wait for the GPU")

    monkeypatch.setattr(progress.time, "monotonic", lambda: 5.0)
    callback, module, running = Progress(1), None, trainer(0)
    callback.on_train_start(running, module)  # type: ignore[arg-type]
    running.callback_metrics, running.global_step = {"train/loss": Unread()}, 1
    callback.on_train_batch_end(running, module, None, None, 1)  # type: ignore[arg-type]
    callback.on_train_end(running, module)  # type: ignore[arg-type]


def test_a_resumed_run_begins_where_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Progress(10), 30, monkeypatch)
    assert "30/40" in re.split(r"[\r\n]+", capsys.readouterr().err.strip())[0]


def test_an_exception_ends_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    callback, module = Progress(10), None
    callback.on_train_start(trainer(0), module)  # type: ignore[arg-type]
    callback.on_exception(trainer(0), module, KeyboardInterrupt())  # type: ignore[arg-type]
    assert capsys.readouterr().err.endswith("\n")


def test_other_processes_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    callback, module = Progress(1), None
    other = trainer(0)
    other.is_global_zero = False
    callback.on_train_start(other, module)  # type: ignore[arg-type]
    callback.on_train_batch_end(other, module, None, None, 0)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""
