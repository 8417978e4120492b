"""The store against h5py and NumPy, and every way a file can be no store."""

import contextlib
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tiles_ecg.label import Label
from tiles_ecg.recording import LabelSpec
from tiles_ecg.store import FORMAT_VERSION, Store, StoreError, StoreWriter

N, C, T = 7, 2, 50
WINDOWS = np.random.default_rng(0).normal(size=(N, C, T)).astype(np.float32)
RHYTHM = LabelSpec("rhythm", "window", "categorical", ("n", "v"))
SEX = LabelSpec("sex", "recording", "categorical", ("female", "male"))
AGE = LabelSpec("age", "subject", "continuous", unit="year")


def write(path: Path, **attributes: Any) -> Path:
    with StoreWriter(path, (N, C, T)) as writer:
        writer.write_signal(0, WINDOWS[:4])
        writer.write_signal(4, WINDOWS[4:])
        writer.write_columns(
            {
                "window/subject": np.array([0, 0, 0, 1, 1, 1, 1], np.int32),
                "window/recording": np.array([0, 0, 1, 2, 2, 2, 2], np.int32),
                "window/quality": np.linspace(0, 1, N, dtype=np.float32),
                "beat/offset": np.arange(N + 1) * 2,
                "beat/position": np.arange(2 * N, dtype=np.int32),
                "subject/id": ["anna", "ben ümlaut"],
            }
        )
        writer.write_label(Label(RHYTHM, np.array([0, 1, -1, 0, 0, 1, 0], np.int16)))
        writer.write_label(Label(SEX, np.array([0, -1, 1], np.int16)))
        writer.write_label(Label(AGE, np.array([30.5, np.nan], np.float32)))
        texts = {"config": '{"reader": {}}', "summary": '{"windows": 7}', "digest": "abc", "package_version": "0.0.9"}
        writer.write_attributes({"sample_rate": 100.0, "unit": "mV", **texts, **attributes})
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.h5")


def test_the_signal_gathers_what_h5py_reads(path: Path) -> None:
    rows = np.array([6, 0, 3, 3])
    with h5py.File(path) as file:
        signal = file["signal"][:]
        assert (file["signal"].chunks, file["signal"].compression, file["signal"].attrs["unit"]) == (None, None, "mV")
    np.testing.assert_array_equal(signal, WINDOWS)
    np.testing.assert_array_equal(Store(path).signal.gather(rows), signal[rows])


def test_an_opened_store_knows_its_shape_units_and_tables(path: Path) -> None:
    store = Store(path)
    assert (len(store), store.n_windows, store.n_leads, store.window_length) == (N, N, C, T)
    assert (store.sample_rate, store.window_s, store.unit, store.digest) == (100.0, 0.5, "mV", "abc")
    assert (store.config, store.summary) == ({"reader": {}}, {"windows": 7})
    assert store.subject_id == ["anna", "ben ümlaut"]
    assert store.read("subject/id").tolist() == ["anna", "ben ümlaut"]
    assert store.beat_offset.tolist() == store.read("beat/offset").tolist() == list(range(0, 2 * N + 1, 2))


def test_a_label_of_any_level_comes_with_one_value_a_window(path: Path) -> None:
    store = Store(path)
    assert store.labels == {"rhythm": RHYTHM, "sex": SEX, "age": AGE}
    assert store.label("rhythm").value.tolist() == [0, 1, -1, 0, 0, 1, 0]
    assert store.label("sex").value.tolist() == [0, 0, -1, 1, 1, 1, 1]
    np.testing.assert_array_equal(store.label("age").value, np.float32([30.5] * 3 + [np.nan] * 4))
    assert store.label("age").is_missing.tolist() == [False] * 3 + [True] * 4


def test_an_unknown_column_or_label_lists_those_there_are(path: Path) -> None:
    with pytest.raises(StoreError, match=r"a\.h5: no column 'window/rhythm'; there are .*window/label/rhythm"):
        Store(path).read("window/rhythm")
    with pytest.raises(StoreError, match=r"a\.h5: no column 'window'; there are"):
        Store(path).read("window")
    with pytest.raises(StoreError, match=r"a\.h5: no label 'weight'; there are rhythm, sex, age"):
        Store(path).label("weight")


def test_a_pickled_store_opens_anew(path: Path) -> None:
    store = Store(path)
    store.signal.gather(np.arange(2))
    data = pickle.dumps(store)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).signal.gather(np.arange(N)), WINDOWS)


def test_text_of_any_length_fits_into_the_attributes(tmp_path: Path) -> None:
    long = '{"reader": "' + "x" * 200_000 + '"}'
    store = Store(write(tmp_path / "a.h5", config=long, notes="ü" * 100_000))
    assert store.config == {"reader": "x" * 200_000}
    assert store.attributes["notes"] == "ü" * 100_000


def test_a_label_may_have_thousands_of_classes(tmp_path: Path) -> None:
    spec = LabelSpec("code", "window", "categorical", tuple(f"class {number:05d}" for number in range(10_000)))
    with StoreWriter(tmp_path / "a.h5", (1, 1, 5)) as writer:
        writer.write_label(Label(spec, np.array([9_999], np.int16)))
    with h5py.File(tmp_path / "a.h5") as file:
        assert "class 09999" in file["window/label/code"].attrs["classes"]


def test_the_scratch_file_is_gone_whether_writing_ends_well_or_not(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]
    writer = StoreWriter(tmp_path / "b.h5", (N, C, T)).__enter__()
    writer.write_signal(0, WINDOWS)
    writer.__exit__(RuntimeError)
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_a_failed_writer_leaves_the_store_that_was_there_before(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"), StoreWriter(path, (1, 1, 5)):
        raise RuntimeError("stop")
    assert path.read_bytes() == before


def test_a_missing_store_is_an_error_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"b\.h5: no such store; make it with: tiles-prepare reader=\.\.\. store="):
        Store(tmp_path / "b.h5")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a folder, not a store; give a file"):
        Store(tmp_path)


@pytest.mark.parametrize("content", [b"", b"start_s,value\n0,1\n", bytes(10_000)])
def test_a_file_that_is_not_hdf5_is_no_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.h5: not an HDF5 file; give a store that tiles-prepare wrote"):
        Store(tmp_path / "a.h5")


def test_another_hdf5_file_is_no_store(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["signal"] = WINDOWS
    with pytest.raises(StoreError, match=r"a\.h5: an HDF5 file, but not one that tiles-prepare wrote"):
        Store(tmp_path / "a.h5")


@pytest.mark.parametrize("missing", ["signal", "window", "beat/offset", "subject/id"])
def test_a_store_that_lacks_a_table_is_refused(path: Path, missing: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[missing]
    with pytest.raises(StoreError, match=r"a\.h5: not a readable store"):
        Store(path)


def test_another_format_version_is_refused_with_both_versions(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = FORMAT_VERSION + 1
    problem = (
        rf"a\.h5: store format version {FORMAT_VERSION + 1}, this package reads version {FORMAT_VERSION}; prepare it"
    )
    with pytest.raises(StoreError, match=problem + r" again, or use the package version 0\.0\.9"):
        Store(path)


def test_a_signal_that_is_not_contiguous_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["signal"]
        file.create_dataset("signal", data=WINDOWS, chunks=(1, C, T))
    with pytest.raises(StoreError, match=r"a\.h5: its signal is not contiguous"):
        Store(path)


def test_a_store_cut_short_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for left in (len(whole) - 1, len(whole) // 2, 2048, 100, 1):
        path.write_bytes(whole[:left])
        with pytest.raises(StoreError, match=r"a\.h5: (cut short|not an HDF5 file).*(prepare|tiles-prepare)"):
            Store(path)


def test_damage_in_the_middle_never_ends_in_another_error(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = whole.copy()
        at = int(rng.integers(0, len(whole) - 64))
        damaged[at : at + 64] = rng.bytes(64)
        path.write_bytes(damaged)
        with contextlib.suppress(StoreError):
            Store(path)
