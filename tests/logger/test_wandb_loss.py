"""W&B that fails: no run ends by it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.logger.wandb_folder import run_id
from tiles_ecg.logger.wandb_run import WandbRun
from tiles_ecg.objective.simclr import SimCLR

Run = Callable[..., Path]
Reader = Callable[[Path], list[dict[str, Any]]]


def test_a_service_that_does_not_answer_leaves_the_run_offline(
    fake_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    modes = []

    def init(**given: Any) -> Any:
        modes.append(given["mode"])
        if given["mode"] == "online":
            raise wandb.errors.CommError("timed out")
        return fake_run(**given)

    monkeypatch.setattr(wandb, "init", init)
    WandbRun(str(tmp_path), "test").log_hyperparams({"seed": 0})
    assert modes == ["online", "offline"]
    assert "W&B did not answer (timed out); logging offline" in caplog.text


@pytest.mark.slow
def test_a_service_that_is_not_there_leaves_a_run_that_can_be_read(
    inspected: Reader, tiles_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("tiles_ecg.logger.wandb_run.INIT_TIMEOUT_S", 3.0)
    folder = tiles_train("run", "logger=wandb", "trainer.max_steps=2")
    assert "logging offline" in capsys.readouterr().err
    (found,) = inspected(folder)
    assert (found["exit_code"], found["run_id"]) == (0, run_id(folder))


def test_where_not_even_an_offline_run_begins_there_is_none_and_nothing_raises(
    fake_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    modes = []

    def init(**given: Any) -> Any:
        modes.append(given["mode"])
        if given["mode"] != "disabled":
            raise RuntimeError("no service")
        return fake_run(**given)

    monkeypatch.setattr(wandb, "init", init)
    logger = WandbRun(str(tmp_path), "test", mode="offline")
    logger.log_metrics({"a": 1.0}, 0)
    logger.end("finished", {})
    assert modes == ["offline", "disabled"]
    assert "W&B did not answer (no service); going on without it" in caplog.text


def test_a_failure_in_the_middle_of_a_run_is_told_once_and_raises_nothing(
    tmp_path: Path, online: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.log_metrics({"a": 1.0}, 0)

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("Connection lost")

    begun[0].log = broken
    for step in range(1, 4):
        logger.log_metrics({"a": 1.0}, step)
    logger.log_rows("tables/test", ["a"], [[1.0]], 4)
    logger.log_facts({"protocol_hash": "0"})
    logger.end("finished", {})
    assert caplog.text.count("lost (ConnectionResetError: Connection lost); going on without it") == 1
    assert len(begun) == 1
    assert begun[0].named("finish") == []


@pytest.mark.parametrize("call", ["resume", "log_hyperparams"])
def test_what_fails_before_anything_has_begun_does_not_fail_again(
    tmp_path: Path, online: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    begun = online()

    def broken(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tiles_ecg.logger.wandb_run.run_id", broken)
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(0) if call == "resume" else logger.log_hyperparams({"seed": 0})
    assert logger.experiment is None
    assert logger.is_lost
    logger.end("finished", {})
    assert begun == []


@pytest.mark.slow
def test_a_service_that_is_killed_ends_neither_its_run_nor_the_next(
    services: Callable[[int], list[int]],
    inspected: Reader,
    tiles_train: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = SimCLR.training_step

    def training_step(self: SimCLR, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 3:
            for service in services(os.getpid()):
                os.kill(service, signal.SIGKILL)
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    drawn = "callback.pictures={n_mapped:20}"  # what it imports, W&B would watch
    lost = tiles_train("lost", "logger=default", drawn)
    assert capsys.readouterr().err.count("going on without it") == 1  # so there was a service to kill
    assert torch.load(lost / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 10
    assert (lost / "pictures" / "embedding_map.png").exists()
    monkeypatch.setattr(SimCLR, "training_step", whole)
    (fine,) = inspected(tiles_train("fine", "logger=default", "trainer.max_steps=2"))
    assert (fine["exit_code"], fine["summary"]["state"]) == (0, "finished")
