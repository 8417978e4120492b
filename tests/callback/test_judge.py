"""The judge: what it refuses before a run, what it names, and what it leaves sealed. Runs: tests/test_train_task.py."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.callback.judge import Judge
from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.evaluation.audit import LeakError
from tiles_ecg.objective.finetune import FineTune
from tiles_ecg.objective.head import LinearHead
from tiles_ecg.protocol import Protocol
from tiles_ecg.task.classification import Classification


class Encoder(nn.Sequential):
    embedding_dim = 1

    def __init__(self) -> None:
        super().__init__(nn.AdaptiveAvgPool1d(1), nn.Flatten())


def parts(store: Path, **changed: Any) -> tuple[TaskDataModule, FineTune]:
    task = Classification("tone", "tone", ["low", "high"], "window")
    data = TaskDataModule(
        str(store), task, Protocol(3, 4), 16, 100.0, 2.0, 1, n_subjects=changed.pop("n_subjects", None)
    )
    constant = partial(torch.optim.lr_scheduler.ConstantLR)
    made = FineTune(Encoder(), LinearHead, Chain({}), torch.optim.SGD, constant, **changed)
    made.build_for(data)
    return data, made


def test_without_a_task_there_is_nothing_to_judge_by(tmp_path: Path, tone_store: Path) -> None:
    data, made = parts(tone_store)
    for wrong in ((object(), made), (data, object())):
        with pytest.raises(ConfigError, match="no task to judge by; give objective=finetune, probe or fusion"):
            Judge(str(tmp_path)).check(*wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("is_frozen", "given", "name", "head"),
    [
        (False, {}, "from scratch", "fine-tuned"),
        (True, {}, "untrained", "linear (trained)"),
        (False, {"name": "mine"}, "mine", "fine-tuned"),
        (False, {"path": "outputs/my-run/checkpoints/best.ckpt"}, "my-run best", "fine-tuned"),
        (False, {"path": "outputs/my-run"}, "my-run", "fine-tuned"),
    ],
)
def test_an_encoder_is_called_by_its_run_and_a_fresh_one_by_what_it_is_a_control_as(
    tmp_path: Path, tone_store: Path, is_frozen: bool, given: dict[str, str], name: str, head: str
) -> None:
    data, made = parts(tone_store, is_frozen=is_frozen, n_subjects=5)
    judge = Judge(str(tmp_path), **given)
    judge.check(data, made)
    method = judge.method
    assert (method.encoder, method.head, method.role, method.n_subjects) == (name, head, "control", 5)


def test_what_was_agreed_on_is_in_the_folder_before_the_run_and_the_test_side_stays_sealed(
    tmp_path: Path, tone_store: Path
) -> None:
    data, made = parts(tone_store)
    judge = Judge(str(tmp_path))
    judge.check(data, made)
    judge.begin()
    found = json.loads((tmp_path / "protocol.json").read_text())
    assert found["hash"] == data.plan.hash
    assert (found["finished"], found["fold"], found["job"], found["encoders"]) == (False, 0, "finetune", {})
    with pytest.raises(LeakError):
        data.gather(data.test_rows)


def test_a_checkpoint_carries_the_protocol(tmp_path: Path, tone_store: Path) -> None:
    data, made = parts(tone_store)
    judge, kept = Judge(str(tmp_path)), {}
    judge.check(data, made)
    judge.on_save_checkpoint(None, made, kept)  # type: ignore[arg-type]
    assert kept == {"protocol": {"hash": data.plan.hash, "fold": 0}}
