"""Windows of stores, gathered by batches, against the store read row by row with NumPy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiles_ecg.dataset.windows import DeviceWindows, Normalise, Windows
from tiles_ecg.store import Store, StoreError, StoreWriter

SHUFFLED = np.array([17, 3, 99, 3, 0, 143], np.int64)


def raw(store: Store, row: int) -> np.ndarray:
    return store.signal.gather(np.array([row]))[0].astype(np.float64)


@pytest.mark.parametrize("normalise", ["subject", "subject_robust", "window", "none"])
def test_normalisation_equals_numpy(small_store: Path, normalise: Normalise) -> None:
    store, batch = Store(small_store), Windows([small_store], normalise).gather(SHUFFLED)
    everything = store.signal.gather(np.arange(len(store))).astype(np.float64)
    for at, row in enumerate(SHUFFLED):
        own = everything[store.subject == store.subject[row]] if normalise.startswith("subject") else raw(store, row)
        low, middle, high = np.percentile(own, [25, 50, 75])
        location, scale = {
            "none": (0.0, 1.0),
            "subject_robust": (middle, (high - low) / 1.349),
        }.get(normalise, (own.mean(), own.std()))
        np.testing.assert_allclose(batch.signal[at].numpy(), (raw(store, row) - location) / scale, atol=2e-4)


def test_beats_stand_where_the_store_says(small_store: Path) -> None:
    store, batch = Store(small_store), Windows([small_store]).gather(SHUFFLED)
    for at, row in enumerate(SHUFFLED):
        expected = store.beat_position[store.beat_offset[row] : store.beat_offset[row + 1]]
        np.testing.assert_array_equal(np.flatnonzero(batch.beat[at].numpy()), expected)


def test_a_batch_has_the_types_of_its_contract(small_store: Path) -> None:
    batch = Windows([small_store]).gather(SHUFFLED)
    assert batch.signal.shape == (6, 1, 1500)
    assert [part.dtype for part in batch] == [torch.float32, torch.bool, torch.int64, torch.int64]
    assert batch.index.tolist() == SHUFFLED.tolist()
    assert batch.subject.tolist() == Store(small_store).subject[SHUFFLED].tolist()


def test_subjects_and_recordings_of_several_stores_are_numbered_through(small_store: Path, other_store: Path) -> None:
    windows, first, second = Windows([small_store, other_store]), Store(small_store), Store(other_store)
    assert len(windows) == len(first) + len(second)
    np.testing.assert_array_equal(windows.subject, np.concatenate([first.subject, second.subject + 6]))
    np.testing.assert_array_equal(windows.recording, np.concatenate([first.recording, second.recording + 12]))
    assert windows.subject_id == [*first.subject_id, *second.subject_id]


def test_one_batch_may_hold_windows_of_several_stores_in_any_order(small_store: Path, other_store: Path) -> None:
    together = Windows([small_store, other_store]).gather(np.array([144 + 5, 2, 144, 143]))
    first, second = Windows([small_store]), Windows([other_store])
    alone = [second.gather(np.array([5])), first.gather(np.array([2])), second.gather(np.array([0]))]
    for at, batch in enumerate(alone):
        assert torch.equal(together.signal[at], batch.signal[0])
        assert torch.equal(together.beat[at], batch.beat[0])
    assert together.subject[2] == 6


def test_a_flat_window_stays_zero_and_finite(tmp_path: Path) -> None:
    write_store(tmp_path / "flat.h5", np.full((2, 1, 100), 3.0, np.float32))
    for normalise in ("subject", "subject_robust", "window"):
        signal = Windows([tmp_path / "flat.h5"], normalise).gather(np.array([0, 1])).signal
        assert torch.equal(signal, torch.zeros(2, 1, 100))


def test_each_lead_has_its_own_statistics(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    signal = generator.normal(size=(4, 2, 300)).astype(np.float32) * np.array([[[1.0], [50.0]]], np.float32)
    write_store(tmp_path / "two.h5", signal)
    gathered = Windows([tmp_path / "two.h5"]).gather(np.arange(4)).signal
    torch.testing.assert_close(gathered.std((0, 2), correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_windows_held_on_a_device_equal_those_gathered_from_disk(small_store: Path) -> None:
    windows = Windows([small_store])
    held = DeviceWindows(windows, torch.device("cpu")).gather(torch.from_numpy(SHUFFLED))
    for a, b in zip(held, windows.gather(SHUFFLED), strict=True):
        assert torch.equal(a, b)


def test_what_windows_take_on_a_device_is_known_before(small_store: Path) -> None:
    windows = Windows([small_store])
    held = DeviceWindows(windows, torch.device("cpu"))
    assert DeviceWindows.n_bytes(windows) == held.signal.nbytes + held.beat.nbytes


@pytest.mark.parametrize("sample_rate", [125.0])
def test_stores_that_differ_are_refused_by_name(
    small_store: Path, tmp_path: Path, make_store: Callable[..., Path], sample_rate: float
) -> None:
    other = make_store(tmp_path / "fast.h5", sample_rate=sample_rate, n_subjects=1, session_h=0.2)
    with pytest.raises(StoreError, match=r"fast.h5: sample_rate 125.0, but 100.0 in .*small.h5"):
        Windows([small_store, other])


def test_no_store_at_all_is_refused() -> None:
    with pytest.raises(StoreError, match=r"give dataset.store=FILE.h5"):
        Windows([])


def test_a_label_is_missing_for_the_windows_of_stores_without_it(small_store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "plain.h5", np.zeros((3, 1, 1500), np.float32))
    label = Windows([small_store, tmp_path / "plain.h5"]).label("rhythm")
    assert label.is_missing.tolist() == [False] * 144 + [True] * 3


def test_a_label_of_another_meaning_is_missing(small_store: Path, other_store: Path, tmp_path: Path) -> None:
    from tiles_ecg.label import Label
    from tiles_ecg.recording import LabelSpec

    spec = LabelSpec("rhythm", "window", "categorical", ("af", "sinus"))  # the same codes would mean the opposite
    signal = np.zeros((3, 1, 1500), np.float32)
    write_store(tmp_path / "turned.h5", signal, Label(spec, np.zeros(3, np.int16)))
    assert Windows([small_store, other_store]).label("rhythm").is_missing.sum() == 0
    assert Windows([small_store, tmp_path / "turned.h5"]).label("rhythm").is_missing[144:].all()


def test_an_unknown_label_is_refused_with_those_there_are(small_store: Path) -> None:
    with pytest.raises(StoreError, match=r"no store has a label 'mood'; there are .*rhythm"):
        Windows([small_store]).label("mood")


def test_the_heart_rate_is_that_of_the_median_interval(small_store: Path, tmp_path: Path) -> None:
    windows, store = Windows([small_store]), Store(small_store)
    beats = [store.beat_position[store.beat_offset[row] : store.beat_offset[row + 1]] for row in SHUFFLED]
    expected = [60 * 100 / np.median(np.diff(beat)) for beat in beats]
    np.testing.assert_allclose(windows.heart_rate(SHUFFLED), expected, rtol=1e-6)
    write_store(tmp_path / "beatless.h5", np.zeros((2, 1, 1500), np.float32))
    assert np.isnan(Windows([tmp_path / "beatless.h5"]).heart_rate(np.arange(2))).all()


def write_store(path: Path, signal: np.ndarray, *labels: object) -> None:
    """A store of one subject, one recording and no beats, written by hand."""
    n, n_leads, _ = signal.shape
    own = signal.astype(np.float64).transpose(1, 0, 2).reshape(n_leads, -1)
    low, middle, high = np.percentile(own, [25, 50, 75], axis=1)
    with StoreWriter(path, signal.shape) as writer:
        writer.write_signal(0, signal)
        writer.write_columns(
            {
                "window/subject": np.zeros(n, np.int32),
                "window/recording": np.zeros(n, np.int32),
                "window/quality": np.ones(n, np.float32),
                "beat/position": np.empty(0, np.int32),
                "beat/offset": np.zeros(n + 1, np.int64),
                "subject/id": ["only"],
                "subject/mean": own.mean(1)[None],
                "subject/std": own.std(1)[None],
                "subject/median": middle[None],
                "subject/robust_std": (high - low)[None] / 1.349,
            }
        )
        for label in labels:
            writer.write_label(label)  # type: ignore[arg-type]
        writer.write_attributes({"sample_rate": 100.0, "unit": "mV", "digest": "made by hand", "config": "{}"})


def test_heart_rates_are_those_of_a_loop_over_windows(small_store: Path, other_store: Path) -> None:
    windows = Windows([small_store, other_store])
    few = windows.stores[0]
    few.beat_offset = few.beat_offset.copy()
    few.beat_offset[3:6] = few.beat_offset[3]  # windows 3 and 4 are without beats; 2 and 5 hold those of others
    few.beat_offset[8] = few.beat_offset[7] + 2  # two beats
    rows = np.random.default_rng(0).permutation(len(windows))
    expected = np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        store, local = (few, row) if row < len(few) else (windows.stores[1], row - len(few))
        beats = store.beat_position[store.beat_offset[local] : store.beat_offset[local + 1]]
        if len(beats) >= 3:
            expected[at] = 60 * store.sample_rate / np.median(np.diff(beats))
    assert np.isnan(expected[np.isin(rows, [3, 4, 7])]).all()
    np.testing.assert_allclose(windows.heart_rate(rows), expected, rtol=1e-6)
