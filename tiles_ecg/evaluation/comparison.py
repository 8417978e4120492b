"""Comparison of two methods on the same subjects, and of one method's folds and seeds."""

import math
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.bootstrap import FEWEST_SUBJECTS, check
from tiles_ecg.evaluation.interval import interval
from tiles_ecg.evaluation.metric import Metric, undefined, value
from tiles_ecg.evaluation.predictions import Predictions, PredictionsError
from tiles_ecg.evaluation.resampling import redrawn, resample, statistic_of, subjects_of


@dataclass(frozen=True)
class Difference:
    """A metric of one method less that of another.

    Attributes:
        value: First less second, in the metric's own direction: where lower is better, below 0 favours the first.
        low: Of the interval; NaN where there is none.
        high: As `low`.
        n_subjects: Groups of subjects that both were judged on.
        half_width: Of the interval: about the least difference that these subjects resolve.
        resolved: Whether the interval excludes 0.
        note: What the number of subjects cannot tell, what was left out, why there is no interval; may be empty.
    """

    value: float
    low: float
    high: float
    n_subjects: int
    half_width: float
    resolved: bool
    note: str


def compare(
    first: Predictions, second: Predictions, metric: Metric, n_resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Difference:
    """A paired comparison: the same examples, the same subjects, the same resamples for both.

    The interval is `tiles_ecg.evaluation.interval.interval` of the difference as it is. It holds for one comparison; of
    twenty without a difference, one is resolved by chance.

    Args:
        first: Of one method; several seeds are averaged.
        second: Of another, with as many seeds or not.
        metric: Of their kind.
        n_resamples: At least 50.
        seed: Of the draws.
        level: Of confidence, 0 to 1.

    Raises:
        PredictionsError: If they are of different protocols or tasks, have no example in common, or disagree on the
            truth or the subject of one.
        BootstrapError: As `estimate`.
    """
    check(n_resamples, level)
    first, second, n_left_out = _in_common(first, second)
    notes = [f"{n_left_out} examples that one of the two did not predict are left out"] if n_left_out else []
    subjects = subjects_of(first)
    point = value(metric, first) - value(metric, second)
    if math.isnan(point) or len(subjects) < FEWEST_SUBJECTS:
        why = undefined(metric, first) or undefined(metric, second)
        why = why or f"{len(subjects)} subjects are too few for an interval; {FEWEST_SUBJECTS} are needed"
        return Difference(point, math.nan, math.nan, len(subjects), math.nan, False, "; ".join([*notes, why]))
    one, other = (statistic_of(predictions, metric, subjects) for predictions in (first, second))
    found = resample(lambda drawn: one(drawn) - other(drawn), len(subjects), n_resamples, seed)
    again = redrawn(found, n_resamples, first.kind)
    notes += [again] if again else []
    if len(found.values) < n_resamples:
        return Difference(point, math.nan, math.nan, len(subjects), math.nan, False, "; ".join(notes))
    low, high = interval(found.values, point, len(subjects), "difference", level)
    half = (high - low) / 2
    is_resolved = low > 0 or high < 0
    if not half:
        notes.append(f"every resample of {len(subjects)} subjects gives the same difference")
    elif not is_resolved:
        unit = f" {first.unit}" if metric.range == "error" and first.unit else ""
        least = f"{len(subjects)} subjects resolve differences of about {half:.2g}{unit} or more"
        notes.append(f"the interval of the difference includes 0: {least}")
    return Difference(point, low, high, len(subjects), half, is_resolved, "; ".join(notes))


class Cell(NamedTuple):
    """The metric of one fold by one seed; NaN where it is not defined there."""

    fold: int
    seed: int
    value: float


@dataclass(frozen=True)
class Spread:
    """How a metric varies over folds and seeds; NaN for what the runs at hand cannot tell.

    Attributes:
        folds: Variance between folds: other subjects to train and be judged on. With one seed it holds the residual.
        seeds: Variance between seeds: another start of the same run. With one fold it holds the residual.
        residual: Variance that neither explains. With another seed for every fold it is all there is.
        per_fold: The metric of every fold by every seed.
        notes: What could not be parted, and folds without a value.
    """

    folds: float
    seeds: float
    residual: float
    per_fold: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


def spread(predictions: Predictions, metric: Metric) -> Spread:
    """Variance components of a metric between folds, between seeds, and what is left.

    The layout is value = mean + fold + seed + residual, all random. Half the mean squared difference of two values
    estimates folds + residual where they share the seed, seeds + residual where they share the fold, and all three
    where they share neither: three equations by the method of moments. For a complete grid they are those of the
    two-way analysis of variance; they hold for an incomplete one too. A negative solution is 0.

    Args:
        predictions: Of one method.
        metric: Of their kind.

    References:
        Searle, Casella and McCulloch, Variance Components, Wiley 1992, chapters 4 and 5.
    """
    cells = []
    for fold, seed in sorted(set(zip(predictions.fold.tolist(), predictions.seed.tolist(), strict=True))):
        part = _rows(predictions, (predictions.fold == fold) & (predictions.seed == seed))
        cells.append(Cell(fold, seed, value(metric, part)))
    known = [cell for cell in cells if math.isfinite(cell.value)]
    notes = [f"fold {c.fold}, seed {c.seed} has no {metric.title}" for c in cells if not math.isfinite(c.value)]
    squares: dict[tuple[bool, bool], list[float]] = {(True, False): [], (False, True): [], (False, False): []}
    for a, b in combinations(known, 2):
        squares[a.fold == b.fold, a.seed == b.seed].append((a.value - b.value) ** 2 / 2)
    within_seed, within_fold, apart = (
        float(np.mean(squares[key])) if squares[key] else math.nan
        for key in ((False, True), (True, False), (False, False))
    )
    folds, seeds, residual = _components(within_seed, within_fold, apart)
    if known and not math.isfinite(folds + seeds + residual):
        notes.append("folds, seeds and the residual cannot all be parted: that takes two seeds of the same two folds")
    return Spread(folds, seeds, residual, tuple(cells), tuple(notes))


def _components(within_seed: float, within_fold: float, apart: float) -> tuple[float, float, float]:
    """Folds, seeds, residual, from the variances of values that share a seed, share a fold, share neither."""
    if math.isfinite(within_seed) and math.isfinite(within_fold):
        solution = (apart - within_fold, apart - within_seed, within_seed + within_fold - apart)
    elif math.isfinite(within_seed):
        solution = (within_seed, apart - within_seed, math.nan)
    elif math.isfinite(within_fold):
        solution = (apart - within_fold, within_fold, math.nan)
    else:
        solution = (math.nan, math.nan, apart)
    folds, seeds, residual = (max(x, 0.0) if math.isfinite(x) else math.nan for x in solution)
    return folds, seeds, residual


def _in_common(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions, int]:
    """The rows of either whose example all seeds of both predicted, and how many examples are left out."""
    for name in ("task", "protocol", "kind", "classes"):
        a, b = getattr(first, name), getattr(second, name)
        if a != b:
            raise PredictionsError(
                f"{first.method.title} and {second.method.title} cannot be compared: {name} {a} and {name} {b}; "
                "evaluate both with the same task, stores and protocol"
            )
    keys = [_keys(first), _keys(second)]
    by_seed = [
        {key for key, s in zip(of, p.seed.tolist(), strict=True) if s == seed}
        for of, p in zip(keys, (first, second), strict=True)
        for seed in np.unique(p.seed).tolist()
    ]
    common = set.intersection(*by_seed) if by_seed else set()
    if not common:
        raise PredictionsError(
            f"{first.method.title} and {second.method.title} have predicted no example of {first.task} in common; "
            "evaluate both on the same folds"
        )
    kept = [
        _rows(p, np.fromiter((key in common for key in of), bool, len(of)))
        for of, p in zip(keys, (first, second), strict=True)
    ]
    _check_truth(*kept)
    return kept[0], kept[1], len(set.union(*by_seed)) - len(common)


def _check_truth(first: Predictions, second: Predictions) -> None:
    """That both were told the same of every example."""
    known = dict(zip(_keys(first), zip(first.value.tolist(), first.subject.tolist(), strict=True), strict=True))
    for key, truth, subject in zip(_keys(second), second.value.tolist(), second.subject.tolist(), strict=True):
        if known[key] != (truth, subject):
            raise PredictionsError(
                f"{first.method.title} and {second.method.title} disagree on example {key[0]} of {first.task}: "
                f"{known[key][0]} of {known[key][1]}, and {truth} of {subject}; one of them is of other data"
            )


def _keys(predictions: Predictions) -> list[tuple[str, str]]:
    other = predictions.other_id if len(predictions.other_id) else predictions.example_id
    return list(zip(predictions.example_id.tolist(), other.tolist(), strict=True))


def _rows(predictions: Predictions, keep: NDArray[np.bool_]) -> Predictions:
    arrays: dict[str, NDArray[Any]] = {
        f.name: array[keep]
        for f in fields(predictions)
        if isinstance(array := getattr(predictions, f.name), np.ndarray) and len(array)
    }
    return replace(predictions, **arrays)  # type: ignore[arg-type]
