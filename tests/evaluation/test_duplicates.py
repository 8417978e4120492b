"""Near-duplicates: copies of hand-made recordings, cut and changed in every way, against what was done to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.signal import butter, resample_poly, sosfiltfilt

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation import duplicates as module
from tiles_ecg.evaluation.duplicate_candidates import alike_in_place, strongest
from tiles_ecg.evaluation.duplicate_correlation import best_correlation
from tiles_ecg.evaluation.duplicate_sketch import sketch_windows
from tiles_ecg.evaluation.duplicates import Duplicate, inseparable_subjects, near_duplicates, search_notes
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.protocol import Protocol
from tiles_ecg.recording import Recording, Source
from tiles_ecg.task.target import assemble

RATE = 100.0
Signal = np.ndarray[Any, Any]


@dataclass
class MadeReader:
    """The recordings given, each a source."""

    recordings: list[Recording]
    labels: tuple[()] = ()

    def sources(self) -> list[Source]:
        return [Source(recording.id) for recording in self.recordings]

    def read(self, source: Source) -> Iterator[Recording]:
        yield from (recording for recording in self.recordings if recording.id == source.key)


def heartbeats(seed: int, duration_s: float = 46.0, regular: bool = False, rate: float = RATE) -> Signal:
    """An ECG of Gaussian waves: P, Q, R, S and T of a shape and a rhythm of its own, and a little noise."""
    rng = np.random.default_rng(seed)
    rr_s = 0.8 if regular else rng.uniform(0.6, 1.0)
    beats = np.cumsum(rr_s + rng.normal(0, 0.01 if regular else 0.04, round(duration_s / rr_s) + 3)) - 1
    time = np.arange(round(duration_s * rate)) / rate
    signal = 0.01 * rng.standard_normal(len(time))
    waves = ((-0.18, 0.04, 0.15), (-0.03, 0.012, -0.15), (0.0, 0.014, 1.1), (0.035, 0.014, -0.3), (0.26, 0.07, 0.3))
    for at, width, height in waves:
        centre, own_width, own_height = (
            at * rng.uniform(0.85, 1.15),
            width * rng.uniform(0.8, 1.3),
            height * rng.uniform(0.5, 1.5),
        )
        for beat in beats:
            signal += own_height * np.exp(-0.5 * ((time - beat - centre) / own_width) ** 2)
    return signal


def store(
    path: Path, signals: dict[str, Signal], window_s: float = 15.0, step_s: float = 0.0, rate: float = RATE
) -> Path:
    """A store at 100 Hz of one recording, of one subject, for each signal, (T,) or (C, T)."""
    recordings = [
        Recording(
            name,
            np.atleast_2d(signal).astype(np.float32)[None],
            rate,
            tuple("XYZ"[: np.atleast_2d(signal).shape[0]]),
            name,
        )
        for name, signal in signals.items()
    ]
    settings = {"sample_rate": RATE, "low_hz": 0.5, "high_hz": 40.0, "window_s": window_s, "step_s": step_s or window_s}
    config = {"reader": {}, "preparation": settings}
    return prepare(MadeReader(recordings), Preparation(**settings), path, config, n_jobs=1, show_progress=False)


def others() -> dict[str, Signal]:
    return {f"other {seed}": heartbeats(seed) for seed in range(100, 106)}


def search(*windows: Windows, **options: Any) -> list[Duplicate]:
    return near_duplicates(windows[0], np.arange(len(windows[0])), *windows[1:], **options)


def ids(windows: Windows, rows: list[int]) -> list[str]:
    return [windows.subject_id[windows.subject[row]] for row in rows]


CHANGES: dict[str, Callable[[Signal], Signal]] = {
    "the same samples": lambda x: x,
    "gain and offset": lambda x: 3.7 * x - 2,
    "inverted": lambda x: -0.5 * x,
    "noise 40 dB below": lambda x: x + x.std() / 100 * np.random.default_rng(0).standard_normal(x.shape),
    "7 bits": lambda x: np.round(x / np.ptp(x) * 128),
    "a narrower band": lambda x: sosfiltfilt(butter(2, [0.8, 32], "bandpass", fs=RATE, output="sos"), x),
    "inverted with noise": lambda x: 5 - 2 * x + 0.004 * np.random.default_rng(0).standard_normal(x.shape),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_of_a_recording_is_found_and_nothing_else(change: str, tmp_path: Path) -> None:
    original = heartbeats(1)
    windows = Windows([store(tmp_path / "s.h5", {"a": original, "b": CHANGES[change](original), **others()})])
    found = search(windows)
    assert [(pair.first, pair.second) for pair in found] == [(0, 3), (1, 4), (2, 5)]  # three windows of 15 s each
    assert all(pair.shift_s == pytest.approx(0, abs=0.005) for pair in found)
    sign = -1 if change.startswith("inverted") else 1
    assert all(0.985 <= sign * pair.correlation <= 1 for pair in found)


def test_windows_without_beats_are_found_in_place(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((3, 1600))
    windows = Windows([store(tmp_path / "s.h5", {"a": noise[0], "b": noise[1], "c": 2 * noise[0], "d": noise[2]})])
    assert [ids(windows, [pair.first, pair.second]) for pair in search(windows)] == [["a", "c"]]


@pytest.mark.parametrize("inverted", [False, True])
def test_a_copy_cut_later_and_in_other_windows_is_found_where_it_lies(inverted: bool, tmp_path: Path) -> None:
    original, cut_s = heartbeats(2), 3.21
    copy = (-2 if inverted else 2) * original[round(cut_s * RATE) :]
    windows = Windows([store(tmp_path / "s.h5", {"a": original, **others()})])
    other = Windows([store(tmp_path / "o.h5", {"new": copy, "stranger": heartbeats(3)}, window_s=10)])
    found = search(windows, other)
    starts = windows.stores[0].read("window/start_s"), other.stores[0].read("window/start_s")
    expected_s = {  # where both show 7 s or more of one recording
        (i, j): cut_s + starts[1][j] - starts[0][i]
        for i in np.flatnonzero(windows.recording == 0).tolist()
        for j in np.flatnonzero(other.recording == 0).tolist()
        if min(starts[0][i] + 15, cut_s + starts[1][j] + 10) - max(starts[0][i], cut_s + starts[1][j]) >= 7
    }
    shift_s = {(pair.first, pair.second): pair.shift_s for pair in found}
    assert set(expected_s) <= set(shift_s)
    assert len(expected_s) >= 3
    for pair, expected in expected_s.items():
        assert shift_s[pair] == pytest.approx(expected, abs=0.005)
    assert set(ids(windows, [pair.first for pair in found]) + ids(other, [pair.second for pair in found])) == {
        "a",
        "new",
    }


def test_a_copy_is_found_although_it_was_resampled_between_time_points(tmp_path: Path) -> None:
    raw = heartbeats(4, rate=300.0)
    windows = Windows([store(tmp_path / "s.h5", {"a": raw, "b": raw[500:], **others_at(300.0)}, rate=300.0)])
    found = search(windows)
    assert {tuple(ids(windows, [pair.first, pair.second])) for pair in found} == {("a", "b")}
    assert min(abs(pair.shift_s - 500 / 300) for pair in found) < 0.006
    assert min(pair.correlation for pair in found) > 0.995


def others_at(rate: float) -> dict[str, Signal]:
    return {name: resample_poly(signal, round(rate / RATE), 1) for name, signal in others().items()}


def test_windows_of_one_recording_are_never_reported_however_they_overlap(tmp_path: Path) -> None:
    windows = Windows([store(tmp_path / "s.h5", {"a": heartbeats(1), "b": heartbeats(2)}, step_s=5)])
    assert search(windows) == []


def test_different_synthetic_subjects_are_not_duplicates(small_store: Path, other_store: Path) -> None:
    together = Windows([small_store, other_store])
    assert search(together) == []
    assert search(Windows([small_store]), Windows([other_store])) == []


def test_hearts_of_one_rate_that_vary_by_10_ms_are_not_duplicates(tmp_path: Path) -> None:
    windows = Windows([store(tmp_path / "s.h5", {str(seed): heartbeats(seed, regular=True) for seed in range(12)})])
    assert search(windows) == []


def test_the_same_transient_of_the_recorder_makes_no_duplicates(tmp_path: Path) -> None:
    step = np.where(np.arange(1600) < 300, 0.0, 200 * np.exp(-(np.arange(1600) - 300) / 40))
    windows = Windows([store(tmp_path / "s.h5", {str(seed): heartbeats(seed, 16.0) + step for seed in range(5)})])
    signal = windows.gather(np.arange(5)).signal[:, 0].numpy()
    assert np.corrcoef(signal).min() > 0.985
    assert search(windows) == []


def test_flat_windows_are_not_duplicates_and_a_lead_flat_in_both_does_not_count(tmp_path: Path) -> None:
    beats, flat = heartbeats(1), np.full(4600, 3.0)
    signals = {
        "a": [beats, flat],
        "b": [2 * beats, flat],
        "c": [heartbeats(2), flat],
        "d": [flat, flat],
        "e": [flat, flat],
    }
    windows = Windows([store(tmp_path / "s.h5", {name: np.array(leads) for name, leads in signals.items()})])
    assert {tuple(ids(windows, [pair.first, pair.second])) for pair in search(windows)} == {("a", "b")}


def test_the_sketches_propose_what_a_loop_over_all_correlations_finds(tmp_path: Path) -> None:
    base = others()
    copies = {
        f"copy of {name}": signal + 0.003 * np.cumsum(np.random.default_rng(1).standard_normal(len(signal)))
        for name, signal in base.items()
    }
    windows = Windows([store(tmp_path / "s.h5", base | copies)])
    signal = windows.gather(np.arange(len(windows))).signal[:, 0].numpy()
    expected = {
        (i, j)
        for i in range(len(signal))
        for j in range(i + 1, len(signal))
        if abs(np.corrcoef(signal[i], signal[j])[0, 1]) >= 0.985
    }
    assert len(expected) >= 6
    candidates = strongest(alike_in_place(sketch_windows(windows, np.arange(len(windows))), None, 0.97))
    assert expected <= set(zip(candidates.first.tolist(), candidates.second.tolist(), strict=True))


def test_the_best_correlation_is_that_at_a_delay_between_time_points() -> None:
    time, delay = np.arange(1500) / RATE, 0.0125  # 1.25 time points
    rng = np.random.default_rng(0)
    frequency, phase = rng.uniform(4, 18, 30), rng.uniform(0, 6, 30)
    a, b, c = (np.sin(2 * np.pi * frequency * (time[:, None] - d) + phase).sum(1) for d in (0, delay, 0))
    c = c + np.sin(2 * np.pi * rng.uniform(4, 18, 30) * time[:, None]).sum(1)
    pairs = [np.stack(side)[:, None].astype(np.float32) for side in ([a, a, a], [-b, c, 3 * a])]
    correlation, shift = best_correlation(*pairs, np.ones((3, 1500), bool), RATE)
    assert correlation[0] == pytest.approx(-1, abs=2e-3)
    assert shift[0] == -1.25
    assert correlation[1] == pytest.approx(np.corrcoef(a, c)[0, 1], abs=0.02)
    assert correlation[2] == pytest.approx(1, abs=1e-5)


def test_a_store_of_another_rate_or_number_of_leads_is_refused(
    tmp_path: Path, make_store: Callable[..., Path], small_store: Path
) -> None:
    slower = Windows([make_store(tmp_path / "slow.h5", sample_rate=125.0, n_subjects=2, session_h=0.3)])
    with pytest.raises(
        ValueError, match=r"small\.h5 and .*slow\.h5: 100 and 125 Hz; near-duplicates are found between"
    ):
        search(Windows([small_store]), slower)
    beats = heartbeats(1)
    two = Windows([store(tmp_path / "two.h5", {"a": np.array([beats, -beats])})])
    with pytest.raises(ValueError, match=r"two\.h5: 1 and 2 leads"):
        search(Windows([small_store]), two)
    with pytest.raises(ValueError, match=r"threshold = 1\.5"):
        search(Windows([small_store]), threshold=1.5)


def test_short_windows_and_rows_left_out_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = heartbeats(1)
    windows = Windows([store(tmp_path / "s.h5", {"a": original, "b": original, **others()})])
    every = np.arange(len(windows))
    assert search_notes(windows, every) == []
    monkeypatch.setattr(module, "MOST_WINDOWS", 12)
    found = search(windows)
    assert [(pair.first, pair.second) for pair in found] == [(0, 3), (2, 5)]  # every second window of each recording
    assert search_notes(windows, every) == [
        "near-duplicates were searched among 16 of 24 windows, evenly in each recording of s.h5"
    ]
    short = Windows([store(tmp_path / "short.h5", {"a": original}, window_s=3)])
    assert any("other length" in note for note in search_notes(windows, every[:3], short))
    assert any("windows of 3 s are too short" in note for note in search_notes(windows, every[:3], short))
    assert search(windows, short) == []


def test_only_the_rows_given_are_searched(tmp_path: Path) -> None:
    original = heartbeats(1)
    windows = Windows([store(tmp_path / "s.h5", {"a": original, "b": original})])
    found = near_duplicates(windows, np.array([1, 2, 3, 4]))
    assert [(pair.first, pair.second) for pair in found] == [(1, 4)]
    found = near_duplicates(windows, np.array([0, 2]), windows, np.array([5, 4]))
    assert [(pair.first, pair.second) for pair in found] == [(2, 5)]
    assert near_duplicates(windows, np.zeros(0, np.int64)) == []


def test_many_copies_of_one_recording_become_one_group(tmp_path: Path) -> None:
    original = heartbeats(1, 16.0)
    copies = {f"copy {number:02}": (number + 1) * original for number in range(40)}
    windows = Windows(
        [store(tmp_path / "s.h5", copies | {f"x {seed}": heartbeats(seed, 16.0) for seed in range(50, 56)})]
    )
    target = one_example_a_window(windows)
    pairs = inseparable_subjects(windows, target, search(windows))
    plan = Protocol(folds=2, inner_folds=2).plan(windows, target, pairs)
    assert len(np.unique(plan.group[:40])) == 1
    assert len(np.unique(plan.group)) == 7


def one_example_a_window(windows: Windows) -> Any:
    n = len(windows)
    every = np.arange(n)
    names = [f"window {row}" for row in range(n)]
    return assemble(
        windows, every, every, np.linspace(0, 1, n), names, name="made", kind="regression", level="window", metric="mae"
    )


def test_inseparable_are_different_subjects_only(tmp_path: Path) -> None:
    windows = Windows(
        [store(tmp_path / "s.h5", {"b": heartbeats(1, 31.0), "a": heartbeats(2, 31.0), "c": heartbeats(3, 31.0)})]
    )
    target = one_example_a_window(windows)
    assert target.subject_id == ("a", "b", "c")
    assert windows.subject_id == ["a", "b", "c"]
    found = [Duplicate(5, 0, 1.0, 0.0), Duplicate(0, 4, 1.0, 0.0), Duplicate(1, 5, 1.0, 0.0), Duplicate(0, 1, 1.0, 0.0)]
    assert inseparable_subjects(windows, target, found) == [(0, 2)]


def test_the_copies_that_cinc2017_holds_are_found(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "cinc2017" / "training2017"
    copies = ["A02656", "A03123", "A03530"]
    if not all((folder / f"{name}.mat").is_file() for name in copies):
        pytest.skip(f"no cinc2017 in {folder}")
    names = sorted({*copies, *sorted(path.stem for path in folder.glob("A*.mat"))[:40]})
    signals = {name: loadmat(folder / f"{name}.mat")["val"][0] / 1000 for name in names}
    windows = Windows([store(tmp_path / "s.h5", signals, rate=300.0)])
    pairs = {tuple(ids(windows, [pair.first, pair.second])) for pair in search(windows)}
    assert pairs == {("A02656", "A03123"), ("A02656", "A03530"), ("A03123", "A03530")}
