"""Cutting of timed rows, compared with a loop over sorted rows."""

from collections.abc import Iterator

import numpy as np
import pytest

from tiles_ecg.reader.bursts import BurstCutter, Rows

N = 5  # time points in a segment, at 250 Hz


def rows(record: list[int], time_ms: list[int]) -> Rows:
    """Rows whose value tells their place in the list."""
    return Rows(
        np.array(record, np.int32), np.array(time_ms, np.int64) * 1000, np.arange(len(time_ms), dtype=np.float32)
    )


def random_rows(rng: np.random.Generator) -> Rows:
    """Bursts of 1 to 14 points, some with a hole, in three records, in order; one in ten rows twice."""
    record, time_ms = [], []
    for k in range(40):
        points = 2000 * k + 4 * np.arange(rng.integers(1, 15)) + rng.integers(0, 2)
        points = np.delete(points, 3) if rng.random() < 0.2 and len(points) > 3 else points
        points = np.sort(np.append(points, points[rng.random(len(points)) < 0.1]))
        record += [k // 15] * len(points)
        time_ms += points.tolist()
    return rows(record, time_ms)


def by_loop(all_rows: Rows) -> list[tuple[int, int, list[float]]]:
    """(record, first time, values) of each segment: sort, keep the first of repeated rows, walk, cut."""
    first: dict[tuple[int, int], float] = {}
    for record, time, value in zip(all_rows.record, all_rows.time_us, all_rows.value, strict=True):
        first.setdefault((int(record), int(time)), float(value))
    found, run = [], list[tuple[int, int]]()
    for key in sorted(first):
        if run and (key[0] != run[-1][0] or abs(key[1] - run[-1][1] - 4000) > 1000):
            run = []
        run.append(key)
        if len(run) == N:
            found.append((*run[0], [first[key] for key in run]))
            run = []
    return found


def cut(cutter: BurstCutter, all_rows: Rows, size: int) -> list[tuple[int, int, list[float]]]:
    blocks = (all_rows[start : start + size] for start in range(0, len(all_rows), size))
    return [
        (int(segment.record[0]), int(segment.time_us[0]), segment.value.tolist())
        for segments in cutter.cut(blocks)
        for segment in segments
    ]


@pytest.mark.parametrize("seed", range(20))
def test_rows_in_order_give_what_a_loop_gives_for_any_block_size(seed: int) -> None:
    all_rows = random_rows(np.random.default_rng(seed))
    for size in (1, 7, 64, 1000):
        cutter = BurstCutter(N, 250.0, max_held=3)
        assert cut(cutter, all_rows, size) == by_loop(all_rows)
        assert cutter.is_sorted
        assert cutter.n_complete == len(by_loop(all_rows))


@pytest.mark.parametrize("seed", range(20))
def test_rows_out_of_order_give_what_a_loop_gives_for_any_block_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    all_rows = random_rows(rng)
    all_rows = all_rows[rng.permutation(len(all_rows))]
    for size in (7, 64, 1000):
        cutter = BurstCutter(N, 250.0)
        assert cut(cutter, all_rows, size) == by_loop(all_rows)
        assert not cutter.is_sorted


@pytest.mark.parametrize("size", [1, 4, 30, 1000])
def test_what_is_lost_is_counted_the_same_in_any_order(size: int) -> None:
    one, two = 4 * np.arange(12), 5000 + 4 * np.arange(4)  # 2 segments and 2 rows; 4 rows
    three = np.delete(9000 + 4 * np.arange(9), 2)  # a hole: 2 rows, 1 segment, 1 row
    four = 20000 + 5 * np.arange(5)  # 200 Hz
    time_ms = np.concatenate([one, two, three, four, three])
    for order in (np.argsort(time_ms, kind="stable"), np.arange(len(time_ms)), np.arange(len(time_ms))[::-1]):
        cutter = BurstCutter(N, 250.0)
        assert len(cut(cutter, rows([0] * len(time_ms), time_ms[order].tolist()), size)) == 3
        assert (cutter.incomplete, cutter.uneven, cutter.duplicates) == (3, 1, len(three))


def test_rows_that_come_again_after_their_segments_were_handed_over_are_dropped() -> None:
    time_ms = [1000 * k + 4 * i for k in range(8) for i in range(N)]
    cutter = BurstCutter(N, 250.0, max_held=2)
    late = [20000, 20004, *time_ms[3:30], 20008, 20012, 20016]
    found = cut(cutter, rows([0] * (len(time_ms) + len(late)), time_ms + late), 10)
    assert [time for _, time, _ in found] == [1_000_000 * k for k in range(8)] + [20_000_000]
    assert (cutter.duplicates, cutter.incomplete) == (27, 0)


def test_rows_in_order_are_handed_over_before_the_file_ends() -> None:
    taken = 0

    def blocks() -> Iterator[Rows]:
        nonlocal taken
        for k in range(100):
            taken += 1
            yield rows([0] * N, [1000 * k + 4 * i for i in range(N)])

    segments = BurstCutter(N, 250.0, max_held=4).cut(blocks())
    assert len(next(segments)) == 4
    assert taken <= 6


@pytest.mark.parametrize(("step_ms", "rate"), [(8, 125.0), (2, 500.0), (5, 200.0), (4, None)])
def test_another_rate_is_found_when_nothing_fits(step_ms: int, rate: float | None) -> None:
    cutter = BurstCutter(1000, 250.0)
    cut(cutter, rows([0] * 900, [step_ms * i for i in range(900)]), 100)
    assert cutter.other_rate == (None if rate is None else pytest.approx(rate))


def test_no_rows_give_no_segments() -> None:
    cutter = BurstCutter(N, 250.0)
    assert list(cutter.cut([])) == [[]]
    assert (cutter.n_complete, cutter.other_rate) == (0, None)
