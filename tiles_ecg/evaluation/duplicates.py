"""Near-duplicates: windows of two recordings that show the same heartbeats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.duplicate_candidates import (
    Candidates,
    alike_in_place,
    alike_shifted,
    between_recordings,
    strongest,
    with_common_beats,
)
from tiles_ecg.evaluation.duplicate_correlation import best_correlation, is_alike_in_halves, lay_over
from tiles_ecg.evaluation.duplicate_sketch import AFTER_S, BEFORE_S, beats_of, sketch_stretches, sketch_windows
from tiles_ecg.task.target import Target

Indices = NDArray[np.int64]

THRESHOLD = 0.985
"""For windows with 10 s or more in common. Different people with 8 s or more in common reach 0.966 in cinc2017, mitdb,
ecgiddb and qtdb taken together (10,682 windows of 15 s at 100 Hz) and, cleaner, 0.983 in a synthetic cohort of 850.
Copies of 240 recordings of cinc2017 (cut 3.3 s later, in windows of 10 s, inverted, with noise 40 dB below, filtered
0.67-35 or 1-30 Hz instead of 0.5-40 Hz) have medians of 0.997 to 1.000, and every recording with windows was found."""
FULL_S = 10.0
"""Regular rhythms of two people can agree for some beats (synthetic: 0.989 over 5 s): what may be missing to 1 shrinks
with the square of what windows of less than this have in common."""
SKETCH_SLACK = 0.015
SPAN_TOLERANCE_S = 0.02
"""R-peaks stand on whole time points: a point or two apart after another resampling."""
PAIRS_AT_ONCE = 256
MOST_WINDOWS = 40_000
"""More are thinned out, evenly in each recording."""


@dataclass(frozen=True)
class Duplicate:
    """Two windows that show the same heartbeats.

    Attributes:
        first: Row of one window.
        second: Row of the other; of the other `Windows`, where two were searched.
        correlation: Of what they have in common; negative where one is inverted.
        shift_s: When the second begins, from the beginning of the first.
    """

    first: int
    second: int
    correlation: float
    shift_s: float


def near_duplicates(
    windows: Windows,
    rows: Indices,
    other: Windows | None = None,
    other_rows: Indices | None = None,
    threshold: float = THRESHOLD,
) -> list[Duplicate]:
    """Find windows of different recordings, or of two `Windows`, with (almost) the same signal.

    Gain, offset and polarity do not matter; noise, rounding, another filter or resampling hardly do; the windows may be
    cut at other times and be of other lengths, as long as some 6 s with R-peaks are in both. Windows without R-peaks
    (noise) are found in place only. Alike beats at perfectly regular times (a pacemaker) are not told from copies. A
    window with more than 32 others like it is reported with the 32 most alike.

    Time grows with the square of the number of windows, memory with the number: on one core 2 to 6 s for 10,700 windows
    of 1,500 points, and 30 to 60 s and 0.4 GB for 30,600. Above 40,000 windows an even share of each recording is
    searched: `search_notes` says so.

    Args:
        windows: Windows.
        rows: (n,) those to search.
        other: Windows to search among; by default the same, other recordings of them.
        other_rows: (m,) of the other; by default all.
        threshold: Lowest absolute correlation between 2 and 30 Hz of windows with 10 s or more in common; what may be
            missing to 1 shrinks with the square of what they have in common, to a quarter at 5 s.

    Returns:
        In the order of `first`, then `second`.

    Raises:
        ValueError: If sample rate or number of leads of the two differ, or the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold = {threshold}: a correlation above 0 and at most 1 is needed")
    rows = _thinned(windows, np.asarray(rows, np.int64))
    if other is None:
        others = rows
    else:
        _check_comparable(windows, other)
        others = _thinned(other, np.arange(len(other)) if other_rows is None else np.asarray(other_rows, np.int64))
    candidates = _candidates(windows, rows, other, others, threshold - SKETCH_SLACK)
    partner = windows if other is None else other
    found = chain.from_iterable(
        _verified(windows, rows, partner, others, candidates, at, threshold)
        for at in range(0, len(candidates.first), PAIRS_AT_ONCE)
    )
    return sorted(found, key=lambda duplicate: (duplicate.first, duplicate.second))


def search_notes(
    windows: Windows, rows: Indices, other: Windows | None = None, other_rows: Indices | None = None
) -> list[str]:
    """What `near_duplicates` with these arguments cannot see; for the report."""
    notes = []
    sides = [(windows, np.asarray(rows, np.int64))]
    if other is not None:
        sides.append((other, np.arange(len(other)) if other_rows is None else np.asarray(other_rows, np.int64)))
        if windows.shape[1] != other.shape[1]:
            notes.append("near-duplicates of windows of other length are found by their R-peaks only, not in noise")
    for side, chosen in sides:
        n_searched = len(_thinned(side, chosen))
        if n_searched < len(chosen):
            notes.append(
                f"near-duplicates were searched among {n_searched:,} of {len(chosen):,} windows, evenly in each "
                f"recording of {side.stores[0].path.name}{' and others' if len(side.stores) > 1 else ''}"
            )
    shortest_s = min(side.shape[1] / side.sample_rate for side, _ in sides)
    if shortest_s < BEFORE_S + AFTER_S:
        notes.append(f"windows of {shortest_s:g} s are too short to find near-duplicates that were cut at other times")
    return notes


def inseparable_subjects(windows: Windows, target: Target, found: Sequence[Duplicate]) -> list[tuple[int, int]]:
    """Pairs of different subjects with a window in common, as `Protocol.plan` takes them.

    Args:
        windows: Those that were searched, among themselves.
        target: Whose numbering of subjects is meant.
        found: Of `near_duplicates`.
    """
    number = {name: code for code, name in enumerate(target.subject_id)}
    pairs = set()
    for duplicate in found:
        ids = [windows.subject_id[windows.subject[row]] for row in (duplicate.first, duplicate.second)]
        if ids[0] != ids[1] and all(name in number for name in ids):
            low, high = sorted(number[name] for name in ids)
            pairs.add((low, high))
    return sorted(pairs)


def _check_comparable(windows: Windows, other: Windows) -> None:
    paths = f"{windows.stores[0].path} and {other.stores[0].path}"
    if windows.sample_rate != other.sample_rate:
        raise ValueError(
            f"{paths}: {windows.sample_rate:g} and {other.sample_rate:g} Hz; near-duplicates are found between stores "
            "of one sample rate; prepare one of them again at the other's"
        )
    if windows.shape[0] != other.shape[0]:
        raise ValueError(
            f"{paths}: {windows.shape[0]} and {other.shape[0]} leads; near-duplicates are found between stores of as "
            "many leads; prepare one of them again with the leads of the other"
        )


def _thinned(windows: Windows, rows: Indices) -> Indices:
    """Every k-th row of each recording, from its first, where there are more than can be searched."""
    step = max(1, -(-len(rows) // MOST_WINDOWS))
    recording = windows.recording[rows]
    order = np.argsort(recording, kind="stable")
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.searchsorted(recording[order], recording[order])
    return np.asarray(rows[rank % step == 0], np.int64)


def _candidates(windows: Windows, rows: Indices, other: Windows | None, others: Indices, at_least: float) -> Candidates:
    partner = windows if other is None else other
    tolerance = max(1, round(SPAN_TOLERANCE_S * windows.sample_rate))
    parts: list[Iterator[Candidates]] = []
    if partner.shape == windows.shape:
        second = None if other is None else sketch_windows(other, others)
        parts.append(alike_in_place(sketch_windows(windows, rows), second, at_least))
    if min(windows.shape[1], partner.shape[1]) >= (BEFORE_S + AFTER_S) * windows.sample_rate:
        stretches = None if other is None else sketch_stretches(other, others)
        parts.append(alike_shifted(sketch_stretches(windows, rows), stretches, tolerance, at_least))
    every: Iterator[Candidates] = chain.from_iterable(parts)
    if other is None:
        recording = windows.recording[rows]
        every = (between_recordings(part, recording) for part in every)
    beats = beats_of(windows, rows, tolerance)
    other_beats = beats if other is None else beats_of(other, others, tolerance)
    return strongest(with_common_beats(part, beats, other_beats) for part in every)


def _verified(
    windows: Windows, rows: Indices, other: Windows, others: Indices, candidates: Candidates, at: int, threshold: float
) -> list[Duplicate]:
    """Those of some candidates whose signals are alike all over what they have in common."""
    part = slice(at, at + PAIRS_AT_ONCE)
    first, second, lag = rows[candidates.first[part]], others[candidates.second[part]], candidates.lag[part]
    a = windows.gather(first).signal.numpy()
    b, common = lay_over(other.gather(second).signal.numpy(), a.shape[2], lag)
    rate = windows.sample_rate
    correlation, shift = best_correlation(a, b, common, rate)
    common_s = common.sum(axis=1) / rate
    needed = 1 - (1 - threshold) * np.minimum(1, common_s / FULL_S) ** 2
    is_alike = np.abs(correlation) >= needed - 1e-6  # float32 rounding
    is_alike[is_alike] = is_alike_in_halves(a[is_alike], b[is_alike], common[is_alike], np.rint(shift[is_alike]))
    return [
        Duplicate(int(first[k]), int(second[k]), float(np.clip(correlation[k], -1, 1)), float(lag[k] + shift[k]) / rate)
        for k in np.flatnonzero(is_alike)
    ]
