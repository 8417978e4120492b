"""Labels: from a reader's timed annotations to one value a window, and from words to the codes of a store."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.recording import Annotations, LabelSpec, LabelValue, RecordingError

INSTANT_S = 1e-6
"""Weight in seconds of a point event beside spans."""


@dataclass(frozen=True)
class Label:
    """A label of a store with its values.

    Attributes:
        spec: Its name, level, kind, classes and unit.
        value: One row for each window, recording or subject, as the level says. Categorical: (N,) int16 class codes, -1
            missing. Multilabel: (N, K) int8 of 0 and 1, -1 missing. Continuous: (N,) float32, NaN missing.
    """

    spec: LabelSpec
    value: NDArray[np.generic]

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """(N,) whether the value is missing."""
        if self.spec.kind == "continuous":
            return np.isnan(self.value.astype(np.float32))
        return (self.value < 0).reshape(len(self.value), -1).any(1)  # type: ignore[no-any-return]


def missing_values(spec: LabelSpec, n: int) -> NDArray[np.generic]:
    """`n` missing values of a label, in its storage form (see `Label`)."""
    if spec.kind == "continuous":
        return np.full(n, np.nan, np.float32)
    if spec.kind == "multilabel":
        return np.full((n, len(spec.classes)), -1, np.int8)
    return np.full(n, -1, np.int16)


def encode(spec: LabelSpec, values: Iterable[LabelValue | None]) -> NDArray[np.generic]:
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


def align(
    spec: LabelSpec, annotations: Annotations, start_s: NDArray[np.float64], window_s: float
) -> NDArray[np.generic]:
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
    window, event, overlap = _overlaps(annotations, start_s, window_s)
    if spec.kind == "continuous":
        value = np.asarray(annotations.value, np.float64)[event]
        known = np.isfinite(value)
        weight = np.bincount(window[known], overlap[known], len(start_s))
        total = np.bincount(window[known], overlap[known] * value[known], len(start_s))
        return np.divide(total, weight, out=np.full(len(start_s), np.nan), where=weight > 0).astype(np.float32)
    names, which = np.unique(np.asarray(annotations.value, object).astype(str), return_inverse=True)
    codes = np.array([_code(spec, name) for name in names.tolist()], np.int64)
    cover = np.zeros((len(start_s), len(spec.classes)))
    if len(codes):
        np.add.at(cover, (window, codes[which][event]), overlap)
    if spec.kind == "multilabel":
        return (cover > 0).astype(np.int8)
    return np.where(cover.sum(1) > 0, cover.argmax(1), -1).astype(np.int16)


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
    return spec.classes.index(value)  # type: ignore[arg-type]


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
