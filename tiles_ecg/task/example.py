"""Examples: windows put together by recording or subject, with names that stay, made into a target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelLevel
from tiles_ecg.task.target import Kind, Level, Target, TaskError, assemble, examples_of

NAMED_AT_MOST = 5
"""Ids that a note or an error lists."""


@dataclass(frozen=True)
class Grouping:
    """Which windows make which example.

    Attributes:
        rows: (N,) int64, ascending, as rows of `Windows`.
        example: (N,) int64, 0 to E - 1.
        example_id: (E,) names that stay the same from run to run.
    """

    rows: NDArray[np.int64]
    example: NDArray[np.int64]
    example_id: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.example_id)


def group(windows: Windows, rows: NDArray[np.int64], level: LabelLevel) -> Grouping:
    """Examples of a level among rows (N,), ascending.

    A recording is called `<first 8 digits of the store's digest>:<recording id>`, a window the same with
    `@<start in seconds>`, a subject by its id.
    """
    _, first, example = np.unique(examples_of(windows, rows, level), return_index=True, return_inverse=True)
    return Grouping(rows, example.astype(np.int64), _names(windows, rows[first], level))


def _names(windows: Windows, rows: NDArray[np.int64], level: LabelLevel) -> tuple[str, ...]:
    """Names of the examples that some rows belong to."""
    if level == "subject":
        return tuple(windows.subject_id[subject] for subject in windows.subject[rows].tolist())
    store = store_of(windows, rows)
    prefix = [store.digest[:8] for store in windows.stores]
    recording = recording_column(windows, "id")[windows.recording[rows]].tolist()
    names = [f"{prefix[number]}:{name}" for number, name in zip(store.tolist(), recording, strict=True)]
    if level == "recording":
        return tuple(names)
    start_s = np.concatenate([store.read("window/start_s") for store in windows.stores])[rows]
    return tuple(f"{name}@{start:.10g}" for name, start in zip(names, start_s.tolist(), strict=True))


def store_of(windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) number of the store that each row lies in."""
    return np.asarray(np.searchsorted(windows.first_row, rows, side="right") - 1, np.int64)


def recording_column(windows: Windows, name: str) -> NDArray[Any]:
    """A column of the stores' `recording/` tables, indexed as `Windows.recording`."""
    parts = [store.read(f"recording/{name}")[: int(store.recording.max(initial=-1)) + 1] for store in windows.stores]
    return np.concatenate(parts)


def target_of(
    windows: Windows,
    grouping: Grouping,
    value: NDArray[Any],
    *,
    name: str,
    kind: Kind,
    level: Level,
    classes: tuple[str, ...] = (),
    unit: str = "",
    metric: str,
    notes: Sequence[str] = (),
) -> Target:
    """A target from examples and their values (E,) or (E, K), with what must be said of the recordings; see `Target`.

    Raises:
        TaskError: If one store is given twice: its windows would be examples twice.
    """
    paths: dict[str, str] = {}
    for store in windows.stores:
        if store.digest in paths:
            raise TaskError(f"{name}: {paths[store.digest]} and {store.path} are the same store; give it once")
        paths[store.digest] = str(store.path)
    return assemble(
        windows, grouping.rows, grouping.example, value, grouping.example_id, name=name, kind=kind, level=level,
        classes=classes, unit=unit, metric=metric, notes=[*notes, *_recording_notes(windows, grouping.rows)],
    )  # fmt: skip


def _recording_notes(windows: Windows, rows: NDArray[np.int64]) -> list[str]:
    notes = []
    used = np.unique(windows.recording[rows])
    n_recordings = sum(len(store.read("recording/id")) for store in windows.stores)
    if len(used) < n_recordings:
        notes.append(
            f"{n_recordings - len(used):,} of {counted(n_recordings, 'recording')} have no window that is used; "
            "they take no part"
        )
    n_unknown = int((~recording_column(windows, "has_subject_id")[used].astype(bool)).sum())
    if n_unknown:
        notes.append(
            f"{n_unknown:,} of {counted(len(used), 'recording')} have no subject id: each counts as its own subject, "
            "so one person may stand on both sides of a split"
        )
    ids, n_subjects = np.unique([windows.subject_id[i] for i in np.unique(windows.subject[rows])], return_counts=True)
    shared = ids[n_subjects > 1].tolist()
    if shared:
        notes.append(
            f"{counted(len(shared), 'subject id')} stand in several stores and are taken for the same persons: "
            + listed(shared)
        )
    return notes


def counted(n: int, noun: str) -> str:
    """`1 window`, `6,375 windows`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(names: Sequence[str], most: int = NAMED_AT_MOST) -> str:
    """Names with commas, the first few of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
