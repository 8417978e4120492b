"""Numbers as text: as many digits as an interval can carry, a true minus, and words where there is no number."""

import math

from tiles_ecg.evaluation.bootstrap import Estimate
from tiles_ecg.evaluation.metric import Metric
from tiles_ecg.summary.rounding import MINUS, NONE

IN_UNIT = frozenset({"mae"})
"""Metrics that have the unit of the task."""


def number_text(x: float, scale: float | None = None) -> str:
    """A number with three decimals below 2 and fewer above, such that numbers of one scale line up.

    Args:
        x: The number.
        scale: What decides on decimals; the number itself by default.
    """
    if not math.isfinite(x):
        return NONE
    size = abs(x if scale is None or not math.isfinite(scale) else scale)
    decimals = 3 if size < 2 else 2 if size < 20 else 1 if size < 200 else 0
    text = f"{x:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def interval_text(value: float, low: float, high: float) -> str:
    """`0.912 [0.880, 0.941]`; says so where there is no interval or no value."""
    if not math.isfinite(value):
        return "undefined"
    scale = max((abs(x) for x in (value, low, high) if math.isfinite(x)), default=0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number_text(value, scale)} (no interval)"
    return f"{number_text(value, scale)} [{number_text(low, scale)}, {number_text(high, scale)}]"


def estimate_text(estimate: Estimate) -> str:
    """A value with its interval."""
    return interval_text(estimate.value, estimate.low, estimate.high)


def metric_title(metric: Metric, unit: str) -> str:
    """`MAE (bpm, lower is better)`."""
    facts = [unit] if unit and metric.name in IN_UNIT else []
    facts += [] if metric.higher_is_better else ["lower is better"]
    return f"{metric.title} ({', '.join(facts)})" if facts else metric.title
