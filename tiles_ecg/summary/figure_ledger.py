"""Figures of a ledger: the metric that decides by what differs, one dot a run; and a search, trial by trial."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from tiles_ecg.summary.figure_style import (
    GREY,
    INK,
    NORMAL,
    STRONG,
    Figure,
    NotDrawn,
    dress,
    legend_below,
    new_sheet,
    safe,
    to_png,
)

MOST_ROWS = 60
DOTS_BELOW = 0.24
"""By how much of a row the dots of its runs lie below the mean."""
BETTER = {"min": " (better to the left)", "max": " (better to the right)"}


@dataclass(frozen=True)
class Bar:
    """A row of a ledger: its mean, its interval (NaN where there is none), and the values of its runs."""

    name: str
    value: float
    low: float
    high: float
    runs: tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """A trial of a search: what it came to, and whether it was given up before its end."""

    number: int
    value: float
    is_pruned: bool


def draw_combinations(bars: Sequence[Bar], metric: str, mode: str, about: str) -> Figure:
    """The mean and interval of each row, and a dot for each run.

    Args:
        bars: The rows, the reference first or not.
        metric: That decides.
        mode: `min`, `max`, or empty where it is not known which is better.
        about: What the interval is taken over, such as `seeds`; empty where there is none.

    Raises:
        NotDrawn: If no row has a value.
    """
    png, left_out = _drawn_rows(bars, f"{metric}{BETTER.get(mode, '')}")
    told = f"Mean and 95 % interval over {about}; small dots: runs" if about else "Value of one run"
    return Figure(f"{metric} by what differs", f"{told}.{left_out}", png)


def draw_differences(bars: Sequence[Bar], metric: str, mode: str, about: str, reference: str) -> Figure:
    """The difference of each row to the reference, by pairs.

    Args:
        bars: The other rows.
        metric: As of `draw_combinations`.
        mode: The same.
        about: The same.
        reference: The row that they are compared with.

    Raises:
        NotDrawn: If no row has one.
    """
    png, left_out = _drawn_rows(bars, f"{metric}: difference to the reference{BETTER.get(mode, '')}", has_zero=True)
    told = f"Mean of the paired differences and its 95 % interval over {about}, resolved where that excludes 0"
    told = f"{told}; the reference is {reference}"
    return Figure("Differences to the reference", f"{told}.{left_out}", png)


def _drawn_rows(bars: Sequence[Bar], label: str, has_zero: bool = False) -> tuple[bytes, str]:
    """The picture, and in words how many rows are not in it."""
    known = [bar for bar in bars if np.isfinite(bar.value)]
    if not known:
        raise NotDrawn("no row has a value")
    rows = known[:MOST_ROWS]
    sheet = new_sheet(0.9 + 0.36 * len(rows))
    axis = sheet.subplots()
    if has_zero:
        axis.axvline(0, color=GREY, linewidth=1.0, zorder=2)
    for line, bar in enumerate(rows):
        if np.isfinite(bar.low) and np.isfinite(bar.high):
            axis.plot([bar.low, bar.high], [line] * 2, color=STRONG[0], linewidth=2.2, solid_capstyle="butt", zorder=3)
        axis.plot(bar.value, line, "o", color=STRONG[0], markersize=7, zorder=4)
        if len(bar.runs) > 1:
            axis.plot(bar.runs, [line + DOTS_BELOW] * len(bar.runs), "o", color=GREY, markersize=3, alpha=0.8, zorder=3)
    dress(axis, label)
    axis.set_yticks(range(len(rows)), [safe(bar.name, 60) for bar in rows], fontsize=NORMAL)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    left_out = len(bars) - len(rows)
    return to_png(sheet), f" Not shown: {left_out} of {len(bars)} rows." if left_out else ""


def draw_search(trials: Sequence[Trial], metric: str, mode: str) -> Figure:
    """The value of each trial in their order, and the best so far.

    Raises:
        NotDrawn: If no trial has a value.
    """
    known = sorted((one for one in trials if np.isfinite(one.value)), key=lambda one: one.number)
    whole = [one for one in known if not one.is_pruned]
    pruned = [one for one in known if one.is_pruned]
    if not known:
        raise NotDrawn("no trial has a value")
    sheet = new_sheet(3.6)
    axis = sheet.subplots()
    best = np.minimum if mode == "min" else np.maximum
    handles, names = [], []
    if whole:
        x = [one.number for one in whole]
        so_far = best.accumulate([one.value for one in whole])
        handles += axis.plot(x, so_far, color=STRONG[0], linewidth=1.9, drawstyle="steps-post", zorder=3)
        handles += axis.plot(x, [one.value for one in whole], "o", color=INK, markersize=5, linestyle="none", zorder=4)
        names += ["best so far", "finished"]
    if pruned:
        at, values = [one.number for one in pruned], [one.value for one in pruned]
        handles += axis.plot(at, values, "o", color=GREY, markerfacecolor="white", markersize=5, linestyle="none")
        names += ["pruned, as of that step"]
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    dress(axis, "trial", f"{metric} ({'less' if mode == 'min' else 'more'} is better)")
    legend_below(sheet, handles, names)
    n_without = len(trials) - len(known)
    more = f"; {n_without} have no value" if n_without else ""
    caption = f"{len(whole)} trials that were finished, {len(pruned)} pruned{more}."
    return Figure("The search, trial by trial", caption, to_png(sheet))
