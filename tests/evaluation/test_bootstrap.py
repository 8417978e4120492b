"""Estimates: a value with an interval, or the reason why there is none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tiles_ecg.evaluation.bootstrap import BootstrapError, estimate
from tiles_ecg.evaluation.metric import metric, metrics_of
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.task.target import Kind

AUROC = metric("binary", "auroc")


def study(n_subjects: int = 20, n_windows: int = 5, seed: int = 0, kind: Kind = "binary") -> Predictions:
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_subjects), n_windows)
    n, offset = len(subject), 0.7 * rng.normal(size=n_subjects)[subject]
    truth = rng.integers(2 if kind == "binary" else 3, size=n)
    score = np.exp(np.eye(truth.max() + 1)[truth] + offset[:, None] * [[-1, 1, 0][: truth.max() + 1]])
    score = score * np.exp(0.6 * rng.normal(size=score.shape))
    score /= score.sum(1, keepdims=True)
    zeros = np.zeros(n, np.int64)
    return Predictions(
        Method("resnet8", "linear"), "task", "0" * 12, kind, ("a", "b", "c")[: truth.max() + 1], "", "auroc", 5,
        np.array([f"w{i}" for i in range(n)]), np.array([f"s{i:03d}" for i in subject]), subject % 5, zeros, truth,
        score, score.argmax(1),
    )  # fmt: skip


def test_the_value_is_of_all_predictions_at_once() -> None:
    p = study()
    found = estimate(p, AUROC, 100)
    assert found.value == pytest.approx(roc_auc_score(p.value, p.score[:, 1]))
    assert (found.n_subjects, found.n_resamples, found.n_redrawn, found.notes) == (20, 100, 0, ())
    assert found.low < found.value < found.high


def test_equal_seeds_give_equal_intervals_and_others_similar_ones() -> None:
    p = study()
    assert estimate(p, AUROC, 500, seed=1) == estimate(p, AUROC, 500, seed=1)
    first, second = estimate(p, AUROC, 2000, seed=1), estimate(p, AUROC, 2000, seed=2)
    assert first.low != second.low
    assert first.low == pytest.approx(second.low, abs=0.01)


def test_the_order_of_the_rows_does_not_matter() -> None:
    p = study()
    rows = np.random.default_rng(1).permutation(len(p))
    names = ("example_id", "subject", "fold", "seed", "value", "score", "decision")
    shuffled = replace(p, **{name: getattr(p, name)[rows] for name in names})
    first, second = estimate(p, AUROC, 200), estimate(shuffled, AUROC, 200)
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-12)


def test_windows_that_say_the_same_do_not_narrow_the_interval() -> None:
    p = study(n_windows=1)
    names = ("subject", "fold", "seed", "value", "score", "decision")
    copied = replace(
        p,
        example_id=np.array([f"w{i}" for i in range(10 * len(p))]),
        **{name: np.repeat(getattr(p, name), 10, axis=0) for name in names},
    )
    first, second = estimate(p, AUROC, 200), estimate(copied, AUROC, 200)
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-9)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_every_metric_lies_in_its_interval(kind: Kind) -> None:
    for seed in range(5):
        p = study(6, 4, seed, kind)
        for each in metrics_of(kind):
            found = estimate(p, each, 100)
            assert found.low <= found.value <= found.high, each.name


def test_a_resample_without_a_class_is_drawn_again_and_said() -> None:
    p = study(8)
    p = replace(p, value=np.isin(p.subject, ["s000", "s001"]).astype(np.int64))
    found = estimate(p, AUROC, 400)
    assert found.n_redrawn / (400 + found.n_redrawn) == pytest.approx((6 / 8) ** 8, abs=0.04)
    assert found.notes == (f"{found.n_redrawn} resamples without one of the classes were drawn again",)
    assert found.low < found.value < found.high


def test_classes_of_one_subject_each_have_no_interval_and_it_is_said() -> None:
    p = study(6, kind="multiclass")
    p = replace(p, value=np.select([p.subject == "s000", p.subject == "s001"], [1, 2], 0))
    found = estimate(p, metric("multiclass", "auroc"), 100)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert "resamples lack one of the classes, which too few subjects have" in found.notes[0]


def test_two_subjects_have_a_value_and_no_interval() -> None:
    found = estimate(study(2), AUROC, 100)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert found.notes == ("2 subjects are too few for an interval; 3 are needed",)


def test_one_class_has_neither_and_says_why() -> None:
    p = study()
    found = estimate(replace(p, value=np.zeros(len(p), np.int64)), AUROC, 100)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.notes == ("all 100 examples are of class a",)


def test_a_perfect_score_has_no_interval_and_says_why() -> None:
    p = study()
    score = np.eye(2)[p.value]
    found = estimate(replace(p, score=score), AUROC, 100)
    assert found.value == 1
    assert math.isnan(found.low)
    assert found.notes == ("no interval: every resample of 20 subjects gives 1, the end of the range",)


def test_a_class_that_nobody_has_is_named() -> None:
    p = study(kind="multiclass")
    found = estimate(replace(p, value=np.where(p.value == 2, 0, p.value)), metric("multiclass", "f1"), 100)
    assert found.notes[0] == "mean over 2 of 3 classes, without c"
    assert math.isfinite(found.low)


def test_seeds_of_different_examples_are_noted() -> None:
    p = study()
    found = estimate(replace(p, seed=(np.arange(len(p)) >= 30).astype(np.int64)), AUROC, 100)
    assert "the seeds did not predict the same examples; each is judged on its own" in found.notes


def test_too_few_resamples_or_a_level_beyond_one_are_refused() -> None:
    with pytest.raises(BootstrapError, match="n_resamples = 10: an interval needs at least 50"):
        estimate(study(), AUROC, 10)
    with pytest.raises(BootstrapError, match="level = 95: a confidence level lies between 0 and 1"):
        estimate(study(), AUROC, level=95)


def test_of_numbers_it_is_different_values_that_resamples_lack() -> None:
    p = study(6)
    number = np.where(p.subject == "s000", np.arange(len(p)), 7.0)
    p = replace(p, kind="regression", classes=(), value=number, score=p.score[:, :1], decision=np.zeros(0, np.int64))
    found = estimate(p, metric("regression", "ccc"), 100)
    assert found.notes == (f"{found.n_redrawn} resamples without different values were drawn again",)
    assert found.n_redrawn > 20
