"""Waveform: pure array functions from raw signal to filtered signal, and what they tell about its quality.

Time is the last axis everywhere; leading axes are free unless a shape is given. Nothing here changes its input.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq
from scipy.signal import butter, get_window, resample_poly, sosfiltfilt

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]

LARGEST_RATIO_TERM = 10_000  # 250 -> 100 Hz needs 5, 360 -> 100 Hz 18, 127.94 -> 100 Hz 6,397
RATIO_TOLERANCE = 1e-7  # relative: 9 ms in a day, a hundredth of what a recorder's clock drifts
RR_S = (0.3, 2.0)  # 200 to 30 beats per minute
BEAT_S = (0.2, 0.3)  # before and after the R-peak: P wave to most of the T wave, no neighbour even in fast rhythms
QRS_HZ = (5.0, 15.0)
QRS_SHARE = 0.05  # a twentieth of the power: 5 % of cinc2017 lies below 0.09
MOVING_S = 2.0  # holds a beat at any plausible rate
MOVING_SHARE = 0.1

POINTS_AT_ONCE = 1 << 20
"""Time points that are taken to float64 at a time."""


def resample(signal: Float32, from_rate: float, to_rate: float) -> Float32:
    """Change the sample rate with a polyphase anti-aliasing filter.

    The line through the first and the last point is taken off before and put back after, so that an offset or a drift
    makes no transients at the ends. Points must be finite (`fill_nonfinite`). Equal rates return the signal itself.

    Args:
        signal: (..., T), T >= 1.
        from_rate: Hz, > 0.
        to_rate: Hz, > 0.

    Returns:
        (..., ceil(T * to_rate / from_rate)).

    Raises:
        ValueError: If a rate is not positive, or their ratio is not a fraction of integers up to 10,000.
    """
    for name, rate in (("from_rate", from_rate), ("to_rate", to_rate)):
        if not 0 < rate < np.inf:
            raise ValueError(f"{name} = {rate} Hz; a sample rate must be positive and finite")
    signal = _as_waveform(signal)
    exact = Fraction(float(to_rate)) / Fraction(float(from_rate))
    ratio = exact.limit_denominator(LARGEST_RATIO_TERM)
    up, down = ratio.as_integer_ratio()
    if not 0 < up <= LARGEST_RATIO_TERM or abs(ratio / exact - 1) > RATIO_TOLERANCE:
        raise ValueError(
            f"cannot resample from {from_rate} Hz to {to_rate} Hz: their ratio is no fraction of integers up to "
            f"{LARGEST_RATIO_TERM}; round one of the rates"
        )
    if up == down:
        return signal
    start, n_steps = signal[..., :1], max(signal.shape[-1] - 1, 1)
    slope = (signal[..., -1:] - start) / np.float32(n_steps)
    level = signal - (start + slope * np.arange(signal.shape[-1], dtype=np.float32))
    resampled: Float32 = resample_poly(level, up, down, axis=-1)
    time = (np.arange(resampled.shape[-1]) * (down / up)).astype(np.float32)
    return resampled + (start + slope * time)


def bandpass(
    signal: Float32, sample_rate: float, low_hz: float = 0.5, high_hz: float = 40.0, order: int = 2
) -> Float32:
    """Zero-phase Butterworth band-pass, forward and backward over the whole stretch.

    The stretch is continued by its mirror image for one period of `low_hz`. Measured against filtering the uncut half
    hour (mitdb 101, 108, 112, 203 and 230 in 15 s stretches; RMS error in the first second, in standard deviations of
    the signal): mirror image 0.12, last value repeated 0.19, odd reflection 0.38 (SciPy's default: it takes the value
    at the edge, be it a QRS complex, for the baseline). Longer padding changes nothing; orders 1 and 2 leave the
    middle of the stretch untouched, orders 3 and 4 ring further into it.

    Args:
        signal: (..., T), finite, longer than one period of `low_hz` (2 s at 0.5 Hz).
        sample_rate: Hz.
        low_hz: Lower -6 dB frequency (-3 dB in each direction), > 0.
        high_hz: Upper -6 dB frequency, below half the sample rate.
        order: Order of the low-pass prototype, per direction.

    Raises:
        ValueError: If the band or the order is impossible, or the stretch too short.
    """
    if not 0 < low_hz < high_hz:
        raise ValueError(f"band-pass of {low_hz} to {high_hz} Hz; it needs 0 < low_hz < high_hz")
    if not high_hz < sample_rate / 2:
        raise ValueError(
            f"high_hz = {high_hz} Hz is not below half the sample rate of {sample_rate} Hz; "
            f"choose one below {sample_rate / 2:g} Hz, or a higher sample rate"
        )
    if order < 1:
        raise ValueError(f"order = {order}; a filter has at least order 1")
    signal = _as_waveform(signal)
    padding = int(np.ceil(sample_rate / low_hz))
    if signal.shape[-1] <= padding:
        raise ValueError(
            f"a stretch of {signal.shape[-1] / sample_rate:g} s is too short for a band-pass from {low_hz} Hz, which "
            f"needs more than {padding / sample_rate:g} s (one period); use longer stretches or a higher low_hz"
        )
    sos = band_sections(order, low_hz, high_hz, sample_rate)
    return np.asarray(sosfiltfilt(sos, signal, axis=-1, padtype="even", padlen=padding), dtype=np.float32)


@lru_cache(maxsize=64)
def band_sections(order: int, low_hz: float, high_hz: float, sample_rate: float) -> NDArray[np.float64]:
    """Second-order sections of a Butterworth band-pass; designed once, since a short recording costs less than that."""
    sections: NDArray[np.float64] = butter(order, (low_hz, high_hz), btype="bandpass", fs=sample_rate, output="sos")
    return sections


def fill_nonfinite(signal: Float32) -> tuple[Float32, NDArray[np.bool_]]:
    """Interpolate linearly over NaN and infinities along time.

    Before the first and after the last finite point the nearest one is repeated; where none is finite, all are 0.

    Args:
        signal: (..., T).

    Returns:
        The filled signal, and where it was filled; both (..., T). The signal itself if all of it is finite.
    """
    signal = _as_waveform(signal)
    bad = ~np.isfinite(signal)
    if not bad.any():
        return signal, bad
    filled = signal.reshape(-1, signal.shape[-1]).copy()
    time = np.arange(signal.shape[-1])
    for row, is_bad in zip(filled, bad.reshape(filled.shape), strict=True):
        if is_bad.all():
            row[:] = 0
        elif is_bad.any():
            row[is_bad] = np.interp(time[is_bad], time[~is_bad], row[~is_bad])
    return filled.reshape(signal.shape), bad


def flat_share(windows: Float32, sample_rate: float, shortest_s: float = 0.2) -> Float32:
    """Share of time in which a raw window stands still for at least `shortest_s`; of the worst lead.

    Still means equal but for the rounding of float32, so that digital steps and physical units give the same.

    Args:
        windows: (N, C, T), raw: a filter would hide what is flat.
        sample_rate: Hz.
        shortest_s: Shorter runs do not count: a coarse converter repeats values between beats.

    Returns:
        (N,), 0 to 1.
    """
    windows = _as_windows(windows)
    needed = max(1, round(shortest_s * sample_rate) - 1)  # n equal points are n - 1 steps
    with np.errstate(invalid="ignore"):
        still = np.abs(np.diff(windows, axis=-1)) <= _rounding(windows)
    still = _long_runs(still, needed)
    flat = np.zeros(windows.shape, dtype=bool)
    flat[..., 1:] = still
    flat[..., :-1] |= still
    return np.asarray(flat.mean(axis=-1).max(axis=-1, initial=0), dtype=np.float32)


def clipped_share(windows: Float32, shortest: int = 4) -> Float32:
    """Share of time in which a raw window sits at its own maximum or minimum; of the worst lead.

    A window that never moves is flat, not clipped.

    Args:
        windows: (N, C, T), raw: a filter would bend the rails.
        shortest: Time points in a row, >= 1; shorter runs are the tops of quantised waves.

    Returns:
        (N,), 0 to 1.
    """
    windows = _as_windows(windows)
    tolerance = _rounding(windows)
    top, bottom = windows.max(axis=-1, keepdims=True), windows.min(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        moves = top - bottom > tolerance
        at_top, at_bottom = windows >= top - tolerance, windows <= bottom + tolerance
    clipped = (_long_runs(at_top, shortest) | _long_runs(at_bottom, shortest)) & moves
    return np.asarray(clipped.mean(axis=-1).max(axis=-1, initial=0), dtype=np.float32)


def quality(windows: Float32, beat_position: Indices, beat_offset: Indices, sample_rate: float) -> Float32:
    """Signal quality index: how much a filtered window looks like one heart beating, as a product of four shares.

    - agreement: correlation of each beat (0.2 s before to 0.3 s after its R-peak) with the sum of the other beats of
      its window, all scaled alike; mean over beats, at least 0. Two whole beats are needed, else it is 0.
    - rhythm: share of the time in which beats follow each other after 0.3 to 2 s (200 to 30 beats per minute).
    - spectrum: power at 5-15 Hz in shares of all power, in units of 0.05, at most 1.
    - movement: share of the stretches of 2 s that span at least a tenth of what the median stretch spans.

    With several leads it is the mean over leads. Leaving the beat itself out keeps few beats from agreeing by
    construction; an irregular rhythm lowers nothing as long as the intervals are plausible. On cinc2017 (3,150
    recordings, mean over 15 s windows, `benchmarks/beats.py --part quality`) it tells the class "too noisy" from the
    rest with an AUROC of 0.962; its median is 0.38 there and 0.90 in normal rhythm and atrial fibrillation alike.

    Args:
        windows: (N, C, T), filtered to 0.5-40 Hz or similar.
        beat_position: R-peaks of all windows in time points from the start of their window, ascending in each.
        beat_offset: (N + 1,): window n holds positions `beat_offset[n]` to `beat_offset[n + 1]`.
        sample_rate: Hz.

    Returns:
        (N,), 0 (unusable) to 1.

    References:
        Orphanidou et al., Signal-Quality Indices for the Electrocardiogram and Photoplethysmogram, IEEE J. Biomed.
        Health Inform. 19(3):832-838, 2015 (agreement with the mean beat, plausible intervals), and Li et al., Robust
        heart rate estimation from multiple asynchronous noisy sources, Physiol. Meas. 29(1):15-32, 2008 (spectrum).
        Theirs are thresholds, these are shares.
    """
    windows = _as_windows(windows)
    if len(beat_offset) != len(windows) + 1 or beat_offset[-1] != len(beat_position):
        raise ValueError(
            f"{len(windows)} windows with {len(beat_offset)} beat offsets and {len(beat_position)} positions; "
            "there must be one offset more than windows, and the last must be the number of positions"
        )
    if not len(windows):
        return np.zeros(0, dtype=np.float32)
    row = np.repeat(np.arange(len(windows)), np.diff(beat_offset))
    share = _agreement(windows, row, beat_position, sample_rate) * _spectrum(windows, sample_rate)
    share *= _movement(windows, sample_rate)  # (N, C)
    rhythm = _rhythm(row, beat_position, len(windows), windows.shape[-1], sample_rate)
    return np.asarray(share.mean(axis=-1) * rhythm, dtype=np.float32)


@dataclass(frozen=True)
class LocationScale:
    """Location and scale of each lead, plain and robust, each (C,) float64 in the unit of the signal.

    Attributes:
        mean: Mean.
        std: Standard deviation (divided by the number of points).
        median: Median.
        robust_std: Interquartile range / 1.349: the standard deviation, were the points normally distributed.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    median: NDArray[np.float64]
    robust_std: NDArray[np.float64]


def location_scale(windows: Float32) -> LocationScale:
    """Location and scale of each lead over all windows and all their time points together.

    Args:
        windows: (N, C, T), finite, at least one point.

    Raises:
        ValueError: If there is nothing to take a mean of, or a value is not finite.
    """
    windows = _as_windows(windows)
    n_leads = windows.shape[1]
    points = np.moveaxis(windows, 1, 0).reshape(n_leads, -1)  # (N, C, T) -> (C, N * T)
    if not points.size:
        raise ValueError(f"windows have shape {windows.shape}; location and scale need at least one point")
    if not np.isfinite(points).all():
        raise ValueError("windows hold values that are not finite; drop those windows or fill_nonfinite first")
    low, median, high = np.quantile(points, (0.25, 0.5, 0.75), axis=-1).astype(np.float64)
    mean = points.mean(axis=-1, dtype=np.float64)
    squares = np.zeros(n_leads)
    for at in range(0, points.shape[1], POINTS_AT_ONCE):  # a whole copy in float64 would be three times the signal
        squares += np.square(points[:, at : at + POINTS_AT_ONCE] - mean[:, None]).sum(axis=-1)
    return LocationScale(
        mean=mean,
        std=np.sqrt(squares / points.shape[1]),
        median=median,
        robust_std=(high - low) / 1.349,
    )


def _agreement(windows: Float32, row: Indices, position: Indices, sample_rate: float) -> Float32:
    """Mean correlation of each beat with the sum of the others of its window, at least 0: (N, C, T) -> (N, C)."""
    before, after = (round(s * sample_rate) for s in BEAT_S)
    result = np.zeros(windows.shape[:2], dtype=np.float32)
    is_whole = (position >= before) & (position + after < windows.shape[-1])
    row, position = row[is_whole], position[is_whole]
    if not len(row):
        return result
    beat = windows[row[:, None], :, position[:, None] + np.arange(-before, after + 1)].swapaxes(1, 2)  # (K, C, W)
    beat = _unit(beat - beat.mean(axis=-1, keepdims=True))
    has_beat, first, count = np.unique(row, return_index=True, return_counts=True)
    others = np.repeat(np.add.reduceat(beat, first, axis=0), count, axis=0) - beat
    correlation = (beat * _unit(others)).sum(axis=-1)  # (K, C); 0 for a beat without others
    result[has_beat] = np.maximum(np.add.reduceat(correlation, first, axis=0) / count[:, None], 0)
    return result


def _unit(x: Float32) -> Float32:
    """Scale to unit length; what is next to nothing beside a unit beat becomes 0."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    unit: Float32 = np.divide(x, length, out=np.zeros_like(x), where=length > 1e-5)
    return unit


def _rhythm(row: Indices, position: Indices, n_windows: int, length: int, sample_rate: float) -> NDArray[np.float64]:
    """Share of the time between beats at plausible intervals, (N,); at the edges of a window only a pause is not."""
    shortest, longest = (s * sample_rate for s in RR_S)
    gap = np.diff(position)
    is_plausible = (row[1:] == row[:-1]) & (gap >= shortest) & (gap <= longest)
    covered = np.zeros(n_windows)
    np.add.at(covered, row[1:][is_plausible], gap[is_plausible])
    has_beat, first, count = np.unique(row, return_index=True, return_counts=True)
    for edge in (position[first], length - position[first + count - 1]):
        covered[has_beat] += np.where(edge <= longest, edge, 0)
    return covered / length


def _spectrum(windows: Float32, sample_rate: float) -> Float32:
    """Power of the QRS band in shares of all power, in units of QRS_SHARE, at most 1: (N, C, T) -> (N, C)."""
    length = windows.shape[-1]
    spectrum = rfft(windows * get_window("hann", length).astype(np.float32), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    low, high = np.searchsorted(rfftfreq(length, 1 / sample_rate), QRS_HZ)
    total = power.sum(axis=-1)
    share = np.divide(power[..., low:high].sum(axis=-1), total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(np.minimum(share / QRS_SHARE, 1), dtype=np.float32)


def _movement(windows: Float32, sample_rate: float) -> Float32:
    """Share of the stretches of 2 s that span a tenth of what the median one spans, (N, C, T) -> (N, C)."""
    n_windows, n_leads, length = windows.shape
    n_stretches = max(1, int(length / (MOVING_S * sample_rate)))
    stretches = windows[..., : length // n_stretches * n_stretches].reshape(n_windows, n_leads, n_stretches, -1)
    span = stretches.max(axis=-1) - stretches.min(axis=-1)
    usual = np.median(span, axis=-1, keepdims=True)
    return np.asarray(((span >= MOVING_SHARE * usual) & (span > 0)).mean(axis=-1), dtype=np.float32)


def _long_runs(mask: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Keep the runs of True along the last axis that are at least `shortest` long."""
    kept = np.zeros_like(mask)
    is_possible = mask.sum(axis=-1) >= shortest  # a row without enough of them costs nothing more
    rows = mask[is_possible]
    time = np.arange(mask.shape[-1], dtype=np.int32)
    last_false = np.maximum.accumulate(np.where(rows, np.int32(-1), time), axis=-1)
    end = np.int32(mask.shape[-1])
    next_false = np.minimum.accumulate(np.where(rows, end, time)[..., ::-1], axis=-1)[..., ::-1]
    kept[is_possible] = rows & (next_false - last_false - 1 >= shortest)
    return kept


def _rounding(windows: Float32) -> Float32:
    """What float32 cannot tell apart at the size of a window's largest value, (N, C, T) -> (N, C, 1)."""
    largest: Float32 = np.abs(windows).max(axis=-1, keepdims=True)
    return largest * np.float32(2 * np.finfo(np.float32).eps)


def _as_waveform(signal: Float32) -> Float32:
    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim < 1 or signal.shape[-1] < 1:
        raise ValueError(f"signal has shape {signal.shape}; it needs at least one time point on the last axis")
    return signal


def _as_windows(windows: Float32) -> Float32:
    windows = _as_waveform(windows)
    if windows.ndim != 3:
        raise ValueError(f"windows have shape {windows.shape}; they must be (windows, leads, time points)")
    return windows
