"""Signal files without a manifest become recordings, and what is refused."""

import pickle
from datetime import date, time
from pathlib import Path

import edfio
import numpy as np
import pytest

from tiles_ecg.reader.files import FilesReader
from tiles_ecg.recording import Reader, Recording, RecordingError

ECG = np.sin(2 * np.pi * 1.2 * np.arange(1000) / 250).astype(np.float32)  # mV


def write_csv(path: Path, *columns: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "\n".join([",".join(columns), *(",".join([f"{value:.9g}"] * len(columns)) for value in ECG)]) + "\n"
    )
    return path


def write_edf(path: Path) -> Path:
    signal = edfio.EdfSignal(ECG * 1000.0, 250, label="ECG", physical_dimension="uV", physical_range=(-2000, 2000))
    edfio.Edf([signal], recording=edfio.Recording(startdate=date(2020, 1, 2)), starttime=time(3, 4, 5)).write(path)
    return path


def read(reader: FilesReader) -> list[Recording]:
    return [recording for source in reader.sources() for recording in reader.read(source)]


def test_a_file_is_a_recording_in_millivolts(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "ecg")
    (recording,) = read(FilesReader(str(path), sample_rate=250.0))
    assert (recording.id, recording.source, recording.subject) == (str(path), str(path), None)
    assert (recording.sample_rate, recording.unit, recording.leads) == (250.0, "mV", ("ECG",))
    np.testing.assert_allclose(recording.signal, ECG[None, None], atol=1e-6)


def test_all_formats_of_a_folder_are_read_alike(tmp_path: Path) -> None:
    write_csv(tmp_path / "deep" / "a.csv", "ecg")
    np.save(tmp_path / "b.npy", ECG)
    np.savez(tmp_path / "c.npz", ecg=ECG)
    write_edf(tmp_path / "d.edf")
    (tmp_path / "notes.md").write_text("none of ours")
    write_csv(tmp_path / ".hidden.csv", "ecg")
    found = read(FilesReader(str(tmp_path), sample_rate=250.0))
    assert [recording.id for recording in found] == ["b.npy", "c.npz", "d.edf", "deep/a.csv"]
    for recording in found:
        np.testing.assert_allclose(recording.signal, ECG[None, None], atol=1e-4)


def test_edf_tells_its_own_rate_unit_and_start(tmp_path: Path) -> None:
    (recording,) = read(FilesReader(str(write_edf(tmp_path / "a.edf")), sample_rate=100.0, time_zone="Europe/Berlin"))
    assert (recording.sample_rate, recording.unit) == (250.0, "mV")
    assert recording.wall_time is not None
    assert recording.wall_time.tolist() == [1577930645.0]  # 02:04:05 UTC


def test_a_pattern_chooses_files_of_a_folder(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "ecg")
    np.save(tmp_path / "b.npy", ECG)
    assert [source.key for source in FilesReader(str(tmp_path), "*.npy", 250.0).sources()] == ["b.npy"]
    with pytest.raises(RecordingError, match=r"no file fits reader.pattern=\*.mat"):
        FilesReader(str(tmp_path), "*.mat", 250.0).sources()


def test_leads_are_chosen_and_named_and_units_converted(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "time", "one", "two")
    reader = FilesReader(
        [str(path)], None, 250.0, signal=["two", "one"], unit="V", lead=["II", "I"], max_amplitude_mv=None
    )
    (recording,) = read(reader)
    assert recording.leads == ("II", "I")
    np.testing.assert_allclose(recording.signal[0, 0], 1000 * ECG, rtol=1e-5)


def test_it_is_a_reader_that_pickles(tmp_path: Path) -> None:
    reader: Reader = pickle.loads(
        pickle.dumps(FilesReader(str(write_csv(tmp_path / "a.csv", "ecg")), sample_rate=250.0))
    )
    assert [len(recording.leads) for source in reader.sources() for recording in reader.read(source)] == [1]


def test_what_cannot_be_read_is_told_before_anything_is_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "ecg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.doc").write_text("text")
    for root, rate, expected in (
        (str(path), None, "does not tell its sample rate; give it, as reader.sample_rate=250"),
        (str(tmp_path / "b.csv"), 250.0, "no such file or folder"),
        (str(tmp_path / "a.doc"), 250.0, "unknown format; readable are .csv"),
        (str(tmp_path / "empty"), 250.0, "holds no signal file"),
        ([], 250.0, "reader.root is empty"),
    ):
        with pytest.raises(RecordingError, match=expected):
            FilesReader(root, sample_rate=rate).sources()


def test_counts_are_not_taken_for_millivolts(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", (2000 * ECG).astype(np.int16))
    with pytest.raises(RecordingError, match="probably uV or raw counts"):
        read(FilesReader(str(tmp_path / "a.npy"), sample_rate=250.0))
    (recording,) = read(FilesReader(str(tmp_path / "a.npy"), sample_rate=250.0, unit="a.u."))
    assert recording.unit == "a.u."


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate = -1"):
        FilesReader("a.csv", sample_rate=-1)
    with pytest.raises(ValueError, match="time_zone"):
        FilesReader("a.csv", time_zone="Mars")
