"""Figures of the metric that decides: methods with their intervals, and what labels of more subjects add."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from tiles_ecg.summary.figure_style import (
    NORMAL,
    Figure,
    Look,
    NotDrawn,
    dress,
    legend_below,
    new_sheet,
    safe,
    to_png,
)


@dataclass(frozen=True)
class CurvePoint:
    """A method trained on the labels of few subjects.

    Attributes:
        method: Its title.
        n_subjects: Training subjects with labels.
        value: The metric that decides.
        low: Of its interval; NaN where there is none.
        high: The same.
    """

    method: str
    n_subjects: int
    value: float
    low: float
    high: float


def draw_intervals(
    intervals: Mapping[str, tuple[float, float, float]], looks: Mapping[str, Look], metric: str, is_higher_better: bool
) -> Figure:
    """The metric of each method, with its interval (value, low, high)."""
    rows = {title: one for title, one in intervals.items() if np.isfinite(one[0])}
    if not rows:
        raise NotDrawn("the metric is not defined for any method")
    sheet = new_sheet(0.9 + 0.3 * len(rows))
    axis = sheet.subplots()
    for line, (title, (value, low, high)) in enumerate(rows.items()):
        look = looks[title]
        if np.isfinite(low) and np.isfinite(high):
            axis.plot([low, high], [line, line], color=look.colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
        face = "white" if look.is_control else look.colour
        axis.plot(
            value, line, "o", color=look.colour, markerfacecolor=face, markersize=7, markeredgewidth=1.6, zorder=4
        )
    better = "right" if is_higher_better else "left"
    dress(axis, f"{metric} (better to the {better})")
    axis.set_yticks(range(len(rows)), [safe(title) for title in rows], fontsize=NORMAL)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    undefined = len(intervals) - len(rows)
    more = f" {undefined} methods without a value are not shown." if undefined else ""
    caption = f"Value and 95 % interval over subjects; filled: encoders, hollow: controls.{more}"
    return Figure("Methods compared", caption, to_png(sheet))


def draw_label_efficiency(curve: Sequence[CurvePoint], looks: Mapping[str, Look], metric: str) -> Figure:
    """The metric over the number of subjects with labels."""
    points = [point for point in curve if np.isfinite(point.value) and point.n_subjects > 0]
    if not points:
        raise NotDrawn("the metric is not defined at any number of subjects")
    sheet = new_sheet(4.2)
    axis = sheet.subplots()
    titles = list(dict.fromkeys(point.method for point in points))
    for title in titles:
        look = looks[title]
        of_method = sorted((point for point in points if point.method == title), key=lambda point: point.n_subjects)
        x = [point.n_subjects for point in of_method]
        axis.fill_between(
            x, [point.low for point in of_method], [point.high for point in of_method],
            color=look.colour, alpha=0.10 if look.is_control else 0.18, linewidth=0, zorder=2,
        )  # fmt: skip
        look.draw(axis, x, [point.value for point in of_method], marker="o")
    axis.set_xscale("log")
    numbers = sorted({point.n_subjects for point in points})
    axis.xaxis.set_major_locator(FixedLocator(_apart(numbers)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:,.0f}")
    dress(axis, "training subjects with labels (log scale)", metric)
    legend_below(sheet, [looks[title].handle("o") for title in titles], titles)
    caption = "Mean over draws of the labelled subjects; bands: 95 % intervals over the subjects judged on."
    return Figure("Label efficiency", caption, to_png(sheet))


def _apart(numbers: Sequence[int]) -> list[int]:
    """Those whose marks do not run into each other on a log axis, the last among them."""
    kept: list[int] = []
    for number in reversed(numbers):
        if not kept or kept[-1] / number > max(1.12, (numbers[-1] / numbers[0]) ** 0.07):
            kept.append(number)
    return kept
