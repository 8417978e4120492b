"""Fine-tuning: one metric over all validation examples, what chooses, and what the loss sees."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.objective.finetune import FineTune
from tiles_ecg.objective.head import LinearHead
from tiles_ecg.protocol import Protocol
from tiles_ecg.task.classification import Classification
from tiles_ecg.task.regression import Regression
from tiles_ecg.task.verification import Verification


class Encoder(nn.Sequential):
    embedding_dim = 4

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(1, 4, 9, 4), nn.BatchNorm1d(4), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def module(store: Path, task: Any, **changed: Any) -> tuple[FineTune, TaskDataModule, dict[str, Any]]:
    """Objective and data module, and where what is logged ends up."""
    torch.manual_seed(0)
    data = TaskDataModule(str(store), task, Protocol(3, 4), 16, 100.0, 2.0, 1)
    arguments: dict[str, Any] = {
        "encoder": Encoder(),
        "head": LinearHead,
        "augmentation": Chain({}),
        "optimizer": partial(torch.optim.AdamW, lr=0.1),
        "scheduler": partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0),
    }
    made = FineTune(**(arguments | changed))
    made.build_for(data)
    made._trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1, datamodule=data)  # type: ignore[assignment]
    logged: dict[str, Any] = {}
    made.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign,assignment]
    made.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign,assignment]
    return made, data, logged


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FineTune, "trainer", property(lambda self: self._trainer))
    monkeypatch.setattr(FineTune, "global_step", property(lambda self: 0))
    monkeypatch.setattr(FineTune, "global_rank", property(lambda self: 0))


def validate(made: FineTune, data: TaskDataModule, sizes: list[int]) -> list[EcgBatch]:
    made.eval()
    edges = np.cumsum([0, *sizes])
    assert edges[-1] == len(data.val_rows)
    batches = [data.gather(data.val_rows[a:b]) for a, b in pairwise(edges)]
    with torch.no_grad():
        for number, batch in enumerate(batches):
            made.validation_step(batch, number)
        made.on_validation_epoch_end()
    return batches


@pytest.mark.parametrize("sizes", [[20], [13, 7], [1, 2, 17], [1] * 20])
def test_the_metric_is_computed_once_over_all_windows_however_they_are_batched(
    tone_store: Path, sizes: list[int]
) -> None:
    made, data, logged = module(tone_store, Classification("tone", "tone", ["low", "high"], "window"))
    batches = validate(made, data, sizes)
    windows = data.windows
    truth = windows.label("tone").value
    with torch.no_grad():
        score = {
            int(row): float(p)
            for batch in batches
            for row, p in zip(batch.index, made.predict_step(batch)[:, 1], strict=True)
        }
    whole = roc_auc_score(truth[list(score)], list(score.values()))
    assert logged["val/auroc"] == logged["val/selection"] == pytest.approx(whole)
    each = []
    for batch in batches:
        rows = batch.index.tolist()
        if len(set(truth[rows].tolist())) == 2:
            each.append(roc_auc_score(truth[rows], [score[row] for row in rows]))
    if len(each) == len(sizes) > 1:
        assert abs(np.mean(each) - whole) > 1e-3  # an average over batches would be another number


def test_the_windows_of_a_recording_are_pooled_before_the_metric_and_less_error_is_better(tone_store: Path) -> None:
    made, data, logged = module(tone_store, Regression("pitch", "pitch", "recording", metric="mae"))
    batches = validate(made, data, [13, 17])
    recording = data.windows.recording
    said: dict[int, list[float]] = {}
    with torch.no_grad():
        for batch in batches:
            for row, value in zip(batch.index.tolist(), made.predict_step(batch)[:, 0].tolist(), strict=True):
                said.setdefault(int(recording[row]), []).append(value)
    truth = dict(zip(recording.tolist(), data.windows.label("pitch").value.tolist(), strict=True))
    expected = np.mean([abs(np.mean(values) - truth[number]) for number, values in said.items()])
    assert logged["val/mae"] == pytest.approx(expected, rel=1e-5)
    assert logged["val/selection"] == -logged["val/mae"]


def test_the_loss_of_a_batch_is_the_weighted_mean_over_its_windows(tone_store: Path) -> None:
    task = Classification("tone", "tone", ["low", "high"], "recording")
    made, data, logged = module(tone_store, task)
    rows = data.train_rows[[0, 1, 2, 30, 40, 50]]
    batch = data.gather(rows)
    made.train()
    output = made.head(made.encoder(batch.signal), torch.zeros(6, 0))
    value = torch.from_numpy(data.windows.label("tone").value[rows].astype(np.int64))
    expected = nn.functional.cross_entropy(output, value)  # as many of each class, and windows of each recording
    torch.testing.assert_close(made.training_step(batch, 0), expected)
    torch.testing.assert_close(logged["train/loss"], expected)


def test_the_truth_of_the_test_side_cannot_be_looked_up(tone_store: Path) -> None:
    made, data, _ = module(tone_store, Regression("pitch", "pitch", "window", metric="mae"))
    assert made.known.value[data.test_rows].isnan().all()
    assert made.known.value[np.concatenate([data.train_rows, data.val_rows])].isfinite().all()
    assert (made.known.weight[data.test_rows] == 0).all()


def test_the_loss_chooses_where_validation_subjects_cannot_tell_good_from_bad(
    tone_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, data, logged = module(tone_store, Classification("place", "place", ["indoors", "outdoors"], "window"))
    data.val_rows = data.train_rows[data.windows.label("place").value[data.train_rows] == 0][:20]
    validate(made, data, [12, 8])
    assert np.isnan(logged["val/auroc"])
    assert logged["val/selection"] == -logged["val/loss"]
    assert "their truth is all the same): the loss chooses instead" in caplog.text


def test_people_who_cannot_be_compared_choose_nothing_and_it_is_said(
    tone_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, data, logged = module(tone_store, Verification("person"))
    data.val_rows = data.val_rows[data.windows.subject[data.val_rows] == data.windows.subject[data.val_rows[0]]]
    validate(made, data, [len(data.val_rows)])
    assert np.isnan(logged["val/selection"])
    assert "nothing can be chosen by them, the last step is judged" in caplog.text


def test_what_a_validation_logs_is_told_before_it_happens(tone_store: Path) -> None:
    made, data, logged = module(
        tone_store, Classification("tone", "tone", ["low", "high"], "window", "average_precision")
    )
    validate(made, data, [20])
    assert set(made.VALIDATED) == set(logged) == {"val/loss", "val/selection", "val/average_precision"}


def test_the_head_does_not_depend_on_what_was_drawn_before(tone_store: Path) -> None:
    task = Classification("tone", "tone", ["low", "high"], "window")

    def weight(seed: int, n_drawn: int) -> Tensor:
        made = FineTune(Encoder(), LinearHead, Chain({}), torch.optim.SGD, partial(torch.optim.lr_scheduler.ConstantLR),
                        seed=seed)  # fmt: skip
        torch.rand(n_drawn)
        made.build_for(TaskDataModule(str(tone_store), task, Protocol(3, 4), 16, 100.0, 2.0, 1))
        return made.head.linear.weight

    assert torch.equal(weight(1, 3), weight(1, 5))
    assert not torch.equal(weight(1, 3), weight(2, 3))


def test_a_window_that_the_encoder_cannot_take_shows_before_data_is_opened() -> None:
    made = FineTune(Encoder(), LinearHead, Chain({}), torch.optim.SGD, partial(torch.optim.lr_scheduler.ConstantLR))
    made.check(1, 100)
    assert made.encoder.training
    assert not made.encoder[1].running_mean.any()
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        made.check(1, 5)
