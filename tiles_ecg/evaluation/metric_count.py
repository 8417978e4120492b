"""Metrics that count examples, for many weightings of the same examples at once.

`truth` and `said` are (E, K) bool, a column a class; `weight` is (R, E), and the result (R,). NaN where a class that
some example has at any weight has no weight: its share cannot be told, and is never taken for 0.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def mean_recall(truth: Bools, said: Bools, weight: Floats) -> Floats:
    """Share of a class's examples that were said to be of it, mean over the classes that occur."""
    total, _, hit = _counts(truth, said, weight)
    return _mean_share(hit, total, total)


def mean_f1(truth: Bools, said: Bools, weight: Floats) -> Floats:
    """Harmonic mean of precision and recall, mean over the classes that occur; 0 for one that was never said."""
    total, n_said, hit = _counts(truth, said, weight)
    return _mean_share(2 * hit, total + n_said, total)


def weighted_mean(each: Floats, weight: Floats) -> Floats:
    """Mean of one number an example, (E,): hits for an accuracy, squared errors for a Brier score."""
    return np.asarray(weight @ each / weight.sum(1))


def _counts(truth: Bools, said: Bools, weight: Floats) -> list[Floats]:
    """Weight of each class that occurs, of what was said to be of it, and of what is both; (R, classes) each."""
    occurs = truth.any(0)
    truth, said = truth[:, occurs], said[:, occurs]
    return [weight @ part.astype(np.float64) for part in (truth, said, truth & said)]


def _mean_share(above: Floats, below: Floats, needed: Floats) -> Floats:
    if not needed.shape[1]:
        return np.full(len(needed), np.nan)
    share = np.divide(above, below, out=np.full_like(below, np.nan), where=needed > 0)
    return np.asarray(share.mean(1))
