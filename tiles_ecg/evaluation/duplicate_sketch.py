"""Sketches of windows for near-duplicates: short vectors whose inner products are nearly the correlations of signals.

A sketch is a fixed random projection, which keeps the inner product r of two unit vectors to about (1 - r^2) /
sqrt(dimensions) (Johnson and Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, Contemp. Math.
26:189-206, 1984): 1,500 points are compared at the cost of 128. Gain, offset and, by the absolute value, polarity do
not matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.windows import Windows

Indices = NDArray[np.int64]
Float32 = NDArray[np.float32]

WINDOW_DIMENSIONS = 128
STRETCH_DIMENSIONS = 64
N_INTERVALS = 4
"""RR intervals whose common length is kept with a stretch."""
BEFORE_S, AFTER_S = 0.2, 4.0
"""Of a stretch, from its R-peak: from before the P wave over four beats."""
SMOOTH_S = 0.05
"""Running mean, taken twice, so that a shift by half a time point does not part two copies."""
DRIFT_S = 0.4
"""Running mean that is taken off, so that another lower edge of the band-pass does not."""
WINDOWS_AT_ONCE = 512
STRETCHES_AT_ONCE = 1024
FLAT = 1e-5
NO_BEAT = -(1 << 40)
"""Outside of any window, however shifted."""


@dataclass(frozen=True)
class Stretches:
    """Stretches that begin at an R-peak, in the order of `span`.

    Attributes:
        window: (n,) int64, position among the rows searched.
        position: (n,) int64, time point of the R-peak.
        span: (n,) int64, time points to the R-peak `N_INTERVALS` later.
        sketch: (n, STRETCH_DIMENSIONS) unit vectors.
    """

    window: Indices
    position: Indices
    span: Indices
    sketch: Float32


@dataclass(frozen=True)
class Beats:
    """R-peaks.

    Attributes:
        position: (n, most) int64, time points, then `NO_BEAT`.
        near: (n, T) bool, one close to an R-peak.
    """

    position: Indices
    near: NDArray[np.bool_]


def sketch_windows(windows: Windows, rows: Indices) -> Float32:
    """Sketches of whole windows, (n, WINDOW_DIMENSIONS); zero for a flat window."""
    projection = _projection(int(np.prod(windows.shape)), WINDOW_DIMENSIONS)
    parts = [
        _unit(standardised(_smooth(windows, windows.gather(rows[at : at + WINDOWS_AT_ONCE]))) @ projection)
        for at in range(0, len(rows), WINDOWS_AT_ONCE)
    ]
    return np.concatenate([np.zeros((0, WINDOW_DIMENSIONS), np.float32), *parts])


def sketch_stretches(windows: Windows, rows: Indices) -> Stretches:
    """Sketches of the 4.2 s around every R-peak that four more follow, as far as they lie within the window."""
    rate, length = windows.sample_rate, windows.shape[1]
    before, after = round(BEFORE_S * rate), round(AFTER_S * rate)
    projection = _projection(windows.shape[0] * (before + after), STRETCH_DIMENSIONS)
    none = np.zeros(0, np.int64)
    parts = [Stretches(none, none, none, np.zeros((0, STRETCH_DIMENSIONS), np.float32))]
    for at in range(0, len(rows), WINDOWS_AT_ONCE):
        batch = windows.gather(rows[at : at + WINDOWS_AT_ONCE])
        window, position = np.nonzero(batch.beat.numpy())
        is_whole = (position >= before) & (position + after <= length)
        is_whole[-N_INTERVALS:] = False
        is_whole[:-N_INTERVALS] &= window[N_INTERVALS:] == window[:-N_INTERVALS]
        chosen = np.flatnonzero(is_whole)
        span = position[np.minimum(chosen + N_INTERVALS, len(position) - 1)] - position[chosen]
        sketch = _sketch_at(
            _smooth(windows, batch), window[chosen], position[chosen] - before, before + after, projection
        )
        parts.append(Stretches(window[chosen] + at, position[chosen], span, sketch))
    names = ("window", "position", "span", "sketch")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(joined["span"], kind="stable")
    return Stretches(**{name: column[order] for name, column in joined.items()})


def _smooth(windows: Windows, batch: EcgBatch) -> Float32:
    """About 1 to 9 Hz: (B, C, T)."""
    signal = batch.signal.numpy()
    width, drift = (max(1, round(length_s * windows.sample_rate)) for length_s in (SMOOTH_S, DRIFT_S))
    smooth = uniform_filter1d(uniform_filter1d(signal, width, axis=-1), width, axis=-1)
    return np.asarray(smooth - uniform_filter1d(smooth, drift, axis=-1), np.float32)


def _sketch_at(signal: Float32, window: Indices, begin: Indices, length: int, projection: Float32) -> Float32:
    parts = [np.zeros((0, projection.shape[1]), np.float32)]
    for at in range(0, len(window), STRETCHES_AT_ONCE):
        points = begin[at : at + STRETCHES_AT_ONCE, None] + np.arange(length)
        stretch = signal[window[at : at + STRETCHES_AT_ONCE, None], :, points].transpose(
            0, 2, 1
        )  # (n, length, C) -> (n, C, length)
        parts.append(_unit(standardised(stretch) @ projection))
    return np.concatenate(parts)


def standardised(signal: Float32) -> Float32:
    """Leads without mean, of equal norm, side by side: (n, C, T) -> unit vectors (n, C * T); flat leads are zero."""
    mean = signal.mean(axis=-1, keepdims=True)
    centred = signal - mean
    scale = np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True))
    is_flat = scale <= FLAT * (np.abs(mean) + FLAT)
    return _unit((centred / np.where(is_flat, np.inf, scale)).reshape(len(signal), -1))


def _unit(vectors: Float32) -> Float32:
    norm = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return np.asarray(vectors / np.where(norm > 0, norm, 1), np.float32)


def _projection(n: int, dimensions: int) -> Float32:
    drawn = np.random.default_rng(0).standard_normal((n, dimensions), np.float32)
    return drawn / np.float32(np.sqrt(dimensions))


def beats_of(windows: Windows, rows: Indices, tolerance: int) -> Beats:
    """R-peaks of windows, and what lies up to `tolerance` time points from one."""
    parts = [
        windows.gather(rows[at : at + WINDOWS_AT_ONCE]).beat.numpy() for at in range(0, len(rows), WINDOWS_AT_ONCE)
    ]
    beat = np.concatenate([np.zeros((0, windows.shape[1]), bool), *parts])
    row, at = np.nonzero(beat)
    number = np.arange(len(row)) - np.searchsorted(row, row)  # within its window
    position = np.full((len(rows), number.max(initial=-1) + 1), NO_BEAT)
    position[row, number] = at
    return Beats(position, maximum_filter1d(beat, 2 * tolerance + 1, axis=1, mode="constant"))
