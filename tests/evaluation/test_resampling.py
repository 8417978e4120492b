"""Resamples: multiplicities that add up, the weights they make, and what is drawn again."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tiles_ecg.evaluation import resampling
from tiles_ecg.evaluation.metric import metric, scored, value
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.resampling import resample, statistic_of, subjects_of

AUROC, EER = metric("binary", "auroc"), metric("verification", "eer")


def binary(n: int = 40, n_subjects: int = 8) -> Predictions:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=n)
    score = np.clip(0.4 + 0.2 * truth + 0.2 * rng.normal(size=n), 0, 1)
    zeros = np.zeros(n, np.int64)
    return Predictions(
        Method("resnet8", "linear"), "task", "0" * 12, "binary", ("rest", "af"), "", "auroc", 5,
        np.array([f"w{i}" for i in range(n)]), np.array([f"s{i % n_subjects}" for i in range(n)]), zeros, zeros,
        truth, np.stack([1 - score, score], 1), (score > 0.5).astype(np.int64),
    )  # fmt: skip


def pairs() -> Predictions:
    """All pairs of 12 windows of 4 subjects."""
    subject = np.array([f"s{i // 3}" for i in range(12)])
    first, second = np.nonzero(~np.eye(12, dtype=bool))
    same = (subject[first] == subject[second]).astype(np.int64)
    score = 0.5 * same + np.random.default_rng(0).normal(0, 0.4, len(same))
    zeros, ids = np.zeros(len(same), np.int64), np.array([f"w{i}" for i in range(12)])
    return Predictions(
        Method("resnet8", "k-NN"), "task", "0" * 12, "verification", (), "", "eer", 5, ids[first], subject[first],
        zeros, zeros, same, score[:, None], same, ids[second], subject[second],
    )  # fmt: skip


def drawn_of(n_subjects: int, n: int) -> NDArray[np.float64]:
    """(S, n) as `resample` hands them to a statistic."""
    seen: list[NDArray[np.float64]] = []

    def watch(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(drawn)
        return np.zeros(drawn.shape[1])

    resample(watch, n_subjects, n, seed=3)
    return np.concatenate(seen, axis=1)[:, :n]


def test_every_resample_draws_as_many_subjects_as_there_are_each_equally_often() -> None:
    drawn = drawn_of(8, 4000)
    assert (drawn.sum(0) == 8).all()
    assert drawn.mean(1) == pytest.approx(np.ones(8), abs=0.06)
    assert drawn.var() == pytest.approx(7 / 8, abs=0.03)  # of a multinomial


def test_a_resample_is_the_metric_of_the_rows_of_the_drawn_subjects() -> None:
    p = binary()
    drawn = drawn_of(8, 5)
    found = statistic_of(p, AUROC, subjects_of(p))(drawn)
    for r in range(5):
        rows = [i for k in range(8) for _ in range(int(drawn[k, r])) for i in np.flatnonzero(p.subject == f"s{k}")]
        names = ("example_id", "subject", "fold", "seed", "value", "score", "decision")
        repeated = replace(p, **{name: getattr(p, name)[rows] for name in names})
        assert found[r] == pytest.approx(value(AUROC, repeated), abs=1e-12)


def test_a_pair_counts_as_often_as_the_product_of_its_subjects_and_once_within_one() -> None:
    p = pairs()
    drawn = drawn_of(4, 6)
    found = statistic_of(p, EER, subjects_of(p))(drawn)
    for r in range(6):
        times = {f"s{k}": drawn[k, r] for k in range(4)}
        weight = [times[a] if a == b else times[a] * times[b] for a, b in zip(p.subject, p.other_subject, strict=True)]
        assert found[r] == pytest.approx(EER.compute(scored(p), np.array([weight]))[0], abs=1e-12)


def test_several_seeds_are_judged_on_the_same_resample_and_averaged() -> None:
    p = binary()
    other = replace(p, seed=np.ones(40, np.int64), score=p.score[::-1].copy())
    names = ("example_id", "subject", "fold", "seed", "value", "score", "decision")
    both = replace(p, **{name: np.concatenate([getattr(p, name), getattr(other, name)]) for name in names})
    drawn, subjects = drawn_of(8, 20), subjects_of(p)
    each = [statistic_of(part, AUROC, subjects)(drawn) for part in (p, other)]
    np.testing.assert_allclose(statistic_of(both, AUROC, subjects)(drawn), np.mean(each, axis=0))


def test_a_bound_on_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p = binary()
    statistic, drawn = statistic_of(p, AUROC, subjects_of(p)), drawn_of(8, 50)
    whole = statistic(drawn)
    monkeypatch.setattr(resampling, "MOST_WEIGHTS", 130)
    np.testing.assert_array_equal(statistic(drawn), whole)


def test_the_first_resamples_are_the_same_whatever_their_number() -> None:
    p = binary()
    statistic = statistic_of(p, AUROC, subjects_of(p))
    few, many = (resample(statistic, 8, n, seed=1).values for n in (70, 300))
    np.testing.assert_array_equal(few, many[:70])
    assert not np.array_equal(few, resample(statistic, 8, 70, seed=2).values)


def test_what_has_no_value_is_drawn_again_and_counted() -> None:
    def without_first(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(drawn[0] > 0, drawn[0], np.nan)

    found = resample(without_first, 5, 1000, seed=0)
    assert len(found.values) == 1000
    assert np.isfinite(found.values).all()
    assert found.n_redrawn / (1000 + found.n_redrawn) == pytest.approx((4 / 5) ** 5, abs=0.03)


def test_more_than_half_without_a_value_are_given_up() -> None:
    def all_five(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where((drawn > 0).all(0), 1.0, np.nan)  # 5! / 5^5 = 4 %

    found = resample(all_five, 5, 100, seed=0)
    assert len(found.values) < 100
    assert found.n_redrawn > len(found.values)
