"""Timed rows, block by block -> whole evenly spaced segments of a fixed number of time points."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIME_RESOLUTION_US = 1000
"""A step may be off by this much: the release writes times to the millisecond."""
RATE_TOLERANCE = 0.005
"""Share by which the rate of a segment may be off: a device clock may drift, but 256 Hz is not 250 Hz."""
BURST_GAP_US = 1_000_000
"""Rows further apart belong to different bursts, when lost ones are counted."""
MAX_HELD = 512
"""Segments held back before the first are handed over, so that shorter files come out the same in any row order."""


@dataclass(frozen=True)
class Rows:
    """Rows of a file of samples.

    Attributes:
        record: (N,) int32 recording number.
        time_us: (N,) int64 wall time in microseconds since 1970 on the clock that wrote the file.
        value: (N,) float32, NaN where missing.
    """

    record: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.time_us)

    def __getitem__(self, index: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "Rows":
        return Rows(self.record[index], self.time_us[index], self.value[index])


NO_ROWS = Rows(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))


class BurstCutter:
    """Cuts the rows of one file into segments of `n_points` rows, without holding the file.

    A stretch is a run of rows of one record, each within 1 ms of one period after the row before. A stretch of at least
    `n_points` rows gives as many whole segments as it holds, from its start on. Rows that repeat record and time of an
    earlier one are dropped. Rows in order (by record, then time) stream at constant memory: only unused rows are kept.
    At the first row out of order everything from there on is kept (16 bytes a row), sorted at the end and cut then.

    Any order gives the same segments, with one exception: after more than `max_held` segments in order, those handed
    over stay as they are, even if a row just before one of them comes later.

    Attributes (final once `cut` is exhausted):
        n_complete: Segments handed over.
        duplicates: Rows dropped as repeated.
        incomplete: Segments lost: for each burst, its rows outside whole segments over `n_points`, rounded up.
        uneven: Segments lost because their steps add up to another rate.
        is_sorted: Whether the rows were in order.
        other_rate: Rate in Hz at which the file is evenly spaced instead; None if it is not, or segments were found.
    """

    def __init__(self, n_points: int, sample_rate: float, max_held: int = MAX_HELD) -> None:
        self.n_points = n_points
        self.period_us = 1e6 / sample_rate
        self.max_held = max_held
        self.n_complete = self.duplicates = self.incomplete = self.uneven = 0
        self.is_sorted = True
        self.other_rate: float | None = None

    def cut(self, blocks: Iterable[Rows]) -> Iterator[list[Rows]]:
        """Yield lists of segments, each `n_points` rows, in order of record and time."""
        held: list[Rows] = []
        unused: list[Rows] = []
        given: list[Rows] = []  # first and last row of every segment handed over
        carry = last = NO_ROWS
        for block in blocks:
            if self.is_sorted and not (_is_sorted(block) and _is_sorted(join([last, block[:1]]))):
                self.is_sorted = False
                unused += [*held, carry]
                held, carry = [], NO_ROWS
            if not self.is_sorted:
                unused.append(block)
                continue
            fresh = self._without_repeats(join([last, block]))[len(last) :]  # a segment may have ended with `last`
            segments, rest, carry = self._split(join([carry, fresh]))
            held += segments
            unused.append(rest)
            last = block[-1:] if len(block) else last
            if len(held) >= self.max_held:
                self.n_complete += len(held)
                given.append(join([segment[:: self.n_points - 1] for segment in held]))
                yield held
                held = []
        held += self._finish(unused, carry, given)
        self.n_complete += len(held)
        yield held

    def _split(self, rows: Rows) -> tuple[list[Rows], Rows, Rows]:
        """Whole segments, other rows, and the rows at the end that the next block may continue."""
        if not len(rows):
            return [], NO_ROWS, NO_ROWS
        edges = self._stretch_edges(rows)
        starts = self._segment_starts(edges)
        open_end = max(int(edges[-2]), int(starts[-1]) + self.n_points if len(starts) else 0)
        starts = starts[self._is_even(rows, starts)]
        is_rest = np.ones(len(rows), np.bool_)
        is_rest[open_end:] = False
        for start in starts:
            is_rest[start : start + self.n_points] = False
        segments = [rows[start : start + self.n_points] for start in starts]
        return segments, rows[is_rest], rows[open_end:]

    def _finish(self, unused: list[Rows], carry: Rows, given: Sequence[Rows]) -> list[Rows]:
        """Segments among the rows left at the end of the file; counts what is lost."""
        rows = join([*unused, carry])
        unused.clear()
        if not self.is_sorted:
            rows = rows[
                np.lexsort((rows.time_us, rows.record))
            ]  # stable: of repeated rows, the first in the file leads
            rows = self._without_given(self._without_repeats(rows), given)
        if not len(rows):
            return []
        starts = self._segment_starts(self._stretch_edges(rows))
        is_even = self._is_even(rows, starts)
        self.uneven = int((~is_even).sum())
        self.incomplete = self._count_lost(rows, starts)
        if not self.n_complete and not is_even.any():
            self.other_rate = _other_rate(rows, 1e6 / self.period_us)
        return [rows[start : start + self.n_points] for start in starts[is_even]]

    def _stretch_edges(self, rows: Rows) -> NDArray[np.int64]:
        """First row of each stretch, and the number of rows."""
        is_off = np.abs(np.diff(rows.time_us) - self.period_us) > TIME_RESOLUTION_US
        is_off |= np.diff(rows.record) != 0
        return np.concatenate(([0], np.flatnonzero(is_off) + 1, [len(rows)]))

    def _segment_starts(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        count = np.diff(edges) // self.n_points
        nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        starts: NDArray[np.int64] = np.repeat(edges[:-1], count) + nth * self.n_points
        return starts

    def _is_even(self, rows: Rows, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        span_us = (self.n_points - 1) * self.period_us
        found_us = rows.time_us[starts + self.n_points - 1] - rows.time_us[starts]
        is_even: NDArray[np.bool_] = np.abs(found_us - span_us) <= RATE_TOLERANCE * span_us + TIME_RESOLUTION_US
        return is_even

    def _without_repeats(self, rows: Rows) -> Rows:
        is_new = np.ones(len(rows), np.bool_)
        is_new[1:] = (np.diff(rows.time_us) != 0) | (np.diff(rows.record) != 0)
        self.duplicates += len(rows) - int(is_new.sum())
        return rows if is_new.all() else rows[is_new]

    def _without_given(self, rows: Rows, given: Sequence[Rows]) -> Rows:
        """Rows that do not lie inside a segment that was handed over before the order broke."""
        is_new = np.ones(len(rows), np.bool_)
        ends = join(given)
        for record in np.unique(ends.record):
            first, last = ends.time_us[ends.record == record].reshape(-1, 2).T
            low, high = np.searchsorted(rows.record, [record, record + 1])
            time_us = rows.time_us[low:high]
            segment = np.searchsorted(first, time_us, side="right") - 1
            is_new[low:high] = (segment < 0) | (time_us > last[segment])
        self.duplicates += len(rows) - int(is_new.sum())
        return rows[is_new]

    def _count_lost(self, rows: Rows, starts: NDArray[np.int64]) -> int:
        is_lost = np.ones(len(rows), np.bool_)
        for start in starts:
            is_lost[start : start + self.n_points] = False
        lost = rows[is_lost]
        is_first = np.ones(len(lost), np.bool_)
        is_first[1:] = (np.diff(lost.time_us) > BURST_GAP_US) | (np.diff(lost.record) != 0)
        n_rows = np.diff(np.append(np.flatnonzero(is_first), len(lost)))
        return int((-(-n_rows // self.n_points)).sum())


def join(parts: Sequence[Rows]) -> Rows:
    """One after the other."""
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else NO_ROWS
    return Rows(
        np.concatenate([part.record for part in filled]),
        np.concatenate([part.time_us for part in filled]),
        np.concatenate([part.value for part in filled]),
    )


def _is_sorted(rows: Rows) -> bool:
    record_step = np.diff(rows.record)
    return not ((record_step < 0) | ((record_step == 0) & (np.diff(rows.time_us) < 0))).any()


def _other_rate(rows: Rows, sample_rate: float) -> float | None:
    """Rate at which nine in ten rows follow each other, if it is not `sample_rate`."""
    step_us = np.diff(rows.time_us)[np.diff(rows.record) == 0]
    if not len(step_us):
        return None
    is_typical = np.abs(step_us - np.median(step_us)) <= TIME_RESOLUTION_US
    rate = 1e6 / float(step_us[is_typical].mean())
    is_other = abs(rate / sample_rate - 1) > RATE_TOLERANCE
    return rate if is_other and is_typical.mean() >= 0.9 else None
