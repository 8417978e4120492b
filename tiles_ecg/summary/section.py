"""Sections: predictions grouped by protocol, folds and seeds of a method put together; two protocols never mix."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.controls import MAJORITY
from tiles_ecg.evaluation.predictions import Method, Predictions, joined
from tiles_ecg.summary.replicates import with_seeds_together
from tiles_ecg.summary.runs import ReportError, Run

MEAN = "mean"
"""How the control that says the same of everyone is called in a regression."""
TOLERANCE = 1e-6
"""By which the same control may differ between two runs of it: the order of sums on another machine."""


@dataclass(frozen=True)
class Entry:
    """All that a method predicted under a protocol.

    Attributes:
        predictions: Of all folds and seeds; where some seeds have every fold, of those seeds only.
        is_complete: Whether every fold is there.
        notes: Such as `folds 0-2 of 5`, and seeds that were left out.
    """

    predictions: Predictions
    is_complete: bool
    notes: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        """Who predicted."""
        return self.predictions.method

    @property
    def n_seeds(self) -> int:
        """Seeds that were averaged."""
        return len(np.unique(self.predictions.seed))

    @property
    def n_folds(self) -> int:
        """Folds that were judged on."""
        return len(np.unique(self.predictions.fold))

    @property
    def n_examples(self) -> int:
        """Examples that were judged on, of one seed."""
        return len(self.predictions) // self.n_seeds


@dataclass(frozen=True)
class Section:
    """A task under one protocol.

    Attributes:
        task: Its name.
        hash: Of the protocol.
        about: What the hash covers.
        runs: That were judged by it.
        entries: A method each: encoders first, then controls.
        notes: What happened while they were put together.
    """

    task: str
    hash: str
    about: dict[str, Any]
    runs: tuple[Run, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Of a regression's value, else empty."""
        return str(self.about.get("unit", ""))

    @property
    def full(self) -> list[Entry]:
        """Methods that had the labels of all training subjects."""
        return [entry for entry in self.entries if entry.method.n_subjects is None]

    @property
    def training_subjects(self) -> int:
        """How many that is, in a fold of mean size."""
        n_folds = int(self.about["folds"])
        return round(int(self.about["subjects"]) * (n_folds - 1) / n_folds)


def sections(runs: Sequence[Run]) -> list[Section]:
    """One for each protocol, by the name of the task.

    Raises:
        ReportError: If two runs predict the same fold with the same method and seed, and not the same.
    """
    by_hash: dict[str, list[Run]] = {}
    for run in runs:
        by_hash.setdefault(run.hash, []).append(run)
    return sorted((_section(group) for group in by_hash.values()), key=lambda section: section.task)


def _section(found: list[Run]) -> Section:
    runs, notes = with_seeds_together(found), _strangers(found)
    parts: dict[Method, list[tuple[Run, Predictions]]] = {}
    for run in runs:
        for predictions in run.predictions:
            named = _named(predictions)
            parts.setdefault(named.method, []).append((run, named))
    entries = sorted((_entry(_without_repeats(part, notes)) for part in parts.values()), key=_rank)
    return Section(runs[0].about["task"], runs[0].hash, runs[0].about, tuple(runs), tuple(entries), tuple(notes))


def _named(predictions: Predictions) -> Predictions:
    """As they are; the mean of a regression, which runs keep as its majority, by its name."""
    method = predictions.method
    if predictions.kind != "regression" or method.role != "control" or method.encoder != MAJORITY:
        return predictions
    return replace(predictions, method=replace(method, encoder=MEAN))


def _rank(entry: Entry) -> tuple[Any, ...]:
    """Encoders first, by name; the linear probe, which settles what the others add to, before other heads."""
    method = entry.method
    is_other = method.head != "linear"
    return method.role != "encoder", method.encoder, is_other, method.head, method.n_subjects or 0, method.draw


def _strangers(runs: list[Run]) -> list[str]:
    """Encoders that have one name and, by their runs, are not the same file at the same step."""
    known: dict[str, tuple[dict[str, Any], Run]] = {}
    notes = []
    for run in runs:
        for name, facts in run.encoders.items():
            before, where = known.setdefault(name, (facts, run))
            if _identity(before) != _identity(facts):
                notes.append(
                    f"{name} is {_source(before)} in {where.path} and {_source(facts)} in {run.path}: if these are "
                    "two encoders, their rows mix both; give each a name of its own"
                )
    return notes


def _without_repeats(found: list[tuple[Run, Predictions]], notes: list[str]) -> list[Predictions]:
    """The parts of one method; a fold that two runs predict alike (a control in both) is kept once."""
    holder: dict[tuple[int, int], tuple[Run, Predictions]] = {}
    repeats: dict[tuple[Path, Path], list[int]] = {}
    kept = []
    for run, part in found:
        repeated = np.zeros(len(part), bool)
        for fold, seed in cells(part):
            here = (part.fold == fold) & (part.seed == seed)
            if (fold, seed) not in holder:
                holder[fold, seed] = run, select(part, here)
                continue
            other_run, other = holder[fold, seed]
            if not _are_alike(other, select(part, here)):
                raise ReportError(
                    f"{part.method.title} predicts fold {fold} of {part.task} with seed {seed} in two runs, not alike: "
                    f"{other_run.path} and {run.path}; report them apart, or give one of the two another name or seed"
                )
            repeated |= here
            repeats.setdefault((other_run.path, run.path), []).append(fold)
        if not repeated.all():
            kept.append(select(part, ~repeated))
    title = found[0][1].method.title
    notes += [
        f"{title}: {again} repeats folds {spans(list(set(folds)))} of {first}, which are used once"
        for (first, again), folds in repeats.items()
    ]
    return kept


def _entry(parts: list[Predictions]) -> Entry:
    """Folds and seeds put together; seeds without every fold stand back behind those that have them."""
    whole = joined(parts)
    folds: dict[int, list[int]] = {}
    for fold, seed in cells(whole):
        folds.setdefault(seed, []).append(fold)
    complete = [seed for seed, found in folds.items() if len(found) >= whole.n_folds]
    if not complete:
        of_seed = "" if len(folds) == 1 else " with seed {}"
        told = [f"{_folds(f, whole)}{of_seed.format(seed)}" for seed, f in folds.items()]
        return Entry(whole, False, tuple(told))
    left_out = [
        f"seed {seed} has {_folds(found, whole)} only, and is left out"
        for seed, found in folds.items()
        if seed not in complete
    ]
    return Entry(select(whole, np.isin(whole.seed, complete)), True, tuple(left_out))


def _folds(numbers: list[int], whole: Predictions) -> str:
    return f"fold{'s' if len(numbers) > 1 else ''} {spans(numbers)} of {whole.n_folds}"


def cells(predictions: Predictions) -> list[tuple[int, int]]:
    """Pairs (fold, seed) that occur, ascending."""
    pairs = np.unique(np.stack([predictions.fold, predictions.seed]), axis=1)
    return [(int(fold), int(seed)) for fold, seed in pairs.T]


def select(predictions: Predictions, chosen: NDArray[np.bool_]) -> Predictions:
    """Those of some examples, (E,)."""
    arrays: dict[str, Any] = {}
    for field in fields(predictions):
        value = getattr(predictions, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value[chosen] if len(value) == len(predictions) else value  # those of length 0 stay
    return replace(predictions, **arrays)


def spans(numbers: Sequence[int]) -> str:
    """`0-2, 4` for 0, 1, 2, 4."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _are_alike(first: Predictions, second: Predictions) -> bool:
    if len(first) != len(second) or first.score.shape != second.score.shape:
        return False
    a, b = _order(first), _order(second)
    return (
        bool(np.array_equal(first.example_id[a], second.example_id[b]))
        and np.allclose(first.score[a], second.score[b], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        and (not len(first.decision) or bool(np.array_equal(first.decision[a], second.decision[b])))
    )


def _order(predictions: Predictions) -> NDArray[np.intp]:
    other = predictions.other_id if len(predictions.other_id) else predictions.example_id
    return np.lexsort((other, predictions.example_id))


def _identity(facts: dict[str, Any]) -> tuple[Any, ...]:
    """By the file's content where it is known."""
    return (facts["digest"],) if facts.get("digest") else (facts.get("path"), facts.get("step"))


def _source(facts: dict[str, Any]) -> str:
    step = facts.get("step")
    return f"{facts.get('path', 'without a file')}" + ("" if step is None else f" at step {step}")
