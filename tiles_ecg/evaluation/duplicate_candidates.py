"""Candidates for near-duplicates: pairs of windows with alike sketches, in place or shifted, found block by block.

In place, whole windows are compared. Shifted, stretches of 4 s that begin at an R-peak are, and only where the next
four RR intervals together last equally long: copies of one recording, cut anywhere, have their R-peaks in common.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.duplicate_sketch import Beats, Stretches

Indices = NDArray[np.int64]
Float32 = NDArray[np.float32]

COMMON_BEATS = 0.7
"""Share of the R-peaks of either window, in what they have in common, that must be in the other too."""
MOST_PARTNERS = 32
"""Of a window: overlapping windows of another cut are about 20 with a step of 1 s; more would mean a common pattern."""
BLOCK = 1024
COLUMNS = 4096
PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Candidates:
    """Pairs to look at.

    Attributes:
        first: (n,) int64, position among the rows searched.
        second: (n,) int64, position among the other rows.
        lag: (n,) int64: time point t of the first is t - lag of the second.
        score: (n,) float32, absolute correlation of sketches.
    """

    first: Indices
    second: Indices
    lag: Indices
    score: Float32


def alike_in_place(first: Float32, second: Float32 | None, at_least: float) -> Iterator[Candidates]:
    """Pairs of windows with alike sketches; each unordered pair of `first` once where there is no `second`."""
    other = first if second is None else second
    for at in range(0, len(first), BLOCK):
        for begin in range(at if second is None else 0, len(other), COLUMNS):
            i, j, score = _products(first[at : at + BLOCK], other[begin : begin + COLUMNS], at_least)
            i, j = i + at, j + begin
            kept = np.ones(len(i), bool) if second is not None else i < j
            yield Candidates(i[kept], j[kept], np.zeros(int(kept.sum()), np.int64), score[kept])


def alike_shifted(first: Stretches, second: Stretches | None, tolerance: int, at_least: float) -> Iterator[Candidates]:
    """Pairs of windows with alike stretches whose spans differ by at most `tolerance` time points."""
    other = first if second is None else second
    for at in range(0, len(first.span), BLOCK):
        span = first.span[at : at + BLOCK]
        low = at if second is None else int(np.searchsorted(other.span, span[0] - tolerance))
        high = int(np.searchsorted(other.span, span[-1] + tolerance, side="right"))
        for begin in range(low, high, COLUMNS):
            end = min(high, begin + COLUMNS)
            i, j, score = _products(first.sketch[at : at + BLOCK], other.sketch[begin:end], at_least)
            i, j = i + at, j + begin
            kept = np.abs(first.span[i] - other.span[j]) <= tolerance
            if second is None:
                kept &= i < j
            i, j, score = i[kept], j[kept], score[kept]
            a, b, lag = first.window[i], other.window[j], first.position[i] - other.position[j]
            is_swapped = (a > b) & (second is None)
            yield Candidates(
                np.where(is_swapped, b, a), np.where(is_swapped, a, b), np.where(is_swapped, -lag, lag), score
            )


def _products(first: Float32, second: Float32, at_least: float) -> tuple[Indices, Indices, Float32]:
    product = np.abs(first @ second.T)
    found = np.flatnonzero(product >= at_least)
    i, j = np.divmod(found, len(second))
    return i, j, product.ravel()[found]


def between_recordings(candidates: Candidates, recording: Indices) -> Candidates:
    """Those of two recordings, of the rows searched (n,)."""
    return _taken(candidates, np.flatnonzero(recording[candidates.first] != recording[candidates.second]))


def with_common_beats(candidates: Candidates, first: Beats, second: Beats) -> Candidates:
    """Those whose R-peaks agree all over what they have in common, or that are in place (noise has no R-peaks)."""
    is_common = np.ones(len(candidates.lag), bool)
    for at in range(0, len(is_common), COLUMNS):
        part = slice(at, at + COLUMNS)
        i, j, lag = candidates.first[part], candidates.second[part], candidates.lag[part]
        there = _share_found(first.position[i], second.near, j, -lag) >= COMMON_BEATS
        back = _share_found(second.position[j], first.near, i, lag) >= COMMON_BEATS
        is_common[part] = (there & back) | (lag == 0)
    return _taken(candidates, np.flatnonzero(is_common))


def _share_found(position: Indices, near: NDArray[np.bool_], row: Indices, shift: Indices) -> NDArray[np.float64]:
    """(n,) share of R-peaks (n, most) that, shifted, are in rows of `near`; those that fall outside do not count."""
    position = position + shift[:, None]
    is_inside = (position >= 0) & (position < near.shape[1])
    is_found = near[row[:, None], np.where(is_inside, position, 0)] & is_inside
    return np.asarray(is_found.sum(axis=1) / np.maximum(1, is_inside.sum(axis=1)), np.float64)


def strongest(parts: Iterable[Candidates]) -> Candidates:
    """One candidate for each pair of windows, the most alike; at most `MOST_PARTNERS` for a window."""
    none = np.zeros(0, np.int64)
    waiting = [Candidates(none, none, none, np.zeros(0, np.float32))]
    n_waiting = 0
    for part in parts:
        waiting.append(part)
        n_waiting += len(part.first)
        if n_waiting > PAIRS_AT_ONCE:
            waiting, n_waiting = [_reduced(waiting)], 0
    return _reduced(waiting)


def _reduced(parts: list[Candidates]) -> Candidates:
    names = ("first", "second", "lag", "score")
    joined = Candidates(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    ordered = _taken(joined, np.lexsort((-joined.score, joined.second, joined.first)))
    is_new = np.ones(len(ordered.first), bool)
    is_new[1:] = (np.diff(ordered.first) != 0) | (np.diff(ordered.second) != 0)
    single = _taken(ordered, np.flatnonzero(is_new))
    ranked = _taken(single, np.lexsort((-single.score, single.first)))
    rank = np.arange(len(ranked.first)) - np.searchsorted(ranked.first, ranked.first)
    return _taken(ranked, np.flatnonzero(rank < MOST_PARTNERS))


def _taken(candidates: Candidates, chosen: Indices) -> Candidates:
    return Candidates(
        candidates.first[chosen], candidates.second[chosen], candidates.lag[chosen], candidates.score[chosen]
    )
