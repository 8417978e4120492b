"""Metrics of a ranking, for many weightings of the same examples at once; equal scores are one step of the curve.

All functions take `is_positive` (E,) bool, `score` (E,) and `weight` (R, E), and return (R,); NaN where the positives
or the negatives have no weight. A weighting in Fortran order, the transpose of (E, R), is read fastest.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]


def auroc(is_positive: NDArray[np.bool_], score: Floats, weight: Floats) -> Floats:
    """Area under the ROC curve: the chance that a positive scores above a negative, half of it where they are equal."""
    true, false = _curve(is_positive, score, weight)
    area = np.einsum("kr,kr->r", np.diff(false, axis=0), (true[1:] + true[:-1]) / 2)
    return _ratio(area, true[-1] * false[-1])


def average_precision(is_positive: NDArray[np.bool_], score: Floats, weight: Floats) -> Floats:
    """Mean precision over the steps of recall, without interpolation."""
    true, false = _curve(is_positive, score, weight, each_positive=True)
    steps = np.diff(true, axis=0)
    chosen = (true + false)[1:]
    precision = np.divide(true[1:], chosen, out=np.zeros_like(chosen), where=chosen > 0)
    total = np.einsum("kr,kr->r", steps, precision)
    return np.where(false[-1] > 0, _ratio(total, true[-1]), np.nan)


def equal_error_rate(is_positive: NDArray[np.bool_], score: Floats, weight: Floats) -> Floats:
    """Share of negatives accepted where it equals that of positives rejected, on straight lines between thresholds."""
    true, false = _curve(is_positive, score, weight)
    is_known = (true[-1] > 0) & (false[-1] > 0)
    accepted = false / np.where(is_known, false[-1], 1)  # (steps + 1, R), 0 to 1
    rejected = 1 - true / np.where(is_known, true[-1], 1)  # 1 to 0
    excess = rejected - accepted  # falls from 1 to -1
    after = np.maximum(np.argmax(excess <= 0, axis=0), 1)
    column = np.arange(weight.shape[0])
    before, behind = excess[after - 1, column], excess[after, column]
    share = np.divide(before, before - behind, out=np.zeros_like(before), where=is_known)
    rate = accepted[after - 1, column] + share * (accepted[after, column] - accepted[after - 1, column])
    return np.where(is_known, rate, np.nan)


def first_rank(is_positive: NDArray[np.bool_], score: Floats, query: NDArray[np.int64], weight: Floats) -> Floats:
    """Share of queries whose highest score is that of a positive; k of n where n scores share the height, k positive.

    Only queries with a positive count. The candidates of a query are all its rows, whatever their weight: weighting
    chooses among queries. Bootstraps that also drew candidates would leave out a third of the impostors at a time, and
    find recognition easier than it is. The weight of a query is that of its positives, which are of its own subject.
    """
    n_queries = int(query.max(initial=-1)) + 1
    highest = np.full(n_queries, -np.inf)
    np.maximum.at(highest, query, score)
    is_first = score == highest[query]
    n_first = np.bincount(query[is_first], minlength=n_queries)
    n_hits = np.bincount(query[is_first & is_positive], minlength=n_queries)
    rows = np.flatnonzero(is_positive)
    of_query, one = np.unique(query[rows], return_index=True)
    hit = n_hits[of_query] / n_first[of_query] if len(rows) else np.zeros(0)
    chosen = weight[:, rows[one]]  # (R, queries with a positive)
    return _ratio(chosen @ hit, chosen.sum(1))


def _curve(
    is_positive: NDArray[np.bool_], score: Floats, weight: Floats, each_positive: bool = False
) -> tuple[Floats, Floats]:
    """Weights of positives and of negatives at or above a score, highest first, each (steps + 1, R) from 0.

    Runs of negatives, and of positives unless `each_positive`, are one step: whatever their weights, the points
    between lie on the straight line between the ends.
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) != 0))  # of equal scores
    n_positive = np.add.reduceat(is_positive[order].astype(np.int64), starts)
    is_mixed = (n_positive > 0) & (n_positive < np.diff(starts, append=len(order)))
    is_pure = ~is_mixed & ~((n_positive > 0) & each_positive)
    goes_on = is_pure[1:] & is_pure[:-1] & ((n_positive[1:] > 0) == (n_positive[:-1] > 0))
    step = np.empty(len(order), np.int64)
    step[order] = np.repeat(np.cumsum(np.append(True, ~goes_on)), np.diff(starts, append=len(order)))
    return _steps(step, np.flatnonzero(is_positive), weight), _steps(step, np.flatnonzero(~is_positive), weight)


def _steps(step: NDArray[np.int64], rows: NDArray[np.int64], weight: Floats) -> Floats:
    """What of the rows' weights has gathered by each step."""
    shape = (int(step.max()) + 1, len(step))
    of_step = csr_array((np.ones(len(rows)), (step[rows], rows)), shape=shape)
    return np.cumsum(np.asarray(of_step @ weight.T), axis=0)  # (steps + 1, R)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)
