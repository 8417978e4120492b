"""Labelled windows: those among some windows that have a value of a label, and what must be said of the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.config_signature import did_you_mean
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelKind, LabelSpec
from tiles_ecg.task.example import counted
from tiles_ecg.task.target import TaskError

FITTING_TASK: dict[LabelKind, str] = {
    "categorical": "one class each: tiles_ecg.task.classification.Classification",
    "multilabel": "several classes each: tiles_ecg.task.multilabel.MultiLabel, or "
    "tiles_ecg.task.classification.Contains for some of them",
    "continuous": "numbers: tiles_ecg.task.regression.Regression",
}


@dataclass(frozen=True)
class Labelled:
    """Windows with a value.

    Attributes:
        spec: Of the label.
        rows: (N,) int64, ascending.
        value: (N,) or (N, K), in the storage form of `tiles_ecg.label.Label`, none missing.
        notes: How many are left out.
    """

    spec: LabelSpec
    rows: NDArray[np.int64]
    value: NDArray[Any]
    notes: tuple[str, ...]


def labelled(
    windows: Windows, rows: NDArray[np.int64], task: str, label: str, kinds: tuple[LabelKind, ...]
) -> Labelled:
    """The windows among `rows` (M,) that have a value.

    Args:
        windows: Of all stores.
        rows: Those that may be used.
        task: Its name, for errors.
        label: Name of the label.
        kinds: Kinds of label that the task can use.

    Raises:
        TaskError: If no store has the label, it is of another kind, or no window has a value.
    """
    check_label(windows, rows, task, label)
    found = windows.label(label)
    if found.spec.kind not in kinds:
        raise TaskError(
            f"{task}: label {label} is {found.spec.kind}, and this task needs {' or '.join(kinds)}; it has "
            f"{FITTING_TASK[found.spec.kind]}"
        )
    has_value = ~found.is_missing[rows]
    if not has_value.any():
        raise TaskError(
            f"{task}: none of {counted(len(rows), 'window')} has a value of {label}{_lacking(windows, found.spec)}; "
            "give a store in which it is known"
        )
    notes = []
    if not has_value.all():
        n = int((~has_value).sum())
        notes.append(
            f"{n:,} of {counted(len(rows), 'window')} have no {label} and are left out{_lacking(windows, found.spec)}"
        )
    return Labelled(found.spec, rows[has_value], found.value[rows][has_value], tuple(notes))


def check_label(windows: Windows, rows: NDArray[np.int64], task: str, label: str) -> None:
    """Raise `TaskError` if no store has the label, or there is no window at all."""
    if not windows.has_label(label):
        names = windows.label_names
        raise TaskError(
            f"{task}: no store has a label {label!r}{did_you_mean(label, names)}; the labels are "
            f"{', '.join(names) or 'none'} (in {', '.join(store.path.name for store in windows.stores)})"
        )
    check_rows(rows, task)


def check_rows(rows: NDArray[np.int64], task: str) -> None:
    """Raise `TaskError` if there is no window at all."""
    if not len(rows):
        raise TaskError(f"{task}: no window is left; accept windows of lower quality, or give another store")


def check_classes(windows: Windows, spec: LabelSpec, task: str, names: Iterable[str]) -> None:
    """Raise `TaskError` if a name is not a class of the label."""
    for name in names:
        if name not in spec.classes:
            raise TaskError(
                f"{task}: {spec.name} has no class {name!r}{did_you_mean(name, spec.classes)}; its classes are "
                f"{', '.join(spec.classes)}{_lacking(windows, spec)}"
            )


def has_same_meaning(spec: LabelSpec, other: LabelSpec | None) -> bool:
    """Whether another store means the same by the name."""
    if other is None:
        return False
    return (spec.kind, spec.classes, spec.unit) == (other.kind, other.classes, other.unit)


def _lacking(windows: Windows, spec: LabelSpec) -> str:
    """` (b.h5 has no such label)` for the stores that lack the label or mean something else by it."""
    parts = []
    for store in windows.stores:
        other = store.labels.get(spec.name)
        if other is None:
            parts.append(f"{store.path.name} has no such label")
        elif not has_same_meaning(spec, other):
            meaning = ", ".join(other.classes) or f"{other.kind}, {other.unit or 'no unit'}"
            parts.append(f"{store.path.name} means something else by it: {meaning}")
    return f" ({'; '.join(parts)})" if parts else ""
