"""Preparation: one Recording -> its windows, filtered, with beats, quality and labels."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from tiles_ecg.beat import detect_beats
from tiles_ecg.config_types import Probability
from tiles_ecg.label import align, missing_values
from tiles_ecg.recording import LabelSpec, Recording, RecordingError
from tiles_ecg.waveform import bandpass, clipped_share, fill_nonfinite, flat_share, quality, resample

T = TypeVar("T", bound=np.generic)

SLOWEST_RATE = 60.0
"""Hz; below, R-peaks are not found (see `tiles_ecg.beat.detect_beats`)."""
POINTS_AT_ONCE = 2_000_000
"""Raw points that are judged at once: 8 MB, and some 50 MB of work space."""


@dataclass(frozen=True)
class PreparedWindows:
    """Windows of one recording (or piece of one), with what is known of each.

    Attributes:
        signal: (W, C, T) float32 in the recording's unit, filtered, not normalised.
        start_s: (W,) from the start of the recording.
        wall_time_s: (W,) since the epoch, NaN where unknown.
        quality: (W,) 0 to 1.
        beat_position: Time points of the R-peaks within their windows, flat.
        beat_count: (W,) how many of them each window has.
        label: Window-level labels in storage form, by name.
        dropped: Windows left out, by reason.
    """

    signal: NDArray[np.float32]
    start_s: NDArray[np.float64]
    wall_time_s: NDArray[np.float64]
    quality: NDArray[np.float32]
    beat_position: NDArray[np.int32]
    beat_count: NDArray[np.int32]
    label: Mapping[str, NDArray[np.generic]]
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Preparation:
    """How a recording becomes windows; the same for every source of a store.

    Each whole stretch is resampled (polyphase) and band-passed (zero-phase) before it is cut. R-peaks are found once,
    here, on the filtered first lead. Windows with a value that is not finite, flat or clipped ones, and those below a
    quality are left out and counted.

    Args:
        sample_rate: Of the store, Hz.
        low_hz: Lower edge of the band-pass.
        high_hz: Its upper edge, below half of the sample rate.
        window_s: Length of a window.
        step_s: From the start of a window to that of the next; below `window_s`, windows overlap.
        min_quality: Windows of less are dropped.
        max_flat: Largest share of a window in which the raw signal may stand still.
        max_clipped: Largest share in which it may lie at the recorder's limits.

    Raises:
        ValueError: If the band does not fit the sample rate, or a length is not positive and finite.
    """

    sample_rate: PositiveFloat
    low_hz: PositiveFloat
    high_hz: PositiveFloat
    window_s: PositiveFloat
    step_s: PositiveFloat
    min_quality: Probability = 0.0
    max_flat: Probability = 1.0
    max_clipped: Probability = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.low_hz < self.high_hz < self.sample_rate / 2:
            raise ValueError(
                f"band {self.low_hz} to {self.high_hz} Hz at {self.sample_rate} Hz: "
                f"need 0 < low_hz < high_hz < {self.sample_rate / 2}"
            )
        if self.sample_rate < SLOWEST_RATE:
            raise ValueError(f"sample_rate = {self.sample_rate} Hz; R-peaks need at least {SLOWEST_RATE:g} Hz")
        if not (0 < self.window_s < math.inf and 0 < self.step_s < math.inf):
            raise ValueError(f"window_s = {self.window_s}, step_s = {self.step_s}: both must be positive and finite")

    @property
    def window_length(self) -> int:
        """T, time points of a window."""
        return round(self.window_s * self.sample_rate)

    def __call__(self, recording: Recording, specs: Sequence[LabelSpec]) -> PreparedWindows:
        """Prepare a recording.

        Args:
            recording: Any number of stretches, of any length and rate.
            specs: The reader's labels; those of level `window` are aligned to the windows.

        Raises:
            RecordingError: If its sample rate cannot hold the band.
        """
        if recording.sample_rate / 2 < self.high_hz:
            raise RecordingError(
                f"{recording.source}: recorded at {recording.sample_rate:g} Hz, which cannot hold the band up to "
                f"{self.high_hz:g} Hz; set preparation.high_hz to at most {recording.sample_rate / 2:g}"
            )
        n_stretches, _, n_raw = recording.signal.shape
        if n_stretches == 0 or n_raw < self._shortest(recording.sample_rate):
            return self._nothing(recording, specs, {"short": n_stretches} if n_stretches else {})
        filled, bad = fill_nonfinite(recording.signal)
        filtered = resample(filled, recording.sample_rate, self.sample_rate)
        filtered = bandpass(filtered, self.sample_rate, self.low_hz, self.high_hz)
        first = self._first_points(filtered.shape[-1])
        windows = _cut(filtered, first, self.window_length)  # (S, C, T') -> (W, C, T), stretch by stretch
        position, offset = detect_beats(filtered[:, 0], self.sample_rate)
        beat_position, beat_offset = _beats_of_windows(position, offset, first, self.window_length)
        scores = quality(windows, beat_position, beat_offset, self.sample_rate)
        reasons = self._raw_reasons(filled, bad, first, recording.sample_rate)
        reasons["nonfinite"] |= ~(np.isfinite(windows).all(axis=(1, 2)) & np.isfinite(scores))  # too large for float32
        reasons["low quality"] = scores < self.min_quality
        return self._kept(recording, specs, windows, scores, beat_position, beat_offset, first, reasons)

    def _shortest(self, sample_rate: float) -> int:
        """Least number of raw points that give a window, and more than the one period that the band-pass needs."""
        needed = max(self.window_length, int(np.ceil(self.sample_rate / self.low_hz)) + 1)  # once resampled
        return max(round(self.window_s * sample_rate), int((needed - 1) * sample_rate / self.sample_rate) + 1)

    def _raw_reasons(
        self, filled: NDArray[np.float32], bad: NDArray[np.bool_], first: NDArray[np.int64], sample_rate: float
    ) -> dict[str, NDArray[np.bool_]]:
        """What is wrong with the raw signal of each window, (W,) a reason; by blocks, for the sake of memory."""
        n_stretches, n_leads, n_raw = filled.shape
        length = round(self.window_s * sample_rate)
        raw_first = np.minimum(np.round(first * sample_rate / self.sample_rate), n_raw - length).astype(np.int64)
        at_once = max(1, POINTS_AT_ONCE // (n_leads * length))
        found = {name: np.zeros((n_stretches, len(first)), bool) for name in ("nonfinite", "flat", "clipped")}
        n_at_once = max(1, at_once // len(first))  # stretches
        for row in range(0, n_stretches, n_at_once):
            for at in range(0, len(first), at_once):
                block = (slice(row, row + n_at_once), slice(at, at + at_once))
                shape = found["flat"][block].shape
                raw = _cut(filled[block[0]], raw_first[block[1]], length)
                is_bad = _cut(bad[block[0]], raw_first[block[1]], length).any(axis=(1, 2))
                found["nonfinite"][block] = is_bad.reshape(shape)
                found["flat"][block] = (flat_share(raw, sample_rate) > self.max_flat).reshape(shape)
                found["clipped"][block] = (clipped_share(raw) > self.max_clipped).reshape(shape)
        return {name: is_so.ravel() for name, is_so in found.items()}

    def _first_points(self, length: int) -> NDArray[np.int64]:
        step = max(1, round(self.step_s * self.sample_rate))
        return np.arange(0, length - self.window_length + 1, step)

    def _kept(
        self,
        recording: Recording,
        specs: Sequence[LabelSpec],
        windows: NDArray[np.float32],
        scores: NDArray[np.float32],
        beat_position: NDArray[np.int64],
        beat_offset: NDArray[np.int64],
        first: NDArray[np.int64],
        reasons: Mapping[str, NDArray[np.bool_]],
    ) -> PreparedWindows:
        keep = np.ones(len(windows), bool)
        dropped: Counter[str] = Counter()
        for reason, is_bad in reasons.items():  # a window counts once, under its first reason
            dropped[reason] += int((keep & is_bad).sum())
            keep &= ~is_bad
        n_stretches = len(recording.signal)
        begin = np.zeros(n_stretches) if recording.start_s is None else recording.start_s
        wall = np.full(n_stretches, np.nan) if recording.wall_time is None else recording.wall_time
        into_stretch = first / self.sample_rate
        start_s = (begin[:, None] + into_stretch).ravel()[keep]
        count = np.diff(beat_offset)
        return PreparedWindows(
            signal=windows[keep],
            start_s=start_s,
            wall_time_s=(wall[:, None] + into_stretch).ravel()[keep],
            quality=scores[keep],
            beat_position=beat_position[np.repeat(keep, count)].astype(np.int32),
            beat_count=count[keep].astype(np.int32),
            label=self._labels(recording, specs, start_s),
            dropped=+dropped,
        )

    def _labels(
        self, recording: Recording, specs: Sequence[LabelSpec], start_s: NDArray[np.float64]
    ) -> dict[str, NDArray[np.generic]]:
        timed = {annotations.label: annotations for annotations in recording.annotations}
        return {
            spec.name: align(spec, timed[spec.name], start_s, self.window_s)
            if spec.name in timed
            else missing_values(spec, len(start_s))
            for spec in specs
            if spec.level == "window"
        }

    def _nothing(self, recording: Recording, specs: Sequence[LabelSpec], dropped: Mapping[str, int]) -> PreparedWindows:
        n_leads = recording.signal.shape[1]
        none = np.empty(0)
        return PreparedWindows(
            signal=np.empty((0, n_leads, self.window_length), np.float32),
            start_s=none,
            wall_time_s=none,
            quality=none.astype(np.float32),
            beat_position=none.astype(np.int32),
            beat_count=none.astype(np.int32),
            label=self._labels(recording, specs, none),
            dropped=dropped,
        )


def _cut(signal: NDArray[T], first: NDArray[np.int64], length: int) -> NDArray[T]:
    """Windows that begin at `first` of every stretch: (S, C, T) -> (S * len(first), C, length)."""
    spans = np.lib.stride_tricks.sliding_window_view(signal, length, axis=-1)[:, :, first]  # (S, C, F, length)
    return np.ascontiguousarray(spans.transpose(0, 2, 1, 3)).reshape(-1, signal.shape[1], length)


def _beats_of_windows(
    position: NDArray[np.int64], offset: NDArray[np.int64], first: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """R-peaks of stretches -> R-peaks of the windows cut from them, relative to each window's first point."""
    n_stretches = len(offset) - 1
    far = int(max(position.max(initial=0), first.max(initial=0) + length)) + 1
    stretch = np.repeat(np.arange(n_stretches), np.diff(offset))
    on_one_axis = position + stretch * far  # rises: stretch by stretch, and within each
    begin = (np.arange(n_stretches)[:, None] * far + first).ravel()
    low = np.searchsorted(on_one_axis, begin, side="left")
    high = np.searchsorted(on_one_axis, begin + length, side="left")
    count = high - low
    window = np.repeat(np.arange(len(begin)), count)
    beat = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    return on_one_axis[beat] - begin[window], np.concatenate([[0], np.cumsum(count)])
