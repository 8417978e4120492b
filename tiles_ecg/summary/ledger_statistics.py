"""Statistics of a ledger: means over replicates with Student's t intervals, and differences by pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from tiles_ecg.summary.ledger_sheet import Cell

LEVEL = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over replicates.

    Attributes:
        value: NaN where there is none.
        low: Of the 95 % interval; NaN where there is none.
        high: The same.
        n: Replicates of the outermost kind that it is taken over.
        note: What has to be known of it; empty where nothing.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    note: str = ""

    @property
    def is_resolved(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Units:
    """Values of a row by the outermost replicate: `values[seed][cell]`; `is_complete` where each has all its cells."""

    values: Mapping[str, Mapping[Cell, float]]
    is_complete: bool
    note: str = ""


def mean_with_interval(values: Sequence[float], note: str = "") -> Mean:
    """The mean and its interval by Student's t with n - 1 degrees of freedom; of one value, no interval."""
    n = len(values)
    if not n:
        return Mean(note=note)
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, n=1, note=note)
    error = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1) / n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return Mean(mean, mean - half, mean + half, n, note)


def units(cells: Mapping[Cell, float | None], level: int | None, name: str = "replicate") -> Units:
    """Group the values of a row by the outermost replicate.

    Where some have all their cells (a seed all its folds), the others stand back: means over different folds are not to
    be put together. Where none has, all is kept, as incomplete.

    Args:
        cells: A value for each replicate; None where there is none (yet).
        level: Position of the outermost replicate within a cell; None if there is one cell only.
        name: Of that replicate, for the note.
    """
    grouped: dict[str, dict[Cell, float | None]] = {}
    for cell, value in cells.items():
        at, rest = ("", cell) if level is None else (cell[level], (*cell[:level], *cell[level + 1 :]))
        grouped.setdefault(at, {})[rest] = value
    wanted = {rest for of_unit in grouped.values() for rest in of_unit}
    known = {at: {rest: x for rest, x in of_unit.items() if x is not None} for at, of_unit in grouped.items()}
    complete = {at: of_unit for at, of_unit in known.items() if of_unit.keys() == wanted}
    partial = [at for at, of_unit in known.items() if of_unit and at not in complete]
    if not complete:
        note = f"no {name} is complete yet" if partial else ""
        return Units({at: of_unit for at, of_unit in known.items() if of_unit}, not partial, note)
    note = f"{name} {', '.join(partial)} incomplete, left out" if partial else ""
    return Units(complete, True, note)


def mean(found: Units) -> Mean:
    """The mean over the outermost replicates of the means within each; no interval where they are not complete."""
    each = [math.fsum(of_unit.values()) / len(of_unit) for of_unit in found.values.values()]
    whole = mean_with_interval(each, found.note)
    return whole if found.is_complete else Mean(whole.value, n=whole.n, note=found.note)


def paired_difference(first: Units, second: Units) -> Mean:
    """First less second, by pairs: the same seeds, and within each the same folds.

    The interval is that of the paired t test over the outermost replicates that both have.
    """
    each, is_whole = [], first.is_complete and second.is_complete
    for at in first.values.keys() & second.values.keys():
        ours, theirs = first.values[at], second.values[at]
        shared = ours.keys() & theirs.keys()
        is_whole = is_whole and len(shared) == len(ours) == len(theirs)
        if shared:
            each.append(math.fsum(ours[cell] - theirs[cell] for cell in shared) / len(shared))
    note = "" if is_whole else "of what both have"
    whole = mean_with_interval(sorted(each), note)
    return whole if first.is_complete and second.is_complete else Mean(whole.value, n=whole.n, note=note)
