"""Rounding: as many digits as tell numbers apart, and never so few that an interval closes."""

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Where there is no number."""
FEWEST_DIGITS, MOST_DIGITS = 4, 9
"""Significant ones, of the largest number of a column."""
MOST_DECIMALS = 15


def interval_rounded(value: float, low: float, high: float) -> str:
    """`2.8741 [2.8702, 2.8780]`: half the interval keeps two digits; without an interval the value alone."""
    if not math.isfinite(value):
        return NONE
    half = (high - low) / 2
    if not math.isfinite(half):
        return column_rounded([value])[0]
    decimals = _decimals(half, 2) if half > 0 else _decimals(value, FEWEST_DIGITS)
    return f"{_fixed(value, decimals)} [{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def column_rounded(values: Sequence[float]) -> list[str]:
    """Numbers of a column with the same decimals: four digits of the largest, more where that makes two of them one.

    What nine digits do not tell apart are rounding errors of one value.
    """
    largest = max((abs(x) for x in values if math.isfinite(x)), default=0.0)

    def texts(digits: int) -> list[str]:
        return [_fixed(x, _decimals(largest, digits)) if math.isfinite(x) else NONE for x in values]

    n_distinct = len(set(texts(MOST_DIGITS)))
    each = (texts(digits) for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1))
    return next(found for found in each if len(set(found)) == n_distinct)


def _decimals(x: float, digits: int) -> int:
    """After the point, such that `x` has so many significant digits."""
    return min(max(digits - 1 - math.floor(math.log10(abs(x))), 0), MOST_DECIMALS) if x else digits - 1


def _fixed(x: float, decimals: int) -> str:
    text = f"{x:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)
