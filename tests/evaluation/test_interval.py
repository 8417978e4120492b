"""The interval against its definition by SciPy, within the range of each metric, around the value."""

import math
from typing import Literal

import numpy as np
import pytest
from scipy import special, stats

from tiles_ecg.evaluation.interval import interval
from tiles_ecg.evaluation.metric_table import Range

WITHIN: tuple[Range | Literal["difference"], ...] = ("share", "correlation", "error", "explained", "difference")


def draws(seed: int = 0) -> np.ndarray:
    return np.clip(0.8 + 0.07 * np.random.default_rng(seed).normal(size=500), 0.01, 0.99)


def test_a_share_has_the_t_interval_of_its_logit() -> None:
    spread = np.std(special.logit(draws()), ddof=1) * math.sqrt(20 / 19)
    expected = special.expit(stats.t.interval(0.95, 19, loc=special.logit(0.81), scale=spread))
    assert interval(draws(), 0.81, 20, "share") == pytest.approx(expected)


def test_a_difference_has_the_t_interval_of_itself() -> None:
    spread = np.std(draws(), ddof=1) * math.sqrt(20 / 19)
    expected = stats.t.interval(0.9, 19, loc=0.81, scale=spread)
    assert interval(draws(), 0.81, 20, "difference", level=0.9) == pytest.approx(expected)


def test_an_error_has_equal_ratios_to_its_ends() -> None:
    low, high = interval(draws(), 0.8, 20, "error")
    assert 0.8 / low == pytest.approx(high / 0.8)


@pytest.mark.parametrize("within", WITHIN)
@pytest.mark.parametrize("point", [0.02, 0.5, 0.8, 0.999])
def test_the_value_lies_in_its_interval_and_the_interval_in_the_range(within: Range, point: float) -> None:
    values = np.clip(point + 0.2 * np.random.default_rng(1).normal(size=300), 0, 1)
    low, high = interval(values, point, 8, within)
    assert low < point < high
    assert low >= {"share": 0, "correlation": -1, "error": 0}.get(within, -math.inf)
    assert high <= {"share": 1, "correlation": 1, "explained": 1}.get(within, math.inf)


def test_a_value_at_the_end_of_the_range_lies_in_its_interval() -> None:
    values = np.where(np.arange(100) < 40, 0.95, 1.0)
    low, high = interval(values, 1.0, 8, "share")
    assert 0 < low < 0.95
    assert high == 1


def test_fewer_subjects_have_a_wider_interval() -> None:
    widths = [np.diff(interval(draws(), 0.8, n, "share"))[0] for n in (3, 10, 100)]
    assert widths[0] > widths[1] > widths[2]


def test_the_same_value_in_every_resample_is_its_own_interval() -> None:
    assert interval(np.full(100, 0.5), 0.5, 20, "share") == (0.5, 0.5)  # the majority's AUROC


@pytest.mark.parametrize(("within", "end"), [("share", 1.0), ("share", 0.0), ("error", 0.0), ("explained", 1.0)])
def test_nothing_but_the_end_of_the_range_has_no_interval(within: Range, end: float) -> None:
    assert np.isnan(interval(np.full(100, end), end, 20, within)).all()
