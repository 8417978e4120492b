"""The metrics of each kind of task, as functions of what was predicted and of how much each example counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.metric_count import Bools, Floats, mean_f1, mean_recall, weighted_mean
from tiles_ecg.evaluation.metric_curve import auroc, average_precision, equal_error_rate, first_rank
from tiles_ecg.evaluation.metric_moment import concordance, correlation, explained
from tiles_ecg.task.target import Kind


class Scored(NamedTuple):
    """What a metric sees of E predictions.

    Attributes:
        value: (E,) class codes or numbers, (E, K) of 0 and 1 for `multilabel`; `verification`: 1 for one subject.
        score: (E, K), as in `Predictions`.
        decision: (E,) codes or (E, K) of 0 and 1; (0,) for `regression`.
        query: (E,) int64 code of the window to be recognised; (0,) unless `verification`.
    """

    value: NDArray[Any]
    score: Floats
    decision: NDArray[np.int64]
    query: NDArray[np.int64]


Compute = Callable[[Scored, Floats], Floats]
Range = Literal["share", "correlation", "error", "explained"]
"""Where a metric can lie: 0 to 1, -1 to 1, from 0 up, up to 1. Intervals keep to it."""
Curve = Callable[[Bools, Floats, Floats], Floats]


@dataclass(frozen=True)
class Metric:
    """A number for a set of predictions.

    Attributes:
        name: As `task.metric` names it.
        title: For a table.
        higher_is_better: Else lower is.
        compute: (Scored, weight (R, E)) -> (R,), the metric where example e counts weight[r, e] times. NaN where it is
            not defined, such as for want of a class; a mean over classes is over those that occur at any weight, and
            NaN where one of them has no weight.
        range: Where it can lie.
        is_over_classes: Whether it is a mean over classes.
        needs_rest: Whether a class must have examples without it, to be told from.
    """

    name: str
    title: str
    higher_is_better: bool
    compute: Compute
    range: Range = "share"
    is_over_classes: bool = False
    needs_rest: bool = False


def truth_of(part: Scored, n_classes: int) -> Bools:
    """(E, K) of which classes each example is."""
    if part.value.ndim == 2:
        return np.asarray(part.value == 1)
    return np.asarray(part.value[:, None] == np.arange(n_classes))


def _said(part: Scored) -> Bools:
    if part.decision.ndim == 2:
        return np.asarray(part.decision == 1)
    return np.asarray(part.decision[:, None] == np.arange(part.score.shape[1]))


def _of_class_1(curve: Curve) -> Compute:
    return lambda part, weight: curve(part.value == 1, part.score[:, -1], weight)


def _over_classes(curve: Curve) -> Compute:
    """Mean over the classes that some examples have and some have not."""

    def compute(part: Scored, weight: Floats) -> Floats:
        truth = truth_of(part, part.score.shape[1])
        classes = np.flatnonzero(truth.any(0) & ~truth.all(0))
        total = np.zeros(len(weight)) if len(classes) else np.full(len(weight), np.nan)
        for k in classes:
            total += curve(truth[:, k], part.score[:, k], weight) / len(classes)
        return total

    return compute


def _counted(count: Callable[[Bools, Bools, Floats], Floats], first: int = 0) -> Compute:
    """Over the classes from `first` on; undefined for one class only."""

    def compute(part: Scored, weight: Floats) -> Floats:
        truth = truth_of(part, part.score.shape[1])
        if part.value.ndim == 1 and truth.any(0).sum() < 2:
            return np.full(len(weight), np.nan)
        return count(truth[:, first:], _said(part)[:, first:], weight)

    return compute


def _paired(agree: Callable[[Floats, Floats, Floats], Floats]) -> Compute:
    return lambda part, weight: agree(np.asarray(part.value, np.float64), part.score[:, 0], weight)


def _rank1(part: Scored, weight: Floats) -> Floats:
    if part.value.all():
        return np.full(len(weight), np.nan)
    return first_rank(part.value == 1, part.score[:, 0], part.query, weight)


def _mean_of(each: Callable[[Scored], Floats]) -> Compute:
    return lambda part, weight: weighted_mean(each(part), weight)


def _hit(part: Scored) -> Floats:
    return np.asarray(part.decision == part.value, np.float64)


def _squared_error(part: Scored) -> Floats:
    return np.asarray(np.square(part.score[:, -1] - (part.value == 1)), np.float64)


def _absolute_error(part: Scored) -> Floats:
    return np.asarray(np.abs(part.score[:, 0] - part.value), np.float64)


def _metric(
    name: str,
    title: str,
    compute: Compute,
    *,
    higher: bool = True,
    within: Range = "share",
    classes: bool = False,
    rest: bool = False,
) -> Metric:
    """A metric that is NaN for no predictions, and for those that are not finite numbers."""

    def guarded(part: Scored, weight: Floats) -> Floats:
        if not len(part.value) or not np.isfinite(part.score).all():
            return np.full(len(weight), np.nan)
        return compute(part, weight)

    return Metric(name, title, higher, guarded, within, classes, rest)


METRICS: Mapping[Kind, tuple[Metric, ...]] = {
    "binary": (
        _metric("auroc", "AUROC", _of_class_1(auroc)),
        _metric("average_precision", "average precision", _of_class_1(average_precision)),
        _metric("balanced_accuracy", "balanced accuracy", _counted(mean_recall)),
        _metric("f1", "F1", _counted(mean_f1, first=1)),
        _metric("brier", "Brier score", _mean_of(_squared_error), higher=False),
    ),
    "multiclass": (
        _metric("auroc", "macro AUROC", _over_classes(auroc), classes=True, rest=True),
        _metric("f1", "macro F1", _counted(mean_f1), classes=True),
        _metric("balanced_accuracy", "balanced accuracy", _counted(mean_recall), classes=True),
        _metric("accuracy", "accuracy", _mean_of(_hit)),
    ),
    "multilabel": (
        _metric("auroc", "macro AUROC", _over_classes(auroc), classes=True, rest=True),
        _metric(
            "average_precision", "macro average precision", _over_classes(average_precision), classes=True, rest=True
        ),
        _metric("f1", "macro F1", _counted(mean_f1), classes=True),
    ),
    "regression": (
        _metric("mae", "MAE", _mean_of(_absolute_error), higher=False, within="error"),
        _metric("ccc", "CCC", _paired(concordance), within="correlation"),
        _metric("r2", "R²", _paired(explained), within="explained"),
        _metric("pearson", "Pearson r", _paired(correlation), within="correlation"),
    ),
    "verification": (
        _metric("eer", "EER", _of_class_1(equal_error_rate), higher=False),
        _metric("rank1", "rank-1", _rank1),
        _metric("auroc", "AUROC of pairs", _of_class_1(auroc)),
    ),
}
