import math

import numpy as np
import pytest
from scipy import stats

from tiles_ecg.summary.ledger_statistics import mean, mean_with_interval, paired_difference, units

SEED, FOLD = 0, 3


def cells(values: dict[tuple[int, int], float | None]) -> dict[tuple[str, ...], float | None]:
    """By (seed, fold)."""
    return {(str(seed), "0", "0", str(fold)): value for (seed, fold), value in values.items()}


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_the_interval_is_that_of_scipys_one_sample_t_test(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_with_interval(values.tolist())
    assert found.n == n
    assert (found.low, found.value, found.high) == pytest.approx(
        (expected.low, values.mean(), expected.high), rel=1e-12
    )


def test_an_interval_made_by_hand() -> None:
    found = mean_with_interval([1.0, 2.0, 3.0])  # t with 2 degrees of freedom: 4.302653; error 1 / sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_of_one_value_there_is_no_interval_and_of_none_nothing() -> None:
    one, none = mean_with_interval([2.0]), mean_with_interval([])
    assert (one.value, one.n, math.isnan(one.low), math.isnan(one.high)) == (2.0, 1, True, True)
    assert (math.isnan(none.value), none.n) == (True, 0)
    assert not one.is_resolved


def test_folds_are_averaged_within_a_seed_first() -> None:
    values = np.random.default_rng(0).normal(size=(4, 5))  # seeds, folds
    found = mean(units(cells({(s, f): values[s, f] for s in range(4) for f in range(5)}), SEED))
    expected = stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
    assert found.n == 4
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), expected.low, expected.high))


def test_a_seed_that_lacks_a_fold_stands_back_behind_those_that_have_all() -> None:
    values = {(0, 0): 1.0, (0, 1): 3.0, (1, 0): 2.0, (1, 1): 6.0, (2, 0): 100.0, (2, 1): None}
    found = mean(units(cells(values), SEED, "seed"))
    assert (found.value, found.n) == (3.0, 2)
    assert found.note == "seed 2 incomplete, left out"


def test_without_a_whole_seed_there_is_a_mean_and_no_interval() -> None:
    values = {(0, 0): 1.0, (0, 1): None, (1, 0): 2.0, (1, 1): None}
    found = mean(units(cells(values), SEED, "seed"))
    assert (found.value, found.n, math.isnan(found.low)) == (1.5, 2, True)
    assert found.note == "no seed is complete yet"


def test_a_seed_that_has_not_finished_is_not_there_yet() -> None:
    found = mean(units(cells({(0, 0): 1.0, (1, 0): 2.0, (2, 0): None}), SEED, "seed"))
    assert (found.value, found.n, found.note) == (1.5, 2, "")
    assert math.isfinite(found.low)


def test_the_difference_is_that_of_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    of_seed = rng.normal(0, 5, 6)
    first, second = of_seed + rng.normal(0.5, 0.1, 6), of_seed + rng.normal(0, 0.1, 6)
    found = paired_difference(
        units(cells({(s, 0): x for s, x in enumerate(first)}), SEED),
        units(cells({(s, 0): x for s, x in enumerate(second)}), SEED),
    )
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.value == pytest.approx((first - second).mean())
    assert found.is_resolved
    assert not mean_with_interval(first.tolist()).is_resolved  # seeds vary more than the difference


def test_pairs_are_of_the_same_seeds_and_folds() -> None:
    first = {(s, f): 10.0 * s + f + 1 for s in (0, 1, 2) for f in (0, 1)}
    second = {(s, f): 10.0 * s + f for s in (1, 2, 3) for f in (0, 1)}
    found = paired_difference(units(cells(first), SEED), units(cells(second), SEED))
    assert (found.value, found.low, found.high, found.n) == (1.0, 1.0, 1.0, 2)


def test_folds_alone_are_paired_by_fold() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=5), rng.normal(size=5)
    found = paired_difference(
        units(cells({(0, f): x for f, x in enumerate(first)}), FOLD),
        units(cells({(0, f): x for f, x in enumerate(second)}), FOLD),
    )
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high, found.n) == pytest.approx((expected.low, expected.high, 5))


def test_rows_without_a_common_seed_have_no_difference() -> None:
    found = paired_difference(units(cells({(0, 0): 1.0}), SEED), units(cells({(1, 0): 1.0}), SEED))
    assert (math.isnan(found.value), found.n) == (True, 0)


def test_a_difference_over_fewer_folds_than_a_row_has_says_so() -> None:
    first = cells({(s, f): 1.0 for s in (0, 1) for f in (0, 1)})
    second = cells({(s, 0): 0.0 for s in (0, 1)})
    assert paired_difference(units(first, SEED), units(second, SEED)).note == "of what both have"
