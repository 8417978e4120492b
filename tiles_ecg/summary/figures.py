"""The figures of a report, for one task: what is drawn depends on its kind."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tiles_ecg.evaluation.embedding_map import EmbeddingMap
from tiles_ecg.evaluation.gallery import Gallery
from tiles_ecg.evaluation.metric import Metric, metric, value
from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.summary.figure_calibration import draw_calibration
from tiles_ecg.summary.figure_classes import draw_confusion, draw_roc_and_precision_recall, draw_roc_of_classes
from tiles_ecg.summary.figure_intervals import CurvePoint, draw_intervals, draw_label_efficiency
from tiles_ecg.summary.figure_map import draw_maps
from tiles_ecg.summary.figure_numbers import draw_residuals, draw_scatter
from tiles_ecg.summary.figure_pairs import draw_similarities, draw_trade_off
from tiles_ecg.summary.figure_style import Figure, Look, NotDrawn, looks_of, strip
from tiles_ecg.summary.figure_windows import draw_windows

__all__ = ["CurvePoint", "Figure", "figures"]

Draw = Callable[[], Figure | list[Figure]]


def figures(
    predictions: Mapping[str, Predictions],
    maps: Sequence[EmbeddingMap] = (),
    galleries: Sequence[Gallery] = (),
    curve: Sequence[CurvePoint] = (),
    intervals: Mapping[str, tuple[float, float, float]] | None = None,
) -> list[Figure]:
    """Draw what there is to see of one task; a method has the same colour in every figure.

    Safe to call in threads. Where a figure has nothing to show, a narrow strip with the reason stands in its place
    (`Figure.is_drawn` is False): one class only, no finite scores. What was not handed in is not mentioned.

    Args:
        predictions: Of all folds, by the title of the method, in the order of the tables.
        maps: Of the encoders.
        galleries: Of the methods whose windows are to be looked at.
        curve: The metric that decides over numbers of subjects with labels.
        intervals: The metric that decides, by the title of the method: value, low, high.
    """
    filled = {title: one for title, one in predictions.items() if len(one)}
    first = next(iter(filled.values()), None)
    looks = looks_of(predictions, [*(intervals or {}), *(point.method for point in curve)])
    decides = None if first is None else metric(first.kind, first.metric)
    name = _name(decides, first)
    plan: list[tuple[str, Draw]] = []
    if intervals:
        better = decides is None or decides.higher_is_better
        plan.append(("Methods compared", lambda: draw_intervals(intervals, looks, name, better)))
    if first is not None and decides is not None:
        plan += _of_kind(filled, looks, first, decides)
    if curve:
        plan.append(("Label efficiency", lambda: draw_label_efficiency(curve, looks, name)))
    if maps:
        plan.append(("Embedding map", lambda: draw_maps(maps)))
    for gallery in galleries:
        plan.append(("Best and worst predicted windows", lambda gallery=gallery: draw_windows(gallery)))  # type: ignore[misc]
    return [figure for title, draw in plan for figure in _drawn(title, draw)]


def _drawn(title: str, draw: Draw) -> list[Figure]:
    try:
        made = draw()
    except NotDrawn as reason:
        return [strip(title, str(reason))]
    return [made] if isinstance(made, Figure) else made


def _of_kind(
    predictions: Mapping[str, Predictions], looks: Mapping[str, Look], first: Predictions, decides: Metric
) -> list[tuple[str, Draw]]:
    def confusion() -> Figure:
        return draw_confusion(_best_of_each_role(predictions, decides), f"best encoder and control by {decides.title}")

    calibration: tuple[str, Draw] = ("Calibration", lambda: draw_calibration(predictions, looks))
    if first.kind == "binary":
        curves = ("ROC and precision-recall", lambda: draw_roc_and_precision_recall(predictions, looks))
        return [curves, ("Confusion", confusion), calibration]
    if first.kind == "multiclass":
        of_classes = ("ROC of each class", lambda: draw_roc_of_classes(predictions, looks))
        return [of_classes, ("Confusion", confusion), calibration]
    if first.kind == "multilabel":
        return [("ROC of each class", lambda: draw_roc_of_classes(predictions, looks)), calibration]
    if first.kind == "regression":
        scatter = ("Predicted against true", lambda: draw_scatter(predictions, looks))
        return [scatter, ("Errors", lambda: draw_residuals(predictions, looks))]
    trade_off = ("Errors of verification", lambda: draw_trade_off(predictions, looks))
    return [trade_off, ("Similarities", lambda: draw_similarities(predictions, looks))]


def _best_of_each_role(predictions: Mapping[str, Predictions], decides: Metric) -> dict[str, Predictions]:
    """The best encoder and the best control; the first of each where the metric is not defined."""
    chosen = {}
    for role in ("encoder", "control"):
        of_role = [title for title, one in predictions.items() if one.method.role == role]
        if of_role:
            reached = np.array([value(decides, predictions[title]) for title in of_role])
            reached = reached if decides.higher_is_better else -reached
            best = of_role[int(np.argmax(np.where(np.isnan(reached), -np.inf, reached)))]
            chosen[best] = predictions[best]
    return chosen


def _name(decides: Metric | None, first: Predictions | None) -> str:
    """Of the metric that decides, with the unit of an error."""
    if decides is None or first is None:
        return "metric"
    return f"{decides.title} ({first.unit})" if decides.name == "mae" and first.unit else decides.title
