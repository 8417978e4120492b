"""Figures of a regression: predicted against true, and how the error depends on the value."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.summary.figure_style import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    Figure,
    Look,
    NotDrawn,
    about,
    dress,
    outer_labels,
    panels,
    safe,
    to_png,
)
from tiles_ecg.summary.number import number_text
from tiles_ecg.summary.rounding import MINUS

MOST_METHODS = 9
MOST_POINTS = 2_000
MANY = 500

Points = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(n,) true and (n,) predicted, both finite."""


def draw_scatter(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """Predicted against true, one panel a method."""
    points = _points(predictions)
    first = next(iter(predictions.values()))
    low, high = _range_of(points)
    columns = 2 if len(points) in (1, 2, 4) else 3
    sheet, axes = panels(len(points), columns, 2.45, width=WIDTH if columns == 3 else 5.8)
    for (title, (true, predicted)), axis in zip(points.items(), axes, strict=True):
        shown = _some(len(true))
        axis.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=2)
        _dots(axis, true[shown], predicted[shown], looks[title], len(shown))
        n_outside = int(((predicted < low) | (predicted > high)).sum())
        if n_outside:
            _note(axis, f"{n_outside:,} outside")
        dress(axis, f"true ({_unit(first)})", f"predicted ({_unit(first)})", title)
        axis.set_xlim(low, high)
        axis.set_ylim(low, high)
        axis.set_aspect("equal")
    outer_labels(axes, columns)
    of_what = about(*(predictions[title] for title in points))
    caption = f"Grey line: predicted as true. {of_what}{_sampled(points)}{_hidden(predictions, points)}."
    return Figure("Predicted against true", caption, to_png(sheet))


def draw_residuals(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """Error over the mean of predicted and true, with its mean and 95 % limits of agreement, one panel a method.

    References:
        Bland and Altman, Statistical methods for assessing agreement, Lancet 1986.
    """
    points = _points(predictions)
    first = next(iter(predictions.values()))
    errors = np.concatenate([predicted - true for true, predicted in points.values()])
    middles = np.concatenate([(true + predicted) / 2 for true, predicted in points.values()])
    limits = [_agreement(predicted - true) for true, predicted in points.values()]
    low, high = _with_margin(*_core(np.concatenate([_core(errors), np.ravel(limits)])))
    left, right = _with_margin(*_core(middles))
    columns = 2 if len(points) in (2, 4) else 3
    sheet, axes = panels(len(points), columns, 2.3)
    for (title, (true, predicted)), axis in zip(points.items(), axes, strict=True):
        shown, error = _some(len(true)), predicted - true
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=2)
        _dots(axis, ((true + predicted) / 2)[shown], error[shown], looks[title], len(shown))
        lower, bias, upper = _agreement(error)
        axis.axhline(bias, color=INK, linewidth=1.0, zorder=5)
        for limit in (lower, upper):
            axis.axhline(limit, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), zorder=5)
        said = [number_text(x, max(abs(lower), abs(upper))) for x in (bias, lower, upper)]
        _note(axis, "mean {}, limits {} to {}".format(*said))
        dress(axis, f"mean of true and predicted ({_unit(first)})", f"predicted {MINUS} true ({_unit(first)})", title)
        axis.set_xlim(left, right)
        axis.set_ylim(low, high + 0.15 * (high - low))  # room for the note
    outer_labels(axes, columns)
    of_what = about(*(predictions[title] for title in points))
    caption = (
        f"Black lines: mean error and 95 % limits of agreement (1.96 SD), over all examples as if they were "
        f"independent. {of_what}{_sampled(points)}{_hidden(predictions, points)}."
    )
    return Figure("Errors", caption, to_png(sheet))


def _points(predictions: Mapping[str, Predictions]) -> dict[str, Points]:
    """Of the first methods."""
    found: dict[str, Points] = {}
    for title, one in predictions.items():
        true, predicted = one.value.astype(np.float64), one.score[:, 0]
        kept = np.isfinite(true) & np.isfinite(predicted)
        if kept.any() and len(found) < MOST_METHODS:
            found[title] = true[kept], predicted[kept]
    if not found:
        raise NotDrawn("no method has finite predictions")
    return found


def _range_of(points: Mapping[str, Points]) -> tuple[float, float]:
    """Of true values, and of nearly all predicted ones that are not absurd."""
    true = np.concatenate([part[0] for part in points.values()])
    predicted = np.concatenate([part[1] for part in points.values()])
    low, high = float(true.min()), float(true.max())
    reach = 0.5 * (high - low) or 0.5
    lowest, highest = _core(predicted)
    return _with_margin(min(low, max(lowest, low - reach)), max(high, min(highest, high + reach)))


def _agreement(error: NDArray[np.float64]) -> tuple[float, float, float]:
    """Lower limit of agreement, mean, upper limit."""
    mean, spread = float(error.mean()), 1.96 * float(error.std())
    return mean - spread, mean, mean + spread


def _core(x: NDArray[np.float64]) -> tuple[float, float]:
    """Range of all values, or of all but the wildest few of many."""
    low, high = np.quantile(x, [0.002, 0.998]) if len(x) > MANY else (x.min(), x.max())
    return float(low), float(high)


def _some(n: int) -> NDArray[np.int64]:
    """Positions of at most so many of `n` points, by chance, always the same."""
    chosen = np.random.default_rng(0).permutation(n)[:MOST_POINTS]
    return np.asarray(chosen, np.int64)


def _dots(axis: Axes, x: NDArray[np.float64], y: NDArray[np.float64], look: Look, n: int) -> None:
    alpha = float(np.clip(150 / n, 0.25, 0.8))
    axis.scatter(x, y, s=11 if n > 300 else 20, color=look.colour, alpha=alpha, linewidths=0, zorder=3)


def _note(axis: Axes, text: str) -> None:
    axis.text(
        0.02, 0.985, safe(text, 60), transform=axis.transAxes, fontsize=SMALL, color=INK, va="top", zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
    )  # fmt: skip


def _with_margin(low: float, high: float) -> tuple[float, float]:
    margin = 0.06 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _unit(one: Predictions) -> str:
    return one.unit or "no unit"


def _sampled(points: Mapping[str, Points]) -> str:
    most = max(len(true) for true, _ in points.values())
    return f"; {MOST_POINTS:,} of {most:,} points are drawn" if most > MOST_POINTS else ""


def _hidden(predictions: Mapping[str, Predictions], points: Mapping[str, Points]) -> str:
    hidden = len(predictions) - len(points)
    return f"; {hidden} more methods are not shown" if hidden else ""
