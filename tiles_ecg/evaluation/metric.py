"""Metrics by kind of task: each is computed once over all predictions, never averaged over batches or folds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.metric_table import METRICS, Metric, Scored, truth_of
from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.task.target import Kind, TaskError

__all__ = ["Metric", "Scored", "left_out", "metric", "metrics_of", "primary_value", "scored"]
__all__ += ["scored_by_seed", "undefined", "value"]


def scored(predictions: Predictions) -> Scored:
    """What a metric sees of predictions, one seed or several."""
    query = np.zeros(0, np.int64)
    if predictions.kind == "verification":
        query = np.unique(predictions.example_id, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return Scored(predictions.value, predictions.score, predictions.decision, query)


def scored_by_seed(predictions: Predictions) -> Iterator[tuple[NDArray[np.int64], Scored]]:
    """The rows of each seed, and what a metric sees of them."""
    whole = scored(predictions)
    for seed in np.unique(predictions.seed):
        rows = np.flatnonzero(predictions.seed == seed)
        decision = whole.decision[rows] if len(whole.decision) else whole.decision
        query = whole.query[rows] if len(whole.query) else whole.query
        yield rows, Scored(whole.value[rows], whole.score[rows], decision, query)


def metrics_of(kind: Kind) -> tuple[Metric, ...]:
    """The metrics of a kind of task."""
    return METRICS[kind]


def metric(kind: Kind, name: str) -> Metric:
    """A metric by its name.

    Raises:
        TaskError: If the kind of task has none of that name.
    """
    for found in METRICS[kind]:
        if found.name == name:
            return found
    names = ", ".join(known.name for known in METRICS[kind])
    raise TaskError(f"task.metric = {name}: no metric of a {kind} task; choose one of {names}")


def value(metric: Metric, predictions: Predictions) -> float:
    """The metric over all predictions at once, all folds together; with several seeds the mean of theirs."""
    each = [_plain(metric, part) for _, part in scored_by_seed(predictions)]
    return float(np.mean(each)) if each else float("nan")


def primary_value(
    kind: Kind,
    name: str,
    value: NDArray[Any],
    score: NDArray[Any],
    decision: NDArray[np.int64] | None = None,
    query: NDArray[np.int64] | None = None,
) -> float:
    """A metric of arrays, to choose by on inner folds; NaN where it is not defined.

    Args:
        kind: Of the task.
        name: Of the metric.
        value: (E,) or (E, K), as in `Scored`.
        score: (E, K); (E,) is read as (E, 1), for `binary` as the probability of class 1.
        decision: As in `Scored`; by default the most probable class, for `multilabel` those at 0.5 or more.
        query: (E,) codes; needed for `rank1` only.

    Raises:
        TaskError: If the kind has no such metric, or `rank1` is asked for without queries.
    """
    chosen = metric(kind, name)
    if name == "rank1" and query is None:
        raise TaskError("task.metric = rank1 needs to know which pairs share a query; pass query, or choose eer")
    score = np.asarray(score, np.float64).reshape(len(value), -1)
    if kind == "binary" and score.shape[1] == 1:
        score = np.concatenate([1 - score, score], axis=1)
    if decision is None:
        decision = (score >= 0.5 if kind == "multilabel" else score.argmax(1)).astype(np.int64)
    query = np.zeros(0, np.int64) if query is None else query
    return _plain(chosen, Scored(np.asarray(value), score, decision, query))


def undefined(metric: Metric, predictions: Predictions) -> str | None:
    """Why a metric has no value for these predictions; None where it has one."""
    if not len(predictions):
        return "there are no predictions"
    for _, part in scored_by_seed(predictions):
        if not np.isfinite(_plain(metric, part)):
            return _reason(predictions, part)
    return None


def left_out(metric: Metric, predictions: Predictions) -> str | None:
    """Which classes a mean over classes leaves out, because no example has them or none is without them."""
    if not metric.is_over_classes or not len(predictions):
        return None
    truth = truth_of(scored(predictions), len(predictions.classes))
    is_used = np.asarray(truth.any(0) & ~(truth.all(0) & metric.needs_rest))
    names = [name for name, used in zip(predictions.classes, is_used, strict=True) if not used]
    return f"mean over {is_used.sum()} of {len(is_used)} classes, without {', '.join(names)}" if names else None


def _plain(metric: Metric, part: Scored) -> float:
    return float(metric.compute(part, np.ones((1, len(part.value))))[0])


def _reason(predictions: Predictions, part: Scored) -> str:
    n_bad = int((~np.isfinite(part.score).all(1)).sum())
    if n_bad:
        return f"{n_bad} of {len(part.score)} predictions are not finite numbers"
    if predictions.kind == "verification":
        return "no pair is of one subject" if not part.value.any() else "no pair is of two subjects"
    if predictions.kind == "regression":
        lone = np.ptp(part.value) <= 1e-12 * np.abs(part.value).max()
        return f"all values are {part.value[0]:g} {predictions.unit}".rstrip() if lone else "all predictions are equal"
    if predictions.kind == "multilabel":
        return "no class has both examples with it and examples without"
    return f"all {len(part.value)} examples are of class {predictions.classes[int(part.value[0])]}"
