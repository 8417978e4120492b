"""Paired differences on the same subjects, and variance components that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tiles_ecg.evaluation.bootstrap import estimate
from tiles_ecg.evaluation.comparison import compare, spread
from tiles_ecg.evaluation.metric import metric, value
from tiles_ecg.evaluation.predictions import Method, Predictions, PredictionsError

AUROC, MAE = metric("binary", "auroc"), metric("regression", "mae")
NAMES = ("example_id", "subject", "fold", "seed", "value", "score", "decision")


def study(name: str, own_noise: float, n_subjects: int = 20) -> Predictions:
    """Methods share truth and what misleads them; each adds noise of its own."""
    rng, own = np.random.default_rng(0), np.random.default_rng(len(name))
    subject = np.repeat(np.arange(n_subjects), 6)
    n = len(subject)
    truth = rng.integers(2, size=n)
    noise = rng.normal(size=n_subjects)[subject] + own_noise * own.normal(size=n)
    probability = 1 / (1 + np.exp(-(1.5 * truth + noise)))
    zeros = np.zeros(n, np.int64)
    return Predictions(
        Method(name, "linear"), "af", "0" * 12, "binary", ("rest", "af"), "", "auroc", 5,
        np.array([f"w{i}" for i in range(n)]), np.array([f"s{i:02d}" for i in subject]), zeros, zeros, truth,
        np.stack([1 - probability, probability], 1), (probability > 0.5).astype(np.int64),
    )  # fmt: skip


def rows(p: Predictions, keep: NDArray[np.int64]) -> Predictions:
    return replace(p, **{name: getattr(p, name)[keep] for name in NAMES if len(getattr(p, name))})


def test_the_difference_is_first_less_second_and_its_interval_is_narrower_than_either() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    found = compare(first, second, AUROC, 500)
    assert found.value == pytest.approx(value(AUROC, first) - value(AUROC, second))
    assert found.low < found.value < found.high
    assert found.half_width == pytest.approx((found.high - found.low) / 2)
    alone = [estimate(p, AUROC, 500) for p in (first, second)]
    assert found.half_width < max(e.high - e.low for e in alone) / 2
    assert (found.n_subjects, found.resolved, found.note) == (20, True, "")


def test_the_other_way_round_is_the_same_with_the_other_sign() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    there, back = compare(first, second, AUROC, 200), compare(second, first, AUROC, 200)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_both_are_judged_on_the_same_resamples() -> None:
    first = study("resnet8", 0.5)
    monotone = replace(first, method=Method("other", "linear"), score=np.sqrt(first.score))
    found = compare(first, monotone, AUROC, 100)  # the same ranking in every resample
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert (found.resolved, found.note) == (False, "every resample of 20 subjects gives the same difference")


def test_what_the_subjects_cannot_resolve_is_said_with_what_they_could() -> None:
    found = compare(study("resnet8", 1.0), study("untrained", 1.1), AUROC, 500)
    assert not found.resolved
    assert found.low < 0 < found.high
    least = f"{found.half_width:.2g}"
    assert found.note == (
        f"the interval of the difference includes 0: 20 subjects resolve differences of about {least} or more"
    )


def test_examples_that_one_did_not_predict_are_left_out_and_counted() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    found = compare(first, rows(second, np.arange(30, 120)), AUROC, 100)
    assert found.value == compare(rows(first, np.arange(30, 120)), rows(second, np.arange(30, 120)), AUROC, 100).value
    assert found.n_subjects == 15
    assert found.note.startswith("30 examples that one of the two did not predict are left out")


def test_rows_in_another_order_are_the_same_examples() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    shuffled = rows(second, np.random.default_rng(0).permutation(120))
    assert compare(first, shuffled, AUROC, 100).low == pytest.approx(compare(first, second, AUROC, 100).low)


def test_three_seeds_are_compared_with_one() -> None:
    first, second = study("untrained", 1.5), study("resnet8", 0.1)
    parts = [replace(study(f"untrained{'!' * i}", 1.5), seed=np.full(120, i), method=first.method) for i in range(3)]
    three = replace(first, **{name: np.concatenate([getattr(p, name) for p in parts]) for name in NAMES})
    mean = np.mean([value(AUROC, part) for part in parts])
    assert compare(three, second, AUROC, 100).value == pytest.approx(mean - value(AUROC, second))


def test_other_protocols_other_data_and_nothing_in_common_are_refused() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    with pytest.raises(PredictionsError, match=r"resnet8, linear and untrained, linear.* protocol 0+ and protocol 1+"):
        compare(first, replace(second, protocol="1" * 12), AUROC)
    with pytest.raises(PredictionsError, match="no example of af in common"):
        compare(rows(first, np.arange(60)), rows(second, np.arange(60, 120)), AUROC)
    with pytest.raises(PredictionsError, match=r"disagree on example w0 of af.*one of them is of other data"):
        compare(first, replace(second, value=1 - second.value), AUROC)


def test_one_class_or_two_subjects_have_no_interval() -> None:
    first, second = study("resnet8", 0.1), study("untrained", 1.5)
    lone = [replace(p, value=np.zeros(120, np.int64)) for p in (first, second)]
    assert compare(*lone, AUROC).note == "all 120 examples are of class rest"
    found = compare(rows(first, np.arange(12)), rows(second, np.arange(12)), AUROC)
    assert found.note == "2 subjects are too few for an interval; 3 are needed"
    assert math.isnan(found.half_width)
    assert not found.resolved


def grid(errors: NDArray[np.float64], seeds: NDArray[np.bool_] | None = None) -> Predictions:
    """One example for each fold and seed, whose absolute error is given; those not in `seeds` are absent."""
    fold, seed = np.nonzero(np.ones(errors.shape, bool) if seeds is None else seeds)
    n = len(fold)
    return Predictions(
        Method("resnet8", "fine-tuned"), "age", "0" * 12, "regression", (), "years", "mae", 5,
        np.array([f"w{i}" for i in fold]), np.array([f"s{i}" for i in fold]), fold.astype(np.int64),
        seed.astype(np.int64), np.zeros(n), errors[fold, seed][:, None], np.zeros(0, np.int64),
    )  # fmt: skip


def test_variance_components_of_a_grid_are_those_of_the_analysis_of_variance() -> None:
    errors = 10 + np.random.default_rng(0).normal(size=(5, 3)) + np.arange(5)[:, None] + 2 * np.arange(3)
    a, b = errors.shape
    by_fold, by_seed = errors.mean(1), errors.mean(0)
    left = errors - by_fold[:, None] - by_seed + errors.mean()
    residual = (left**2).sum() / ((a - 1) * (b - 1))
    folds, seeds = (b * by_fold.var(ddof=1) - residual) / b, (a * by_seed.var(ddof=1) - residual) / a
    found = spread(grid(errors), MAE)
    assert (found.folds, found.seeds, found.residual) == pytest.approx((folds, seeds, residual))
    assert [cell.value for cell in found.per_fold] == pytest.approx(errors.ravel())
    assert found.notes == ()


def test_variance_components_are_right_on_the_mean_for_incomplete_grids_too() -> None:
    rng = np.random.default_rng(0)
    is_there = np.ones((6, 4), bool)
    is_there[0, 1:], is_there[4, :2] = False, False
    found = []
    for _ in range(150):
        errors = 50 + 3 * rng.normal(size=(6, 1)) + 2 * rng.normal(size=4) + rng.normal(size=(6, 4))
        part = spread(grid(errors, is_there), MAE)
        found.append((part.folds, part.seeds, part.residual))
    error = np.std(found, axis=0) / math.sqrt(150)
    assert (np.abs(np.mean(found, axis=0) - [9, 4, 1]) < 3 * error).all()
    assert (error < [0.6, 0.4, 0.1]).all()


def test_a_negative_component_is_zero() -> None:
    found = spread(grid(np.array([[1.0, 2.0], [2.0, 1.0]])), MAE)
    assert (found.folds, found.seeds, found.residual) == (0, 0, pytest.approx(1.0))


def test_one_seed_tells_of_folds_only() -> None:
    errors = np.array([[1.0], [2.0], [4.0]])
    found = spread(grid(errors), MAE)
    assert found.folds == pytest.approx(stats.tvar(errors[:, 0]))
    assert math.isnan(found.seeds)
    assert math.isnan(found.residual)
    assert "cannot all be parted" in found.notes[0]


def test_one_fold_tells_of_seeds_only() -> None:
    found = spread(grid(np.array([[1.0, 2.0, 4.0]])), MAE)
    assert found.seeds == pytest.approx(stats.tvar([1.0, 2.0, 4.0]))
    assert math.isnan(found.folds)


def test_another_seed_for_every_fold_tells_of_their_sum_only() -> None:
    found = spread(grid(np.diag([1.0, 2.0, 4.0]), np.eye(3, dtype=bool)), MAE)
    assert found.residual == pytest.approx(stats.tvar([1.0, 2.0, 4.0]))
    assert math.isnan(found.folds)
    assert math.isnan(found.seeds)


def test_a_fold_without_a_class_is_named_and_left_out() -> None:
    p = study("resnet8", 1.0)
    p = replace(p, fold=np.arange(120) // 40, value=np.where(np.arange(120) < 40, 0, p.value))
    found = spread(p, AUROC)
    assert found.notes[0] == "fold 0, seed 0 has no AUROC"
    assert math.isnan(found.per_fold[0].value)
    assert found.folds == pytest.approx(np.var([cell.value for cell in found.per_fold[1:]], ddof=1))
