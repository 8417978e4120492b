"""Standing: the statistics of a section: each method by each metric, each encoder against all others, few labels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tiles_ecg.evaluation.bootstrap import FEWEST_RESAMPLES, Estimate, estimate
from tiles_ecg.evaluation.comparison import Difference, Spread, compare, spread
from tiles_ecg.evaluation.metric import Metric, metric, metrics_of
from tiles_ecg.evaluation.predictions import Method, Predictions, joined
from tiles_ecg.summary.memo import remembering
from tiles_ecg.summary.section import Entry, Section

SECONDARY = 4
"""Metrics that do not decide, and few labels, are given so many times fewer resamples."""


@dataclass(frozen=True)
class Row:
    """A method: what it reached.

    Attributes:
        entry: Its predictions.
        estimates: By the name of the metric; the one that decides comes first.
        spread: Of that one over folds and seeds.
        remarks: What has to be known of the numbers: why there is none, classes left out, resamples drawn again.
    """

    entry: Entry
    estimates: dict[str, Estimate]
    spread: Spread
    remarks: tuple[str, ...]

    @property
    def primary(self) -> Estimate:
        """Of the metric that decides."""
        return next(iter(self.estimates.values()))


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same subjects: `difference` is the metric of the first less that of the second."""

    first: Method
    second: Method
    difference: Difference
    higher_is_better: bool

    @property
    def outcome(self) -> str:
        """What the first is, next to the second: `better`, `worse` or `not distinguishable`."""
        if not self.difference.resolved:
            return "not distinguishable"
        return "better" if (self.difference.value > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Point:
    """A method that was trained with the labels of so many subjects a fold, over all draws of them.

    Attributes:
        method: Who predicted, without the number and the draw.
        n_subjects: Training subjects with labels.
        n_draws: Draws that were averaged.
        n_seeds: Seeds of each draw that were averaged.
        n_examples: Judged on.
        estimate: Of the metric that decides.
        is_full: Whether these are all training subjects.
    """

    method: Method
    n_subjects: int
    n_draws: int
    n_seeds: int
    n_examples: int
    estimate: Estimate
    is_full: bool = False


@dataclass(frozen=True)
class Standing:
    """All statistics of a section.

    Attributes:
        section: What they are of.
        metrics: The one that decides first.
        rows: Methods with the labels of all training subjects, encoders first.
        comparisons: Each encoder against every control and every other encoder.
        points: Few labels, by method and number of subjects.
        winner: The best complete method, if its difference to the next one is resolved.
        notes: Such as draws that were left out.
    """

    section: Section
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    points: tuple[Point, ...]
    winner: Method | None
    notes: tuple[str, ...]

    @property
    def metric(self) -> Metric:
        """That decides."""
        return self.metrics[0]

    def against(self, first: Method, second: Method) -> Comparison | None:
        """Their comparison, if it was made."""
        return next((c for c in self.comparisons if (c.first, c.second) == (first, second)), None)


def standing(section: Section, n_resamples: int) -> Standing:
    """The statistics of a section.

    Args:
        section: Predictions of one protocol.
        n_resamples: For the metric that decides; the others have a quarter of it.

    Raises:
        TaskError: If the metric that decides is not known for the kind.
    """
    kind = section.about["kind"]
    primary, fewer = remembering(metric(kind, section.about["metric"])), fewer_resamples(n_resamples)
    metrics = (primary, *(other for other in metrics_of(kind) if other.name != primary.name))
    rows = tuple(_row(entry, metrics, n_resamples, fewer) for entry in section.full)
    comparisons = tuple(_comparisons(section.full, primary, n_resamples))
    points, notes = _points(section, rows, primary, fewer)
    winner = _winner(rows, primary, n_resamples)
    return Standing(section, metrics, rows, comparisons, points, winner, notes)


def fewer_resamples(n_resamples: int) -> int:
    """For metrics that do not decide and for few labels."""
    return max(FEWEST_RESAMPLES, n_resamples // SECONDARY)


def _row(entry: Entry, metrics: tuple[Metric, ...], n_resamples: int, fewer: int) -> Row:
    estimates = {
        each.name: estimate(entry.predictions, each, n_resamples if number == 0 else fewer)
        for number, each in enumerate(metrics)
    }
    concerned: dict[str, list[str]] = {}
    for each in metrics:
        for note in estimates[each.name].notes:
            concerned.setdefault(note, []).append(each.title)
    remarks = tuple(f"{', '.join(titles)}: {note}" for note, titles in concerned.items())
    return Row(entry, estimates, spread(entry.predictions, metrics[0]), remarks)


def _comparisons(entries: list[Entry], primary: Metric, n_resamples: int) -> Iterator[Comparison]:
    """Controls first, then other encoders, each pair once; methods that lack folds are not compared."""
    complete = [entry for entry in entries if entry.is_complete]
    encoders = [entry for entry in complete if entry.method.role == "encoder"]
    for number, first in enumerate(encoders):
        controls = [entry for entry in complete if entry.method.role != "encoder"]
        for second in [*controls, *encoders[number + 1 :]]:
            yield _compared(first, second, primary, n_resamples)


def _compared(first: Entry, second: Entry, primary: Metric, n_resamples: int) -> Comparison:
    difference = compare(first.predictions, second.predictions, primary, n_resamples=n_resamples)
    return Comparison(first.method, second.method, difference, primary.higher_is_better)


def _winner(rows: tuple[Row, ...], primary: Metric, n_resamples: int) -> Method | None:
    """The best row, if it is distinguishable from the second."""
    sign = 1 if primary.higher_is_better else -1
    ranked = sorted(
        (row for row in rows if row.entry.is_complete and math.isfinite(row.primary.value)),
        key=lambda row: -sign * row.primary.value,
    )
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    is_ahead = _compared(first.entry, second.entry, primary, n_resamples).outcome == "better"
    return first.entry.method if is_ahead else None


def _points(
    section: Section, rows: tuple[Row, ...], primary: Metric, n_resamples: int
) -> tuple[tuple[Point, ...], tuple[str, ...]]:
    """Few labels, and all of them for the same methods."""
    draws: dict[Method, dict[int, list[Entry]]] = {}
    notes = []
    for entry in section.entries:
        if entry.method.n_subjects is None:
            continue
        if entry.is_complete:
            of_method = draws.setdefault(replace(entry.method, n_subjects=None, draw=0), {})
            of_method.setdefault(entry.method.n_subjects, []).append(entry)
        else:
            few = f"{entry.method.n_subjects} training subjects, draw {entry.method.draw}"
            notes.append(f"{entry.method.title}, {few}: {', '.join(entry.notes)}: left out of the label efficiency")
    points = []
    for method, by_number in draws.items():
        for number, entries in sorted(by_number.items()):
            whole = _draws_as_seeds(entries)
            counts = len(entries), entries[0].n_seeds, entries[0].n_examples
            points.append(Point(method, number, *counts, estimate(whole, primary, n_resamples)))
        for row in rows:
            if row.entry.method == method and row.entry.is_complete:
                counts = 1, row.entry.n_seeds, row.entry.n_examples
                points.append(Point(method, section.training_subjects, *counts, row.primary, is_full=True))
    return tuple(points), tuple(notes)


def _draws_as_seeds(entries: list[Entry]) -> Predictions:
    """Draws put together, each as a seed of its own: their metrics are averaged under the same resample of subjects."""
    parts = []
    for number, entry in enumerate(entries):
        method = replace(entry.method, draw=0)
        seeds = entry.predictions.seed * len(entries) + number
        parts.append(replace(entry.predictions, method=method, seed=seeds))
    return joined(parts)
