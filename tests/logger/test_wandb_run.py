"""What the W&B client is told, and when."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.config import ConfigError
from tiles_ecg.logger.wandb_run import STEP, WandbRun

Run = Callable[..., Path]


def test_online_without_a_key_is_a_mistake_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode = online: there is no API key"):
        WandbRun(str(tmp_path), "test", mode="online")


@pytest.mark.parametrize("project", ["team/ecg", "a:b", "", "x" * 129])
def test_a_project_that_wandb_does_not_take_is_a_mistake(tmp_path: Path, project: str) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.project = .*W&B takes names of 1 to 128 characters"):
        WandbRun(str(tmp_path), project)


def test_nothing_begins_before_something_is_logged(tmp_path: Path, online: Any) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.end("failed", {})
    assert begun == []
    assert list(tmp_path.iterdir()) == []


def test_rows_carry_the_trainers_step_and_are_sent_when_it_is_over(tmp_path: Path, online: Any) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(0)
    logger.log_metrics({"train/loss": torch.tensor(0.5)}, 3)
    logger.log_metrics({"val/loss": 2.0}, 3)
    assert begun[0].named("log") == []
    logger.log_metrics({"train/loss": 0.25}, 4)
    logger.end("finished", {"best/val/loss": 2.0})
    rows = [({"train/loss": 0.5, "val/loss": 2.0, STEP: 3}, {"step": 3}), ({"train/loss": 0.25, STEP: 4}, {"step": 4})]
    assert begun[0].named("log") == rows
    assert begun[0].summary == {"best/val/loss": 2.0, "state": "finished"}
    assert begun[0].named("finish") == [({"exit_code": 0},)]


def test_a_resumed_online_run_goes_on_after_the_last_step_that_the_service_has(tmp_path: Path, online: Any) -> None:
    begun = online(6)
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(3)
    for step in range(3, 9):
        logger.log_metrics({"train/loss": float(step)}, step)
    logger.end("finished", {})
    assert [given["step"] for _, given in begun[0].named("log")] == [6, 7, 8]
    assert begun[0].given["resume"] == "allow"


def test_rows_of_before_the_checkpoint_that_were_never_sent_come_from_the_csv(tmp_path: Path, online: Any) -> None:
    begun = online(3)
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/loss\n2,2.0,\n3,3.0,0.3\n4,4.0,\n5,5.0,\n")
    logger = WandbRun(str(tmp_path), "test")
    logger.resume(5)
    logger.log_metrics({"train/loss": 5.5}, 5)
    logger.end("finished", {})
    rows = [
        {"train/loss": 3.0, "val/loss": 0.3, STEP: 3},
        {"train/loss": 4.0, STEP: 4},
        {"train/loss": 5.5, STEP: 5},
    ]
    assert [row for row, _ in begun[0].named("log")] == rows


@pytest.mark.parametrize(
    ("state", "exit_code", "is_preempting"),
    [
        ("finished", 0, False),
        ("pruned", 0, False),
        ("failed", 1, False),
        ("interrupted", 255, False),
        ("preempted", 143, True),
    ],
)
def test_a_run_ends_as_it_ended(tmp_path: Path, online: Any, state: Any, exit_code: int, is_preempting: bool) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test", tags=["mine"])
    logger.log_metrics({"a": 1.0}, 0)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logger.end(state, {"a": 1.0})
    run = begun[0]
    assert run.named("finish") == [({"exit_code": exit_code},)]
    assert bool(run.named("mark_preempting")) == is_preempting
    assert run.tags == (("mine", "pruned") if state == "pruned" else ("mine",))
    assert run.summary == {"a": 1.0, "state": state} | (
        {"error": "ZeroDivisionError: by nothing"} if state == "failed" else {}
    )
    is_cut = state in ("failed", "interrupted")  # perhaps in the middle of the step, which is then made again
    assert len(run.named("log")) == (0 if is_cut else 1)


def test_a_service_that_no_longer_answers_does_not_keep_a_run_from_ending(
    tmp_path: Path, online: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.log_metrics({"a": 1.0}, 0)
    settings = begun[0].given["settings"]
    assert 0 < settings.finish_timeout <= 3600
    assert settings.finish_timeout_raises

    def finish(**_: Any) -> None:
        raise TimeoutError("Timed out finishing run.")

    begun[0].finish = finish
    logger.end("finished", {})
    assert "it may be shown as running (TimeoutError: Timed out finishing run.)" in caplog.text


def test_a_failure_of_wandb_hides_nothing_and_the_run_is_finished_all_the_same(
    tmp_path: Path, online: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun = online()
    logger = WandbRun(str(tmp_path), "test")
    logger.log_metrics({"a": 1.0}, 0)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no disk")

    begun[0].log = broken
    logger.end("finished", {})
    assert "its summary is not complete (RuntimeError: no disk)" in caplog.text
    assert begun[0].named("finish") == [({"exit_code": 0},)]


def test_the_encoder_is_left_as_an_artifact_and_declared_as_input_by_the_next(
    tiles_train: Run, finetune: Run, online: Any, monkeypatch: pytest.MonkeyPatch, tone_store: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    begun = online()
    crop = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "callback.online_probe=null")
    first = tiles_train(
        "first", f"dataset.store={tone_store}", "dataset.window_s=2.0", "trainer.max_steps=2", "logger=wandb", *crop
    )
    finetune("second", "encoder=pretrained", f"encoder.path={first}", "audit.accept=[pretraining]", "logger=wandb")
    one, other = begun
    left = {given["aliases"][0]: artifact for artifact, given in one.named("log_artifact") if artifact.type == "model"}
    ((used, _),) = other.named("use_artifact")
    assert left["last"].name == used.name == f"encoder-{one.id}"
    assert left["last"].digest == used.digest
    lineage = other.config["lineage"]["first"]
    assert (lineage["run_id"], lineage["artifact"], lineage["step"]) == (one.id, used.name, 2)
    assert "lineage" not in one.config
    assert (one.given["job_type"], other.given["job_type"]) == ("pretrain", "finetune")
    assert {"objective:finetune", "encoder:pretrained", "task:synthetic_stress"} < set(other.tags)
    assert [artifact.name for artifact, _ in other.named("log_artifact") if artifact.type == "checkpoint"] == [
        f"checkpoint-{other.id}"
    ]


def test_without_artifacts_none_are_left(tiles_train: Run, online: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    begun = online()
    tiles_train("run", "trainer.max_steps=2", "logger=wandb", "logger.artifacts=false")
    assert begun[0].named("log_artifact") == []


def test_a_process_that_is_not_the_first_begins_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    WandbRun(str(tmp_path), "test", mode="offline")
    assert list(tmp_path.iterdir()) == []
