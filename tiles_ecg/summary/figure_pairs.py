"""Figures of a verification: similarities of genuine and impostor pairs, and the trade-off between the two errors."""

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_curve

from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.summary.figure_style import (
    GREY,
    INK,
    SMALL,
    Figure,
    Look,
    NotDrawn,
    about,
    dress,
    legend_below,
    new_sheet,
    panels,
    to_png,
)

MOST_METHODS = 9
N_BINS = 50
TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Error rates at which the axes of the trade-off are marked."""


def draw_similarities(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """How alike windows of one subject and of two subjects are, one panel a method."""
    pairs = dict(list(_pairs(predictions).items())[:MOST_METHODS])
    columns = 2 if len(pairs) in (2, 4) else 3
    sheet, axes = panels(len(pairs), columns, 1.9)
    for number, ((title, (is_genuine, score)), axis) in enumerate(zip(pairs.items(), axes, strict=True)):
        edges = np.histogram_bin_edges(score, N_BINS)
        genuine, impostor = _density(score[is_genuine], edges), _density(score[~is_genuine], edges)
        axis.stairs(genuine, edges, fill=True, color=looks[title].colour, alpha=0.55)
        axis.stairs(impostor, edges, color=INK, linewidth=1.2)
        dress(axis, "similarity", "" if number % columns else "density", title)
        axis.set_yticks([])
        axis.set_ylim(0, None)
    handles = [Patch(facecolor=GREY, alpha=0.55), Line2D([], [], color=INK, linewidth=1.2)]
    legend_below(sheet, handles, ["two windows of one subject", "windows of two subjects"])
    is_genuine = next(iter(pairs.values()))[0]
    caption = (
        f"{int(is_genuine.sum()):,} pairs of windows of one subject (filled), {int((~is_genuine).sum()):,} of two "
        f"(line); each adds up to 1. {about(*(predictions[title] for title in pairs))}."
    )
    return Figure("Similarities", caption, to_png(sheet))


def draw_trade_off(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """False matches against false non-matches on normal-deviate axes (DET), equal error rates marked.

    References:
        Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """
    pairs = _pairs(predictions)
    sheet = new_sheet(5.4, width=6.2)
    axis = sheet.subplots()
    lowest = min(0.5 / min(int(genuine.sum()), int((~genuine).sum())) for genuine, _ in pairs.values())
    low = float(np.clip(lowest, 0.0007, 0.05))
    ends = _deviate(np.array([low, 0.85]))
    for title, (is_genuine, score) in pairs.items():
        false_match, match, _ = roc_curve(is_genuine, score)
        tiny = low / 10
        x, y = (_deviate(np.clip(rate, tiny, 1 - tiny)) for rate in (false_match, 1 - match))
        looks[title].draw(axis, x, y)
        equal = _deviate(np.clip([equal_error_rate(false_match, 1 - match)], low, 0.85))
        colour, face = looks[title].colour, "white" if looks[title].is_control else looks[title].colour
        axis.plot(equal, equal, "o", color=colour, markerfacecolor=face, markersize=7, zorder=6)
    axis.plot(ends, ends, color=GREY, linewidth=0.8, zorder=2)
    dress(axis, "false match rate (%)", "false non-match rate (%)")
    ticks = [rate for rate in TICKS if rate >= low]
    names = [f"{100 * rate:g}" for rate in ticks]
    axis.set_xticks(_deviate(np.array(ticks)), names)
    axis.set_yticks(_deviate(np.array(ticks)), names)
    axis.set_xlim(ends[0], ends[1])
    axis.set_ylim(ends[0], ends[1])
    axis.set_aspect("equal")
    axis.annotate(
        "both errors equal", (ends[1], ends[1]), (-16, -26), textcoords="offset points", fontsize=SMALL, color=GREY,
        ha="right", rotation=45, rotation_mode="anchor",
    )  # fmt: skip
    legend_below(sheet, [looks[title].handle("o") for title in pairs], list(pairs), columns=2)
    of_what = about(*(predictions[title] for title in pairs))
    caption = f"Normal-deviate axes; dots: equal error rates over all folds pooled. {of_what}."
    return Figure("Errors of verification", caption, to_png(sheet))


def equal_error_rate(false_match: NDArray[np.float64], false_non_match: NDArray[np.float64]) -> float:
    """Where the two rates cross, between the points of a ROC; `false_match` ascends."""
    gap = false_match - false_non_match
    at = int(np.searchsorted(gap, 0.0))
    if at == 0 or gap[at] == 0:
        return float(false_match[at])
    share = -gap[at - 1] / (gap[at] - gap[at - 1])
    return float(false_match[at - 1] + share * (false_match[at] - false_match[at - 1]))


def _deviate(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the normal distribution."""
    return np.asarray(norm.ppf(rate), np.float64)


def _pairs(predictions: Mapping[str, Predictions]) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Of methods with pairs of both sorts: (P,) whether genuine, (P,) finite similarity."""
    found = {}
    for title, one in predictions.items():
        kept = np.isfinite(one.score[:, 0])
        is_genuine = one.value[kept] == 1
        if is_genuine.any() and not is_genuine.all():
            found[title] = is_genuine, one.score[kept, 0]
    if not found:
        raise NotDrawn("no method has finite similarities of pairs of one subject and of two subjects")
    return found


def _density(score: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    count = np.histogram(score, edges)[0]
    return np.asarray(count / (max(1, len(score)) * np.diff(edges)), np.float64)
