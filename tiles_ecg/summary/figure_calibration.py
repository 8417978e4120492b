"""Calibration: does what is given a probability come true as often?"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.summary.figure_style import (
    GREY,
    Figure,
    Look,
    NotDrawn,
    about,
    dress,
    legend_below,
    new_sheet,
    to_png,
)

N_BINS = 10


def draw_calibration(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """How often what was given a probability came true, over how many such predictions."""
    sheet = new_sheet(4.8)
    upper, lower = sheet.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    shown = []
    for title, one in predictions.items():
        truth, p = _claims(one)
        if not len(p):
            continue
        look = looks[title]
        said, came_true = reliability(truth, p)
        look.draw(upper, said, came_true, marker="o")
        count, edges = np.histogram(np.clip(p, 0, 1), np.linspace(0, 1, 26))
        lower.stairs(
            count, edges, baseline=None, color=look.colour, linestyle=look.dash, linewidth=look.width, zorder=look.layer
        )
        shown.append(title)
    if not shown:
        raise NotDrawn("no method has finite probabilities")
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=2)
    one = predictions[shown[0]]
    what = {"binary": f"of {one.classes[1]}" if len(one.classes) > 1 else "", "multiclass": "of the likeliest class"}
    dress(upper, "", "share that came true")
    dress(lower, f"predicted probability {what.get(one.kind, 'of a class')}", "predictions")
    lower.set_yscale("log")
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    legend_below(sheet, [looks[title].handle("o") for title in shown], shown)
    caption = (
        f"Points: up to {N_BINS} bins with equally many predictions each; grey line: as often as said; below, number "
        f"of predictions in steps of 0.04: {about(*(predictions[title] for title in shown))}."
    )
    return Figure("Calibration", caption, to_png(sheet))


def reliability(truth: NDArray[np.int64], p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability and share that came true, in quantile bins; equal probabilities stay in one bin."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    _, which = np.unique(np.searchsorted(edges, p, side="left"), return_inverse=True)
    count = np.bincount(which)
    return np.bincount(which, p) / count, np.bincount(which, truth) / count


def _claims(one: Predictions) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) whether it came true, and (n,) its probability: of class 1, of the likeliest class, or of every class."""
    kept = np.isfinite(one.score).all(1)
    value, score = one.value[kept], one.score[kept]
    if one.kind == "multilabel":
        return np.asarray(value, np.int64).ravel(), score.ravel()
    if one.kind == "binary":
        return np.asarray(value == 1, np.int64), score[:, 1]
    return np.asarray(score.argmax(1) == value, np.int64), score.max(1)
