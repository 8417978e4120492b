"""Every format against the array that was written, and every damaged file by its message."""

import gzip
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from tiles_ecg.reader.manifest import split_names
from tiles_ecg.reader.signal_file import read_signal_file
from tiles_ecg.recording import RecordingError

RATE = 250.0
TIME = np.arange(1000) / RATE
ECG = np.sin(2 * np.pi * 1.2 * TIME) + 0.2 * np.sin(2 * np.pi * 5 * TIME)  # mV
SECOND = 0.5 * ECG + 0.1


def write_csv(file: Path, columns: dict[str, NDArray[Any]], delimiter: str = ",") -> None:
    rows = [delimiter.join(f"{value:.9g}" for value in row) for row in zip(*columns.values(), strict=True)]
    text = "\n".join([delimiter.join(columns), *rows]) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())


def write_edf(file: Path, unit: str = "uV", scale: float = 1000.0, rate: float = RATE) -> None:
    signals = [
        edfio.EdfSignal(
            ECG * scale, rate, label="ECG I", physical_dimension=unit, physical_range=(-2 * scale, 2 * scale)
        ),
        edfio.EdfSignal(SECOND * scale, rate, label="ECG II", physical_dimension=unit, physical_range=(-scale, scale)),
        edfio.EdfSignal(np.zeros(100), 25, label="Resp", physical_dimension="", physical_range=(-1, 1)),
    ]
    recording = edfio.Recording(startdate=date(2020, 1, 2))
    edfio.Edf(signals, recording=recording, starttime=time(3, 4, 5)).write(file)


@pytest.mark.parametrize(
    ("name", "signal", "write"),
    [
        ("a.csv", "ecg", lambda file: write_csv(file, {"t": TIME, "ecg": ECG})),
        ("a.csv.gz", "ecg", lambda file: write_csv(file, {"ecg": ECG, "text": TIME})),
        ("a.txt", "ecg", lambda file: write_csv(file, {"ecg": ECG, "other": TIME}, "\t")),
        ("a.csv", "", lambda file: write_csv(file, {"ecg": ECG})),
        ("a.npy", "", lambda file: np.save(file, ECG)),
        ("a.npy", "", lambda file: np.save(file, ECG[:, None])),
        ("a.npy", "1", lambda file: np.save(file, np.stack([SECOND, ECG], axis=1))),
        ("a.npz", "ecg", lambda file: np.savez(file, ecg=ECG, other=SECOND)),
        ("a.npz", "", lambda file: np.savez(file, x=ECG.astype(np.float32))),
        ("a.mat", "val", lambda file: scipy.io.savemat(file, {"val": ECG, "name": "x"})),
        ("a.edf", "ECG I", write_edf),
        ("A.EDF", "ECG I", write_edf),
    ],
)
def test_one_lead_is_read_from_every_format(
    tmp_path: Path, name: str, signal: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    values = read_signal_file(tmp_path / name, split_names(signal)).values
    assert values.shape == (1, 1000)
    np.testing.assert_allclose(values[0] / (1000 if name.lower().endswith("edf") else 1), ECG, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "signal", "write"),
    [
        ("a.csv", "ecg1;ecg2", lambda file: write_csv(file, {"ecg2": SECOND, "ecg1": ECG}, ";")),
        ("a.npy", "", lambda file: np.save(file, np.stack([ECG, SECOND], axis=1))),
        ("a.npz", "ecg1;ecg2", lambda file: np.savez(file, ecg1=ECG, ecg2=SECOND)),
        ("a.mat", "val", lambda file: scipy.io.savemat(file, {"val": np.stack([ECG, SECOND])})),
        ("a.edf", "ECG I;ECG II", write_edf),
    ],
)
def test_several_leads_are_read_in_the_order_asked_for(
    tmp_path: Path, name: str, signal: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    values = read_signal_file(tmp_path / name, split_names(signal)).values
    np.testing.assert_allclose(values / (1000 if name == "a.edf" else 1), [ECG, SECOND], atol=1e-4)


def test_bdf_is_read(tmp_path: Path) -> None:
    signal = edfio.BdfSignal(ECG, RATE, label="ECG", physical_dimension="mV", physical_range=(-2, 2))
    edfio.Bdf([signal]).write(tmp_path / "a.bdf")
    file = read_signal_file(tmp_path / "a.bdf", ())
    assert (file.sample_rate, file.unit) == (250.0, "mV")
    np.testing.assert_allclose(file.values[0], ECG, atol=1e-5)


def test_edf_tells_rate_unit_and_start(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf")
    file = read_signal_file(tmp_path / "a.edf", ["ECG II"])
    assert (file.sample_rate, file.unit, file.start) == (250.0, "uV", datetime(2020, 1, 2, 3, 4, 5))


def test_missing_values_in_a_csv_stay_nan(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,ecg\n0,1\n1,\n2,NaN\n3,0.5\n")
    values = read_signal_file(tmp_path / "a.csv", ["ecg"]).values
    np.testing.assert_array_equal(values[0], [1, np.nan, np.nan, 0.5])


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_an_empty_line_is_a_missing_value_where_there_is_one_column(tmp_path: Path, ends: str) -> None:
    (tmp_path / "a.csv").write_bytes(ends.join(["ecg", "1", "", "", "0.5", ""]).encode())
    values = read_signal_file(tmp_path / "a.csv", []).values
    np.testing.assert_array_equal(values[0], [1, np.nan, np.nan, 0.5])
    (tmp_path / "b.csv").write_bytes(ends.join(["t,ecg", "0,1", "", "1,0.5", "", ""]).encode())
    np.testing.assert_array_equal(read_signal_file(tmp_path / "b.csv", ["ecg"]).values[0], [1, 0.5])


@pytest.mark.parametrize(
    ("name", "signal", "content", "message"),
    [
        ("a.csv", "ecg", b"", "empty; it needs a header line"),
        ("a.csv", "ecg", b"ecg\n", r"a header \(ecg\) but no rows"),
        ("a.csv", "ecg", b"time,lead1\n1,2\n", "no column 'ecg'; there are time, lead1"),
        ("a.csv", "", b"time,lead1\n1,2\n", "which column. Name it by reader.signal, .*; there are time, lead1"),
        ("a.csv", "ecg", b"ecg\n1\n2\nabc\n", "row 4, column 'ecg': 'abc' .*a number"),
        ("a.csv", "ecg", b"t,ecg\n1,2\n3\n", "row 3 has 1 columns where the header has 2"),
        (
            "a.csv",
            "ecg",
            b"0.1,0.2\n1,2\n",
            r"the first line holds numbers \(0\.1, 0\.2\); add a line with column names",
        ),
        ("a.csv.gz", "ecg", b"ecg\n1\n", "not a gzip file"),
        ("a.npy", "", b"", r"not a \.npy file written by numpy\.save, or a damaged one"),
        ("a.npz", "", b"PK\x03\x04 cut short", r"not an \.npz file"),
        ("a.mat", "", b"hello" * 99, "not a MATLAB file up to version 7"),
        ("a.mat", "", b"MATLAB 7.3".ljust(124) + b"\x00\x02IM" + bytes(400), r"version 7\.3 cannot be read; .*'-v7'"),
        ("a.edf", "", b"hello" * 99, "not a whole EDF file"),
        ("a.edf", "", b"", "not a whole EDF file"),
        ("a.xlsx", "", b"", r"unknown format; readable are \.csv, .*reader=wfdb"),
    ],
)
def test_bad_files_are_named_with_what_would_be_right(
    tmp_path: Path, name: str, signal: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=rf"{name}: .*{message}"):
        read_signal_file(tmp_path / name, split_names(signal))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5)), r"its array has shape \(3, 4, 5\); a recording is \(time points,\)"),
        (np.zeros(0), r"its array is empty \(shape \(0,\)\)"),
        (np.array(5.0), r"its array has shape \(\)"),
        (np.array(["a", "b"]), "its array holds <U1, not numbers"),
        (np.array([1 + 2j]), "its array holds complex128, not numbers"),
        (np.zeros((1000, 3750)), r"would be 1000 leads; if these are windows"),
    ],
)
def test_arrays_that_are_no_recording_are_refused(tmp_path: Path, array: NDArray[Any], message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(RecordingError, match=rf"a\.npy: .*{message}"):
        read_signal_file(tmp_path / "a.npy", ())


def test_keys_and_lengths_that_do_not_fit_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=ECG, y=ECG[:-1], o=np.array([{}], object))
    scipy.io.savemat(tmp_path / "a.mat", {"ecg": ECG, "info": {"rate": 1}})
    write_edf(tmp_path / "a.edf")
    for name, signal, message in (
        ("a.npz", "z", "no key 'z'; there are x, y, o"),
        ("a.npz", "", "which key. Name it by reader.signal, .*; there are x, y, o"),
        ("a.npz", "x;y", "x, y differ in length: 1000, 999 time points"),
        ("a.npz", "o", "Object arrays cannot be loaded"),
        ("a.mat", "ECG", "no variable 'ECG'; there are ecg, info"),
        ("a.mat", "info", "variable 'info' holds .*, not numbers"),
        ("a.edf", "ECG", "no label 'ECG'; there are ECG I, ECG II, Resp"),
        ("a.edf", "ECG I;Resp", r"signals ECG I, Resp differ in their rates \(250 Hz, 25 Hz\)"),
    ):
        with pytest.raises(RecordingError, match=rf"{name}: .*{message}"):
            read_signal_file(tmp_path / name, split_names(signal))


def test_edf_signals_that_share_a_label_are_told_apart(tmp_path: Path) -> None:
    leads = [np.full(500, level) for level in (1.0, 2.0, 3.0)]
    signals = [
        edfio.EdfSignal(lead, 250, label=label, physical_dimension="mV", physical_range=(0, 4))
        for lead, label in zip(leads, ("ECG", "ECG", "Resp"), strict=True)
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    found = read_signal_file(tmp_path / "a.edf", ["ECG#2", "Resp"]).values
    np.testing.assert_allclose(found.mean(axis=1), [2.0, 3.0], atol=1e-3)
    for names in ((), ("ECG",)):
        with pytest.raises(RecordingError, match=r"a\.edf: .* there are ECG#1, ECG#2, Resp"):
            read_signal_file(tmp_path / "a.edf", names)


def test_an_edf_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf")
    whole = (tmp_path / "a.edf").read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 300, 100):
        (tmp_path / "a.edf").write_bytes(whole[:length])
        with pytest.raises(RecordingError, match=r"a\.edf: not a whole EDF file"):
            read_signal_file(tmp_path / "a.edf", ["ECG I"])


def test_a_missing_file_is_named_with_the_nearest_name(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", ECG)
    with pytest.raises(RecordingError, match=r"god\.npy: no such file; did you mean good\.npy\?"):
        read_signal_file(tmp_path / "god.npy", ())
    with pytest.raises(RecordingError, match=r"a\.npy: no such file \(nor the folder .*gone\)"):
        read_signal_file(tmp_path / "gone" / "a.npy", ())
