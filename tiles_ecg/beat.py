"""R-peaks: where the beats of a filtered lead are, found in whole batches of stretches at once.

A beat is a burst of steep slopes. The slope of the 5-25 Hz band, averaged over 120 ms, is its strength; a beat is a
maximum of the strength that stands out from its surroundings and from what is usual in its own stretch. Nothing is
adapted from beat to beat, so no stretch can influence another, the cost hardly depends on the content, and nothing can
run for ever. Steep slopes as the mark of a QRS complex: Pan and Tompkins, A Real-Time QRS Detection Algorithm, IEEE
Trans. Biomed. Eng. 32(3):230-236, 1985.

The numbers below were chosen on mitdb, qtdb and nstdb. Sensitivity and positive predictivity on mitdb within 100 ms
(`benchmarks/beats.py`): 99.70 and 99.27 % in independent stretches of 15 s; on the uncut raw records sleepecg 0.6.0 has
98.65 and 98.30 %, wfdb 4.3 xqrs 98.62 and 98.62 %, neurokit2 0.2.13 97.93 and 99.32 %.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import sosfiltfilt

from tiles_ecg.waveform import band_sections

BAND_HZ = (5.0, 25.0)  # QRS energy; P and T waves lie below, muscle above
STRENGTH_S = 0.12  # about a QRS complex
ISOLATION_S = 0.25  # a beat is the strongest point this far to both sides
T_WAVE_S = 0.36  # Pan and Tompkins: closer than this, a much weaker beat is a T wave
T_WAVE_SHARE = 0.5
USUAL_SHARE = 0.35  # of what is usual in the piece
USUAL_BLOCK_S = 1.5  # holds a beat down to 40 per minute; the median of its maxima is what is usual
REFINE_S = 0.06
REFRACTORY_S = 0.2
SILENCE = 1e-5  # of the largest excursion: below lies rounding, not signal
SHORTEST_S = 0.5
PIECE_S = 17.0  # longer stretches are cut, for bounded memory and a local idea of what is usual
OVERLAP_S = 2.0
BATCH_POINTS = 1_000_000  # 8 MB for each intermediate of a batch of pieces

Indices = NDArray[np.int64]


def detect_beats(signal: NDArray[np.float32], sample_rate: float) -> tuple[Indices, Indices]:
    """Find the R-peaks of S stretches of one lead.

    Scale, offset and polarity of the signal do not matter. Points that are not finite count as 0. A stretch without
    any movement, or shorter than 0.5 s, has no beats.

    Args:
        signal: (S, T), filtered (0.5-40 Hz or similar).
        sample_rate: Hz, at least 60.

    Returns:
        Positions, in time points from the start of their stretch, all stretches one after another, ascending within
        each, at least 200 ms apart; and offsets (S + 1): stretch s holds positions `offset[s]` to `offset[s + 1]`.

    Raises:
        ValueError: If the signal is not (S, T), or the sample rate is too low for the 5-25 Hz band.
    """
    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim != 2:
        raise ValueError(f"signal has shape {signal.shape}; detect_beats needs (stretches, time points) of one lead")
    if not 60.0 <= sample_rate < np.inf:
        raise ValueError(f"sample_rate = {sample_rate} Hz; R-peaks need at least 60 Hz (resample first)")
    if not np.isfinite(signal).all():
        signal = np.where(np.isfinite(signal), signal, np.float32(0))
    n_stretches, length = signal.shape
    row, at, strength = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    if n_stretches and length >= SHORTEST_S * sample_rate:
        found = [_find_in_pieces(signal, *batch, sample_rate) for batch in _pieces(n_stretches, length, sample_rate)]
        row, at, strength = (np.concatenate(part) for part in zip(*found, strict=True))
        at = _refine(signal, row, at, sample_rate)
        row, at = _thin(row, at, strength, REFRACTORY_S * sample_rate)
    return at, np.searchsorted(row, np.arange(n_stretches + 1)).astype(np.int64)


def _pieces(n_stretches: int, length: int, sample_rate: float) -> list[tuple[Indices, Indices, int]]:
    """Cut every stretch into equally long, overlapping pieces: batches of (stretch, start, length of a piece)."""
    piece, overlap = round(PIECE_S * sample_rate), round(OVERLAP_S * sample_rate)
    if length <= piece + overlap:
        starts, piece = np.zeros(1, np.int64), length
    else:
        n_pieces = -(-(length - overlap) // (piece - overlap))
        starts = np.linspace(0, length - piece, n_pieces).astype(np.int64)
    stretch = np.repeat(np.arange(n_stretches), len(starts))
    start = np.tile(starts, n_stretches)
    per_batch = max(1, BATCH_POINTS // piece)
    return [(stretch[i : i + per_batch], start[i : i + per_batch], piece) for i in range(0, len(start), per_batch)]


def _find_in_pieces(
    signal: NDArray[np.float32], stretch: Indices, start: Indices, piece: int, sample_rate: float
) -> tuple[Indices, Indices, NDArray[np.float32]]:
    """Return stretch, position and strength of the beats of one batch of pieces; overlaps may give a beat twice."""
    length = signal.shape[1]
    x = signal[stretch] if piece == length else signal[stretch[:, None], start[:, None] + np.arange(piece)]
    strength = _strength(x, sample_rate)
    usual = _usual(strength, round(USUAL_BLOCK_S * sample_rate))
    peak = strength == _highest_within(strength, round(ISOLATION_S * sample_rate))
    peak &= strength > np.maximum(USUAL_SHARE * usual, SILENCE)
    near = _highest_within(
        np.minimum(strength, usual), int(T_WAVE_S * sample_rate)
    )  # capped: an artefact hides no beat
    peak &= strength >= T_WAVE_SHARE * near
    row, at = np.nonzero(peak)
    margin = OVERLAP_S * sample_rate / 4  # what lies next to a cut is judged in the neighbouring piece
    is_inside = ((at >= margin) | (start[row] == 0)) & ((at < piece - margin) | (start[row] + piece == length))
    row, at = row[is_inside], at[is_inside]
    return stretch[row], start[row] + at, strength[row, at]


def _strength(x: NDArray[np.float32], sample_rate: float) -> NDArray[np.float32]:
    """Mean absolute slope of the QRS band in shares of the largest excursion per 20 ms, (P, T) -> (P, T)."""
    x = x / np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    x = x - x[:, :1]
    x = x / np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    band = sosfiltfilt(band_sections(2, *BAND_HZ, sample_rate), x, axis=-1).astype(np.float32)
    slope = np.zeros_like(band)
    slope[:, 1:-1] = np.abs(band[:, 2:] - band[:, :-2]) * np.float32(sample_rate / 100)
    return uniform_filter1d(slope, round(STRENGTH_S * sample_rate) | 1, axis=-1, mode="reflect")


def _usual(strength: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Median over the blocks of a piece that move at all of their greatest strength, (P, T) -> (P, 1)."""
    n_pieces, length = strength.shape
    n_blocks = max(1, length // block)
    greatest = strength[:, : n_blocks * block].reshape(n_pieces, n_blocks, -1).max(axis=-1)
    greatest.sort(axis=-1)
    n_still = (greatest <= SILENCE).sum(axis=-1, keepdims=True)
    return np.take_along_axis(greatest, np.minimum((n_still + n_blocks) // 2, n_blocks - 1), axis=-1)


def _highest_within(x: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    return maximum_filter1d(x, 2 * reach + 1, axis=-1, mode="nearest")


def _refine(signal: NDArray[np.float32], row: Indices, at: Indices, sample_rate: float) -> Indices:
    """Move each position to the point within 60 ms that is farthest, up or down, from the median of 240 ms."""
    reach = round(REFINE_S * sample_rate)
    around = np.clip(at[:, None] + np.arange(-2 * reach, 2 * reach + 1), 0, signal.shape[1] - 1)
    x = signal[row[:, None], around].astype(np.float64)
    excursion = np.abs(x - np.median(x, axis=-1, keepdims=True))[:, reach:-reach]
    return np.take_along_axis(around, reach + excursion.argmax(axis=-1)[:, None], axis=-1)[:, 0]


def _thin(row: Indices, at: Indices, strength: NDArray[np.float32], gap: float) -> tuple[Indices, Indices]:
    """Sort by stretch and position, and drop the weaker of two beats closer than `gap`, until there are none."""
    order = np.lexsort((at, row))
    row, at, strength = row[order], at[order], strength[order]
    while (is_close := (np.diff(row) == 0) & (np.diff(at) < gap)).any():
        is_second_weaker = strength[1:] <= strength[:-1]
        drop = np.zeros(len(at), dtype=bool)
        drop[1:] |= is_close & is_second_weaker
        drop[:-1] |= is_close & ~is_second_weaker
        row, at, strength = row[~drop], at[~drop], strength[~drop]
    return row, at
