"""Heart rate and its variability in a window: the features that an encoder must beat."""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows

FEATURES = (
    "heart rate (1/min)",
    "shortest interval (ms)",
    "longest interval (ms)",
    "SDNN (ms)",
    "RMSSD (ms)",
    "pNN50",
    "coefficient of variation",
    "RMSSD / SDNN",
    "interquartile range of intervals (ms)",
    "beats a minute",
    "fewer than three intervals",
)
"""Of the intervals between successive R-peaks; the last is 1 where the others could not be computed."""
TYPICAL = (75.0, 750.0, 850.0, 30.0, 30.0, 0.1, 0.04, 1.0, 40.0, 75.0)
"""Stand in for what could not be computed: constants of a resting adult, not fitted to any data."""
FEWEST_INTERVALS = 3


def heart_rate_features(windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features of windows from their R-peaks.

    Args:
        windows: Of all stores.
        rows: (N,).

    Returns:
        (N, 11), as `FEATURES`; finite.

    References:
        Task Force of the ESC and NASPE, Heart rate variability, Circulation 93, 1996; windows of 10 to 15 s are shorter
        than its standards ask for, so these are descriptions of the window, not clinical measures.
    """
    found = np.empty((len(rows), len(FEATURES)), np.float32)
    which = np.searchsorted(windows.first_row, rows, side="right") - 1
    for at, (row, number) in enumerate(zip(rows.tolist(), which.tolist(), strict=True)):
        store = windows.stores[number]
        local = row - int(windows.first_row[number])
        beat = store.beat_position[store.beat_offset[local] : store.beat_offset[local + 1]]
        found[at] = interval_features(np.diff(beat) * 1000.0 / store.sample_rate, len(beat) * 60.0 / store.window_s)
    return found


def interval_features(interval_ms: NDArray[np.float64], beats_a_minute: float) -> NDArray[np.float64]:
    """`FEATURES` of the successive intervals (ms) of one window."""
    if len(interval_ms) < FEWEST_INTERVALS:
        return np.array([*TYPICAL[:-1], beats_a_minute, 1.0])
    step = np.diff(interval_ms)
    sdnn = float(interval_ms.std(ddof=1))
    rmssd = float(np.sqrt(np.mean(step**2)))
    quarter, three_quarters = np.percentile(interval_ms, [25, 75])
    return np.array(
        [
            60000.0 / float(np.median(interval_ms)),
            interval_ms.min(),
            interval_ms.max(),
            sdnn,
            rmssd,
            float(np.mean(np.abs(step) > 50.0)),
            sdnn / float(interval_ms.mean()),
            rmssd / sdnn if sdnn > 0 else 0.0,
            three_quarters - quarter,
            beats_a_minute,
            0.0,
        ]
    )
