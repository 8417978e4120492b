"""Resamples of whole subjects: windows of one subject are not independent, and are drawn together."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.metric import Metric, scored_by_seed
from tiles_ecg.evaluation.metric_count import Floats
from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.task.target import Kind

BLOCK = 64
"""Resamples drawn at a time, from a generator of their own: the same ones for every method."""
MOST_WEIGHTS = 2**22
"""Weights held at a time: 32 MB."""
Statistic = Callable[[Floats], Floats]
"""Multiplicities of subjects, (S, R), to what is estimated, (R,)."""


class Resamples(NamedTuple):
    """Values of a statistic, (n,), and how many resamples more were drawn that had none."""

    values: Floats
    n_redrawn: int


def subjects_of(predictions: Predictions) -> NDArray[np.str_]:
    """Groups of subjects, sorted: those of `subject`, and of the other side of pairs."""
    return np.unique(np.concatenate([predictions.subject, predictions.other_subject]).astype(np.str_))


def statistic_of(predictions: Predictions, metric: Metric, subjects: NDArray[np.str_]) -> Statistic:
    """The metric as a function of how often each of `subjects` was drawn, averaged over seeds."""
    first = np.searchsorted(subjects, predictions.subject)
    second = np.searchsorted(subjects, predictions.other_subject) if len(predictions.other_subject) else first
    parts = list(scored_by_seed(predictions))

    def statistic(drawn: Floats) -> Floats:
        total = np.zeros(drawn.shape[1])
        for rows, part in parts:
            width = max(1, MOST_WEIGHTS // len(rows))
            for start in range(0, drawn.shape[1], width):
                weight = _weights(drawn[:, start : start + width], first[rows], second[rows])
                total[start : start + width] += metric.compute(part, weight.T) / len(parts)
        return total

    return statistic


def resample(statistic: Statistic, n_subjects: int, n_resamples: int, seed: int) -> Resamples:
    """Values of a statistic for resamples of subjects; those where it is NaN are drawn again.

    Returns:
        Fewer than `n_resamples` values where more than half of the resamples have none.
    """
    values = np.zeros(0)
    for drawn in _draws(n_subjects, seed):
        values = np.append(values, statistic(drawn))
        is_valid = np.isfinite(values)
        n_valid = int(is_valid.sum())
        if n_valid >= n_resamples:
            n_needed = int(np.flatnonzero(is_valid)[n_resamples - 1]) + 1
            return Resamples(values[:n_needed][is_valid[:n_needed]], n_needed - n_resamples)
        if len(values) >= n_resamples and 2 * n_valid < len(values):
            return Resamples(values[is_valid], len(values) - n_valid)
    raise AssertionError("draws do not end")


def redrawn(found: Resamples, n_resamples: int, kind: Kind) -> str | None:
    """What to say of resamples without a value: none, some, or so many that `resample` gave up."""
    wanted = "different values" if kind == "regression" else "one of the classes"
    if len(found.values) < n_resamples:
        n = found.n_redrawn + len(found.values)
        return f"no interval: {found.n_redrawn} of {n} resamples lack {wanted}, which too few subjects have"
    return f"{found.n_redrawn} resamples without {wanted} were drawn again" if found.n_redrawn else None


def _draws(n_subjects: int, seed: int) -> Iterator[Floats]:
    """(S, BLOCK) how often each subject was drawn, without end."""
    block = 0
    while True:
        rng = np.random.default_rng([seed, block])
        cell = rng.integers(n_subjects, size=(n_subjects, BLOCK)) * BLOCK + np.arange(BLOCK)
        count = np.bincount(cell.ravel(), minlength=n_subjects * BLOCK)
        yield count.reshape(n_subjects, BLOCK).astype(np.float64)
        block += 1


def _weights(drawn: Floats, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """(E, R): of a pair of one subject that subject's, of a pair of two the product."""
    weight = drawn[first]
    other = np.flatnonzero(first != second)
    if len(other):
        weight[other] *= drawn[second[other]]
    return weight
