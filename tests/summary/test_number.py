import math

import pytest

from tiles_ecg.evaluation.metric import metric
from tiles_ecg.summary.number import interval_text, metric_title, number_text


@pytest.mark.parametrize(
    ("x", "text"),
    [(0.91234, "0.912"), (-0.05, "\N{MINUS SIGN}0.050"), (-0.0001, "0.000"), (12.345, "12.35"), (123.45, "123.5"),
     (2345.6, "2346"), (math.nan, "\N{EN DASH}"), (math.inf, "\N{EN DASH}")],
)  # fmt: skip
def test_a_number_has_the_decimals_of_its_size(x: float, text: str) -> None:
    assert number_text(x) == text


def test_the_ends_of_an_interval_have_the_decimals_of_the_largest() -> None:
    assert interval_text(0.9, 0.8, 1.0) == "0.900 [0.800, 1.000]"
    assert interval_text(12.0, 1.0, 25.0) == "12.0 [1.0, 25.0]"


def test_a_missing_interval_or_value_is_said() -> None:
    assert interval_text(0.9, math.nan, math.nan) == "0.900 (no interval)"
    assert interval_text(math.nan, math.nan, math.nan) == "undefined"


def test_a_metric_says_its_unit_and_where_lower_is_better() -> None:
    assert metric_title(metric("binary", "auroc"), "") == "AUROC"
    assert metric_title(metric("regression", "mae"), "years") == "MAE (years, lower is better)"
    assert metric_title(metric("regression", "ccc"), "years") == "CCC"
