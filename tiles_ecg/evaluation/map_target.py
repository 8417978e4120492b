"""What an embedding map is coloured by, as a target: a label, the heart rate, a task's value, or subjects."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.kind import Kind
from tiles_ecg.task.target import Target, assemble, person_of_subject

HEART_RATE = "heart_rate"


def map_target(windows: Windows, rows: NDArray[np.int64], label: str | None) -> Target:
    """Windows with the value of a label, those without one left out.

    Args:
        windows: Of all stores.
        rows: To be shown.
        label: Of the store, or `heart_rate`, which every store knows from its beats; None for subjects alone.

    Raises:
        StoreError: If no store has the label.
    """
    rows = np.sort(rows)
    kind: Kind
    if label is None:
        person = person_of_subject(windows)[windows.subject[rows]]
        return _assembled(windows, rows, person, "subject", "verification", tuple(np.unique(windows.subject_id)), "")
    if label == HEART_RATE and not windows.has_label(label):
        rate = windows.heart_rate(rows).astype(np.float64)
        known = np.isfinite(rate)
        return _assembled(windows, rows[known], rate[known], "heart rate", "regression", (), "beats a minute")
    found = windows.label(label)
    known = ~found.is_missing[rows]
    value, spec = found.value[rows][known], found.spec
    if spec.kind == "continuous":
        return _assembled(windows, rows[known], value.astype(np.float64), label, "regression", (), spec.unit)
    kind = "multilabel" if spec.kind == "multilabel" else "multiclass"
    return _assembled(windows, rows[known], value.astype(np.int64), label, kind, spec.classes, "")


def part_of(target: Target, rows: NDArray[np.int64]) -> Target:
    """The windows of a task's target that are among some rows."""
    kept = np.isin(target.row, rows)
    return replace(target, row=target.row[kept], example=target.example[kept])


def _assembled(
    windows: Windows, rows: NDArray[np.int64], value: NDArray[Any], name: str, kind: Kind, classes: tuple[str, ...],
    unit: str,
) -> Target:  # fmt: skip
    ids = [str(row) for row in rows.tolist()]
    return assemble(
        windows, rows, np.arange(len(rows)), value, ids, name=name, kind=kind, level="window", classes=classes,
        unit=unit, metric="",
    )  # fmt: skip
