"""Sides: what the two sides of a split have in common, one line for each split where it is something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.duplicates import Duplicate
from tiles_ecg.protocol import Plan
from tiles_ecg.task.target import Target, person_of_subject

Indices = NDArray[np.int64]
MOST_NAMED = 3


@dataclass(frozen=True)
class Split:
    """Two sides that must have nothing in common.

    Attributes:
        name: Which fold.
        is_first: (N,) windows of the target that are trained on, or chosen by.
        is_second: (N,) those that are judged on.
    """

    name: str
    is_first: NDArray[np.bool_]
    is_second: NDArray[np.bool_]


def splits_of(plan: Plan) -> list[Split]:
    """Every outer fold, where the inner pairs count as training, and each of its inner pairs."""
    splits = []
    for number, fold in enumerate(plan.folds):
        seen = np.concatenate([fold.train, *(side for pair in fold.inner for side in pair)])
        splits.append(_split(f"fold {number}", plan.target, seen, fold.test))
        for inner, (train, validation) in enumerate(fold.inner):
            splits.append(_split(f"fold {number}, inner pair {inner}", plan.target, train, validation))
    return splits


def _split(name: str, target: Target, *sides: Indices) -> Split:
    is_of = np.zeros((2, len(target.value)), bool)
    for mask, examples in zip(is_of, sides, strict=True):
        mask[examples] = True
    return Split(name, *is_of[:, target.example])


def common_subjects(target: Target, windows: Windows, splits: Sequence[Split]) -> list[str]:
    """Where a subject stands on both sides. Who a window is of is read from the stores, not from the target."""
    ids = np.unique(windows.subject_id)
    person = person_of_subject(windows)[windows.subject[target.row]]
    lines = []
    for split in splits:
        common = np.intersect1d(person[split.is_first], person[split.is_second])
        if len(common):
            lines.append(f"{split.name}: {named(ids[common].tolist())} on both sides")
    return lines


def common_time(target: Target, windows: Windows, splits: Sequence[Split]) -> list[str]:
    """Where windows of one recording that overlap in time stand on both sides, whoever they are said to be of."""
    names, recording, start_s = _place(windows, target.row)
    window_s = windows.shape[1] / windows.sample_rate
    tolerance_s = 0.5 / windows.sample_rate
    at = start_s + recording * (np.ptp(start_s) + 2 * window_s)  # recordings lie apart, one after the other
    lines = []
    for split in splits:
        first, second = np.sort(at[split.is_first]), at[split.is_second]
        if not len(first):
            continue
        after = np.searchsorted(first, second)
        neighbours = first[np.clip([after - 1, after], 0, len(first) - 1)]
        is_common = np.abs(neighbours - second).min(axis=0) < window_s - tolerance_s
        if is_common.any():
            found = names[np.unique(recording[split.is_second][is_common])].tolist()
            lines.append(
                f"{split.name}: {is_common.sum():,} windows overlap windows of the other side, in {named(found)}"
            )
    return lines


def _place(windows: Windows, rows: Indices) -> tuple[NDArray[Any], Indices, NDArray[np.float64]]:
    """Names of recordings, the number of each row's, and its start in seconds; a store given twice is one store."""
    keys: list[tuple[str, str]] = []
    starts = [np.zeros(0)]
    for number, store in enumerate(windows.stores):
        local = rows_of_store(windows, rows, number)
        ids = store.read("recording/id")[store.recording[local]].tolist()
        keys += [(name, store.digest) for name in ids]
        starts.append(store.read("window/start_s")[local])
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    names = np.array([name for name, _ in number_of], object)
    return names, np.array([number_of[key] for key in keys], np.int64), np.concatenate(starts)


def rows_of_store(windows: Windows, rows: Indices, number: int) -> Indices:
    """Rows within one of the stores, of those (ascending) that are its."""
    first, end = int(windows.first_row[number]), int(windows.first_row[number + 1])
    return rows[(rows >= first) & (rows < end)] - first


def parted_duplicates(
    target: Target, windows: Windows, splits: Sequence[Split], found: Sequence[Duplicate]
) -> list[str]:
    """Where near-duplicate windows stand on both sides."""
    position = np.full(len(windows), -1, np.int64)
    position[target.row] = np.arange(len(target.row))
    pairs = position[np.array([(pair.first, pair.second) for pair in found], np.int64).reshape(-1, 2)]
    used = np.flatnonzero((pairs >= 0).all(axis=1))
    a, b = pairs[used].T
    lines = []
    for split in splits:
        is_parted = (split.is_first[a] & split.is_second[b]) | (split.is_first[b] & split.is_second[a])
        if is_parted.any():
            names = dict.fromkeys(_pair_name(windows, found[k]) for k in used[is_parted].tolist())
            lines.append(f"{split.name}: {is_parted.sum():,} pairs of windows, of {named(list(names))}")
    return lines


def compared_duplicates(target: Target, windows: Windows, found: Sequence[Duplicate]) -> list[str]:
    """Where a verification compares near-duplicate windows: to know them again is to know nobody."""
    if target.kind != "verification":
        return []
    is_used = np.zeros(len(windows), bool)
    is_used[target.row] = True
    pairs = [pair for pair in found if is_used[pair.first] and is_used[pair.second]]
    names = dict.fromkeys(_pair_name(windows, pair) for pair in pairs)
    return [f"{len(pairs):,} pairs of windows that are compared, of {named(list(names))}"] if pairs else []


def _pair_name(windows: Windows, duplicate: Duplicate) -> str:
    a, b = (windows.subject_id[windows.subject[row]] for row in (duplicate.first, duplicate.second))
    return f"{a} = {b}"


def named(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
