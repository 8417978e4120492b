"""Labels: from a reader's timed annotations to one value a window, and from words to the codes of a store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.recording import Annotations, LabelSpec, LabelValue, RecordingError

INSTANT_S = 1e-6
"""Weight in seconds of a point event beside spans."""
MOST_PAIRS = 4_000_000
"""Pairs of a window and an event that are looked at together: some 200 MB."""


@dataclass(frozen=True)
class Label:
    """A label of a store with its values.

    Attributes:
        spec: Its name, level, kind, classes and unit.
        value: One row for each window, recording or subject, as the level says. Categorical: (N,) int16 class codes, -1
            missing. Multilabel: (N, K) int8 of 0 and 1, -1 missing. Continuous: (N,) float32, NaN missing.
    """

    spec: LabelSpec
    value: NDArray[Any]

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """(N,) whether the value is missing."""
        if self.spec.kind == "continuous":
            return np.isnan(self.value.astype(np.float32))
        return np.asarray((self.value < 0).reshape(len(self.value), -1).any(axis=1), bool)


def missing_values(spec: LabelSpec, n: int) -> NDArray[Any]:
    """`n` missing values of a label, in its storage form (see `Label`)."""
    if spec.kind == "continuous":
        return np.full(n, np.nan, np.float32)
    if spec.kind == "multilabel":
        return np.full((n, len(spec.classes)), -1, np.int8)
    return np.full(n, -1, np.int16)


def encode(spec: LabelSpec, values: Iterable[LabelValue | None]) -> NDArray[Any]:
    """Code values of a recording- or subject-level label; None stays missing.

    Raises:
        RecordingError: If a value is not one of the classes, or not a number.
    """
    listed = list(values)
    coded = missing_values(spec, len(listed))
    for row, value in enumerate(listed):
        if value is None:
            continue
        if spec.kind == "continuous":
            coded[row] = _number(spec, value)
        elif spec.kind == "multilabel":
            coded[row] = 0
            for name in (value,) if isinstance(value, str) else value:  # type: ignore[union-attr]
                coded[row, _code(spec, name)] = 1
        else:
            coded[row] = _code(spec, value)
    return coded


def align(spec: LabelSpec, annotations: Annotations, start_s: NDArray[np.float64], window_s: float) -> NDArray[Any]:
    """One value a window from timed values.

    Categorical: the class that covers most of the window. Multilabel: every class that occurs in it; none is a row of
    zeros, since the recording was annotated. Continuous: the mean, weighted by overlap.

    Args:
        spec: The label, of level `window`.
        annotations: Its timed values.
        start_s: (W,) starts of the windows in seconds from the start of the recording.
        window_s: Length of a window in seconds.

    Returns:
        W values in storage form (see `Label`).
    """
    _check_order(annotations)
    if spec.kind == "continuous":
        value: NDArray[Any] = np.asarray(annotations.value, np.float64)
    else:
        names, which = np.unique(np.asarray(annotations.value, object).astype(str), return_inverse=True)
        value = np.array([_code(spec, name) for name in names.tolist()], np.int64)[which]
    at_once = max(1, MOST_PAIRS // max(1, len(value)))  # windows
    blocks = [
        _align_block(spec, annotations, value, start_s[at : at + at_once], window_s)
        for at in range(0, len(start_s), at_once)
    ]
    return np.concatenate(blocks) if blocks else missing_values(spec, 0)


def _align_block(
    spec: LabelSpec, annotations: Annotations, value: NDArray[Any], start_s: NDArray[np.float64], window_s: float
) -> NDArray[Any]:
    """`align` for some windows; `value` holds numbers, or codes of classes."""
    window, event, overlap = _overlaps(annotations, start_s, window_s)
    if spec.kind == "continuous":
        known = np.isfinite(value[event])
        weight = np.bincount(window[known], overlap[known], len(start_s))
        total = np.bincount(window[known], overlap[known] * value[event][known], len(start_s))
        mean = np.divide(total, weight, out=np.full(len(start_s), np.nan), where=weight > 0)
        return np.asarray(mean, np.float32)
    cover = np.zeros((len(start_s), len(spec.classes)))  # seconds
    np.add.at(cover, (window, value[event]), overlap)
    if spec.kind == "multilabel":
        return (cover > 0).astype(np.int8)
    return np.where(cover.sum(1) > 0, cover.argmax(1), -1).astype(np.int16)


def _check_order(annotations: Annotations) -> None:
    n = len(annotations.time_s)
    if len(annotations.value) != n or len(annotations.duration_s) != n:
        raise RecordingError(
            f"label {annotations.label}: {n} times, {len(annotations.value)} values and {len(annotations.duration_s)} "
            "durations; each event needs one of each"
        )
    if not (np.diff(annotations.time_s) >= 0).all():
        raise RecordingError(f"label {annotations.label}: its times do not ascend; sort the events by time")
    if not (np.asarray(annotations.duration_s) >= 0).all():
        raise RecordingError(f"label {annotations.label}: a duration is negative or not a number; instants have 0")


def _overlaps(
    annotations: Annotations, start_s: NDArray[np.float64], window_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All (window, event) pairs that overlap, and for how many seconds."""
    onset = np.asarray(annotations.time_s, np.float64)
    end = onset + np.asarray(annotations.duration_s, np.float64)
    latest_end = np.maximum.accumulate(end) if len(end) else end
    first = np.searchsorted(latest_end, start_s, side="left")  # events before it have ended
    last = np.searchsorted(onset, start_s + window_s, side="left")  # events from it on have not begun
    count = np.maximum(last - first, 0)
    window = np.repeat(np.arange(len(start_s)), count)
    event = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    stop = start_s[window] + window_s
    overlap = np.minimum(end[event], stop) - np.maximum(onset[event], start_s[window])
    is_instant = end[event] == onset[event]
    overlap = np.where(is_instant & (onset[event] >= start_s[window]), INSTANT_S, overlap)
    kept = overlap > 0
    return window[kept], event[kept], overlap[kept]


def _code(spec: LabelSpec, value: LabelValue) -> int:
    if value not in spec.classes:
        raise RecordingError(f"label {spec.name} = {value!r}; its classes are {', '.join(spec.classes)}")
    return spec.classes.index(value)


def _number(spec: LabelSpec, value: LabelValue) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise RecordingError(f"label {spec.name} = {value!r}; it needs a number ({spec.unit or 'no unit'})") from None


def check_unique(specs: Sequence[LabelSpec]) -> None:
    """Raise `RecordingError` if two labels share a name, or a name cannot be a key of the store."""
    names = [spec.name for spec in specs]
    for name in names:
        if not name or "/" in name or name in (".", ".."):
            raise RecordingError(f"label name {name!r} cannot be stored; use letters, digits and underscores")
        if names.count(name) > 1:
            raise RecordingError(f"label {name} is declared {names.count(name)} times; give each its own name")
