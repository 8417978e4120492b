"""Figures of classes: ROC and precision-recall, one class against the rest, confusion."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

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
    legend_below,
    new_sheet,
    outer_labels,
    panels,
    safe,
    shortened,
    to_png,
)

MOST_CLASSES = 12
WITH_NUMBERS = 10
"""Classes, up to which a confusion matrix has room for its counts."""


def draw_roc_and_precision_recall(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """ROC and precision-recall of a binary task, side by side."""
    sheet, (left, right) = panels(2, 2, 3.8)
    shown: list[str] = []
    shares: list[float] = []
    for title, truth, score in _with_both_classes(predictions, 1):
        look = looks[title]
        false_rate, true_rate, _ = roc_curve(truth, score)
        look.draw(left, false_rate, true_rate)
        precision, recall, _ = precision_recall_curve(truth, score)
        precision[-1] = precision[-2]  # where nothing is found it is not defined, and set to 1 by convention
        look.draw(right, recall[::-1], precision[::-1], steps="steps-pre")
        shown.append(title)
        shares.append(float(truth.mean()))
    if not shown:
        raise NotDrawn("no method has finite scores for examples of both classes")
    one = predictions[shown[0]]
    negative, positive = (shortened(name, 14) for name in one.classes)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=2)
    left.annotate("chance", (0.62, 0.6), fontsize=SMALL, color=GREY, rotation=0, ha="left", va="top")
    right.axhline(shares[0], color=GREY, linewidth=0.8, zorder=2)
    right.annotate("chance", (0.01, shares[0]), fontsize=SMALL, color=GREY, ha="left", va="bottom")
    dress(left, f"false positive rate ({negative} taken for {positive})", f"true positive rate ({positive})", "ROC")
    dress(right, f"recall ({positive})", "precision", "Precision-recall")
    _unit_square(left)
    _unit_square(right)
    legend_below(sheet, [looks[title].handle() for title in shown], shown)
    caption = f"{one.classes[1]} against {one.classes[0]}: {about(*predictions.values())}. Grey lines: chance."
    return Figure("ROC and precision-recall", caption, to_png(sheet))


def draw_roc_of_classes(predictions: Mapping[str, Predictions], looks: Mapping[str, Look]) -> Figure:
    """ROC of each class against the rest, one panel a class."""
    first = next(iter(predictions.values()))
    n_seeds = len(np.unique(first.seed))
    count = np.array([int(_is_class(first, code).sum()) // n_seeds for code in range(len(first.classes))])
    codes = np.sort(np.argsort(-count, kind="stable")[:MOST_CLASSES])
    codes = codes[count[codes] > 0]
    if not len(codes):
        raise NotDrawn("no class occurs")
    columns = 2 if len(codes) in (2, 4) else 3
    sheet, axes = panels(len(codes), columns, 2.7, width=6.4 if columns == 2 else WIDTH)
    shown: dict[str, None] = {}
    for code, axis in zip(codes.tolist(), axes, strict=True):
        for title, truth, score in _with_both_classes(predictions, code):
            false_rate, true_rate, _ = roc_curve(truth, score)
            looks[title].draw(axis, false_rate, true_rate)
            shown[title] = None
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=2)
        dress(axis, "false positive rate", "true positive rate", f"{first.classes[code]} (n = {count[code]:,})")
        _unit_square(axis)
    outer_labels(axes, columns)
    if not shown:
        raise NotDrawn("no class has finite scores for examples with and without it")
    legend_below(sheet, [looks[title].handle() for title in shown], list(shown))
    left_out = len(first.classes) - len(codes)
    more = f" {left_out} of {len(first.classes)} classes, rare or absent, are not shown." if left_out else ""
    caption = f"Each class against the rest: {about(*predictions.values())}; n examples of the class.{more}"
    return Figure("ROC of each class", caption, to_png(sheet))


def draw_confusion(predictions: Mapping[str, Predictions], chosen_by: str) -> Figure:
    """Confusion matrices at the chosen thresholds, a row of each adding up to 100 %.

    Args:
        predictions: Of few methods, by title.
        chosen_by: Why these, for the caption.
    """
    usable = {title: one for title, one in predictions.items() if len(one) and len(one.decision) == len(one)}
    if not usable:
        raise NotDrawn("no method has decisions")
    first = next(iter(usable.values()))
    n_classes = len(first.classes)
    sheet = new_sheet(min(3.4 + 0.15 * max(0, n_classes - 4), 4.4))
    axes = list(sheet.subplots(1, len(usable), squeeze=False).flat)
    for (title, one), axis in zip(usable.items(), axes, strict=True):
        _matrix(axis, _confusion(one.value, one.decision, n_classes), first.classes)
        n_seeds = len(np.unique(one.seed))
        of_seeds = f" ({n_seeds} seeds)" if n_seeds > 1 else ""
        dress(axis, "predicted", "truth", f"{shortened(title, 40 - len(of_seeds))}{of_seeds}", has_grid=False)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    counts = "counts and shares of the row" if n_classes <= WITH_NUMBERS else "shares of the row"
    rule = "at thresholds chosen on inner folds" if first.kind == "binary" else "for the likeliest class"
    caption = f"Decisions {rule}, {counts}; {chosen_by}: {about(*usable.values())}."
    return Figure("Confusion", caption, to_png(sheet))


def _with_both_classes(
    predictions: Mapping[str, Predictions], code: int
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Of each method with something to tell apart: its title, (n,) truth of 0 and 1, and (n,) finite scores."""
    for title, one in predictions.items():
        kept = np.isfinite(one.score[:, code])
        truth = _is_class(one, code)[kept]
        if 0 < truth.sum() < len(truth):
            yield title, truth, one.score[kept, code]


def _is_class(one: Predictions, code: int) -> NDArray[np.int64]:
    truth = one.value[:, code] if one.kind == "multilabel" else one.value == code
    return np.asarray(truth, np.int64)


def _confusion(truth: NDArray[np.int64], decision: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """(K, K): truth in rows, decisions in columns."""
    count = np.bincount(truth.astype(np.int64) * n_classes + decision, minlength=n_classes**2)
    return count.reshape(n_classes, n_classes)


def _matrix(axis: Axes, count: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    share = count / np.maximum(count.sum(1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="equal")
    names = [safe(name, 14) for name in classes]
    is_long = len(classes) > 4 or max(map(len, names)) > 9
    axis.set_xticks(range(len(names)), names, rotation=40 if is_long else 0, ha="right" if is_long else "center")
    axis.set_yticks(range(len(names)), names)
    if len(classes) > WITH_NUMBERS:
        return
    for (row, column), n in np.ndenumerate(count):
        colour = "white" if share[row, column] > 0.6 else INK
        text = f"{n:,}\n{100 * share[row, column]:.0f} %" if len(classes) <= 6 else f"{n:,}"
        axis.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=colour)


def _unit_square(axis: Axes) -> None:
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.01, 1.01)
    axis.set_aspect("equal")
