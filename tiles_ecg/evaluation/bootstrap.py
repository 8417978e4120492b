"""Metrics with intervals, by a bootstrap over whole subjects."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.interval import interval
from tiles_ecg.evaluation.metric import Metric, left_out, undefined, value
from tiles_ecg.evaluation.predictions import Predictions
from tiles_ecg.evaluation.resampling import redrawn, resample, statistic_of, subjects_of

FEWEST_SUBJECTS = 3
FEWEST_RESAMPLES = 50


class BootstrapError(ValueError):
    """An interval was asked for in a way that gives none. The message says what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval.

    Attributes:
        value: Over all predictions; NaN where the metric is not defined.
        low: Of the interval, which holds `value`; NaN where there is none.
        high: As `low`.
        n_subjects: Groups of subjects that were drawn from.
        n_resamples: That the interval is made of.
        n_redrawn: That were drawn again, because a class was absent.
        notes: Why there is no value or no interval; classes left out; resamples drawn again.
    """

    value: float
    low: float
    high: float
    n_subjects: int
    n_resamples: int
    n_redrawn: int
    notes: tuple[str, ...]


def estimate(
    predictions: Predictions, metric: Metric, n_resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Estimate:
    """A metric, and its interval by a bootstrap over whole subjects.

    Subjects are drawn with replacement, over all folds together; an example counts as often as its subject was drawn, a
    pair of two subjects as often as the product. Several seeds are judged on the same resample, and averaged. A
    resample without one of the classes is drawn again. The interval speaks of other subjects under the same trained
    models: it does not hold what training on other subjects would change. How it is made: see `interval`.

    Args:
        predictions: Of one method, of any folds and seeds.
        metric: Of their kind.
        n_resamples: At least 50.
        seed: Of the draws; equal subjects and seeds give equal resamples, whatever the method.
        level: Of confidence, 0 to 1.

    Raises:
        BootstrapError: If there are too few resamples, or the level is not between 0 and 1.
    """
    check(n_resamples, level)
    subjects = subjects_of(predictions)
    point = value(metric, predictions)
    notes = [note for note in (undefined(metric, predictions), left_out(metric, predictions)) if note]
    notes += _uneven_seeds(predictions)
    if math.isnan(point) or len(subjects) < FEWEST_SUBJECTS:
        if not math.isnan(point):
            notes.append(f"{len(subjects)} subjects are too few for an interval; {FEWEST_SUBJECTS} are needed")
        return Estimate(point, math.nan, math.nan, len(subjects), 0, 0, tuple(notes))
    found = resample(statistic_of(predictions, metric, subjects), len(subjects), n_resamples, seed)
    again = redrawn(found, n_resamples, predictions.kind)
    notes += [again] if again else []
    low = high = math.nan
    if len(found.values) == n_resamples:
        low, high = interval(found.values, point, len(subjects), metric.range, level)
        if math.isnan(low):
            notes.append(
                f"no interval: every resample of {len(subjects)} subjects gives {point:g}, the end of the range"
            )
    return Estimate(point, low, high, len(subjects), len(found.values), found.n_redrawn, tuple(notes))


def check(n_resamples: int, level: float) -> None:
    """Refuse what gives no interval."""
    if n_resamples < FEWEST_RESAMPLES:
        raise BootstrapError(f"n_resamples = {n_resamples}: an interval needs at least {FEWEST_RESAMPLES} resamples")
    if not 0 < level < 1:
        raise BootstrapError(f"level = {level}: a confidence level lies between 0 and 1, such as 0.95")


def _uneven_seeds(predictions: Predictions) -> list[str]:
    seeds = np.unique(predictions.seed)
    sets = {frozenset(zip(p.tolist(), o.tolist(), strict=True)) for p, o in _keys_by_seed(predictions, seeds)}
    return ["the seeds did not predict the same examples; each is judged on its own"] if len(sets) > 1 else []


def _keys_by_seed(
    predictions: Predictions, seeds: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.str_], NDArray[np.str_]]]:
    other = predictions.other_id if len(predictions.other_id) else predictions.example_id
    for seed in seeds:
        rows = predictions.seed == seed
        yield predictions.example_id[rows], other[rows]
