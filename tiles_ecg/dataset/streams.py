"""Streams: what else is known of each window, beside its ECG, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.config import ConfigError
from tiles_ecg.config_signature import did_you_mean
from tiles_ecg.dataset.windows import Windows

HEART_RATE = "heart_rate"
"""Known of every store, from its beats."""


@dataclass(frozen=True)
class Streams:
    """Numbers of N windows.

    Attributes:
        names: Of the streams.
        columns: How many numbers each has: one, or one for each class.
        value: (N, sum of columns) float32; NaN, in all columns of a stream, where it is missing.
    """

    names: tuple[str, ...]
    columns: tuple[int, ...]
    value: NDArray[np.float32]


def stream_values(windows: Windows, names: Sequence[str]) -> Streams:
    """Streams of all windows, one after the other.

    A continuous label is one number; classes become ones and zeros, a column each. `heart_rate` is the label of that
    name where a store has one, else it comes from the beats (1/min).

    Args:
        windows: Of all stores.
        names: Labels of the stores, or `heart_rate`.

    Raises:
        ConfigError: If a name is none of these, or stands there twice.
    """
    known = sorted({HEART_RATE, *windows.label_names})
    problems = [
        f"objective.streams = {name}: no store has this label{did_you_mean(name, known)}; there are {', '.join(known)}"
        for name in names
        if name not in known
    ]
    problems += [
        f"objective.streams = {name}: given twice; give it once" for name in set(names) if list(names).count(name) > 1
    ]
    if problems:
        raise ConfigError(problems)
    parts = [_stream(windows, name) for name in names]
    empty = np.zeros((len(windows), 0), np.float32)
    return Streams(tuple(names), tuple(part.shape[1] for part in parts), np.concatenate([empty, *parts], axis=1))


def _stream(windows: Windows, name: str) -> NDArray[np.float32]:
    """(N, columns) of one stream."""
    if name == HEART_RATE and not windows.has_label(name):
        return windows.heart_rate(np.arange(len(windows)))[:, None]
    label = windows.label(name)
    if label.spec.kind == "continuous":
        value = label.value.astype(np.float32)[:, None]
        return np.where(np.isfinite(value), value, np.float32(np.nan))
    value = label.value.astype(np.float32)
    if label.spec.kind == "categorical":
        value = (label.value[:, None] == np.arange(len(label.spec.classes))).astype(np.float32)
    value[label.is_missing] = np.nan
    return value
