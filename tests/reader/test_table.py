"""Rows of a manifest become recordings: units, rates, times and leads, and what is refused."""

import pickle
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import edfio
import numpy as np
import pytest
from numpy.typing import NDArray

from tiles_ecg.reader.table import TableReader
from tiles_ecg.recording import LabelSpec, Reader, Recording, RecordingError

RATE = 250.0
TIME = np.arange(1000) / RATE
ECG = np.sin(2 * np.pi * 1.2 * TIME) + 0.2 * np.sin(2 * np.pi * 5 * TIME)  # mV
SECOND = 0.5 * ECG + 0.1


def write_csv(file: Path, columns: dict[str, NDArray[Any]]) -> None:
    rows = [",".join(f"{value:.9g}" for value in row) for row in zip(*columns.values(), strict=True)]
    file.write_text("\n".join([",".join(columns), *rows]) + "\n")


def write_edf(file: Path, unit: str = "uV", scale: float = 1000.0) -> None:
    signal = edfio.EdfSignal(
        ECG * scale, RATE, label="ECG I", physical_dimension=unit, physical_range=(-2 * scale, 2 * scale)
    )
    recording = edfio.Recording(startdate=date(2020, 1, 2))
    edfio.Edf([signal], recording=recording, starttime=time(3, 4, 5)).write(file)


def table(root: Path, manifest: str, **settings: Any) -> TableReader:
    (root / "manifest.csv").write_text(manifest)
    return TableReader(str(root), **settings)


def read(reader: TableReader) -> list[Recording]:
    return [recording for source in reader.sources() for recording in reader.read(source)]


def write_one(root: Path, **settings: Any) -> TableReader:
    """Manifest with one CSV recording; settings as in the reader."""
    write_csv(root / "a.csv", {"ecg": ECG})
    return table(root, "file\na.csv\n", **{"sample_rate": RATE, "unit": "mV", **settings})


def test_a_row_becomes_a_recording(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", {"t": TIME, "ecg": ECG, "ppg": SECOND})
    manifest = "file,subject,recording,sample_rate,signal,unit,lead,stress\na.csv,anna,morning,250,ecg;ppg,mV,I;P,low\n"
    reader = table(tmp_path, manifest)
    assert reader.labels == (LabelSpec("stress", "subject", "categorical", ("low",)),)
    (recording,) = read(reader)
    assert (recording.id, recording.source, recording.subject) == ("morning", "morning", "anna")
    assert (recording.sample_rate, recording.unit, recording.leads) == (250.0, "mV", ("I", "P"))
    assert recording.labels == {"stress": "low"}
    np.testing.assert_allclose(recording.signal, [[ECG, SECOND]], atol=1e-6)


def test_values_that_are_all_missing_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full(9, np.nan))
    with pytest.raises(RecordingError, match=r"a\.npy: holds no number, every value is missing"):
        read(table(tmp_path, "file\na.npy\n", sample_rate=RATE, unit="mV"))


@pytest.mark.parametrize(("unit", "scale"), [("uV", 1e3), ("µV", 1e3), ("\u03bcV", 1e3), ("V", 1e-3), ("MV", 1.0)])
def test_units_are_converted_to_millivolts(tmp_path: Path, unit: str, scale: float) -> None:
    np.save(tmp_path / "a.npy", ECG * scale)
    (recording,) = read(table(tmp_path, "file\na.npy\n", unit=unit, sample_rate=RATE))
    assert recording.unit == "mV"
    np.testing.assert_allclose(recording.signal[0, 0], ECG, atol=1e-5)


def test_arbitrary_units_are_kept_whatever_their_size(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", (ECG * 1e4).astype(np.int16))
    (recording,) = read(table(tmp_path, "file\na.npy\n", unit="a.u.", sample_rate=RATE))
    assert recording.unit == "a.u."
    np.testing.assert_array_equal(recording.signal[0, 0], (ECG * 1e4).astype(np.int16))


def test_microvolts_declared_as_millivolts_are_refused_unless_allowed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ECG * 1000)
    settings = {"unit": "mV", "sample_rate": RATE}
    with pytest.raises(RecordingError, match=r"a\.npy: an amplitude of 1\d\d\d.* mV if its unit is mV; .*probably uV"):
        read(table(tmp_path, "file\na.npy\n", **settings))
    (recording,) = read(table(tmp_path, "file\na.npy\n", max_amplitude_mv=None, **settings))
    assert recording.signal.max() > 1000
    np.save(tmp_path / "a.npy", ECG / 1000)
    (recording,) = read(table(tmp_path, "file\na.npy\n", **settings))
    assert "an amplitude of only 0.0012 mV if its unit is mV" in recording.notes[0]


def test_an_offset_or_a_few_spikes_are_no_amplitude(tmp_path: Path) -> None:
    spiky = ECG + 300
    spiky[:5] = 5000
    np.save(tmp_path / "a.npy", spiky)
    (recording,) = read(table(tmp_path, "file\na.npy\n", unit="mV", sample_rate=RATE))
    assert recording.signal.max() == 5000


def test_cells_win_over_settings_and_settings_fill_empty_cells(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", {"ecg": ECG, "ppg": SECOND})
    rows = "file,sample_rate,signal,unit,subject\na.csv,,,,\na.csv,500,ppg,uV,\n"
    first, second = read(table(tmp_path, rows, sample_rate=RATE, signal="ecg", unit="mV", lead="I"))
    assert (first.sample_rate, second.sample_rate) == (250.0, 500.0)
    assert (first.id, second.id) == ("a.csv:ecg", "a.csv:ppg")
    assert (first.subject, first.leads) == (None, ("I",))
    np.testing.assert_allclose(first.signal[0, 0], ECG, atol=1e-5)
    np.testing.assert_allclose(second.signal[0, 0], SECOND / 1000, atol=1e-5)


def test_start_is_wall_time_in_the_zone_unless_it_has_an_offset(tmp_path: Path) -> None:
    for name in "xyz":
        np.save(tmp_path / f"{name}.npy", ECG)
    rows = "file,start\nx.npy,2018-03-12T09:00:00\ny.npy,2018-03-12T09:00:00+02:00\nz.npy,\n"
    x, y, z = read(table(tmp_path, rows, sample_rate=RATE, unit="mV", time_zone="America/Los_Angeles"))
    assert x.wall_time == datetime.fromisoformat("2018-03-12T16:00:00+00:00").timestamp()
    assert y.wall_time == datetime.fromisoformat("2018-03-12T07:00:00+00:00").timestamp()
    assert z.wall_time is None
    write_edf(tmp_path / "a.edf")
    (edf,) = read(table(tmp_path, "file,signal\na.edf,ECG I\n", time_zone="America/Los_Angeles"))
    assert edf.wall_time == datetime.fromisoformat("2020-01-02T11:04:05+00:00").timestamp()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {"a": "categoric"}}, r"labels\.a: kind = 'categoric'; choose categorical, multilabel, continuous"),
        (
            {"labels": {"a": {"kind": "categorical", "level": "window"}}},
            r"labels\.a: level = 'window'; choose recording",
        ),
        ({"unit": "volt"}, "unit 'volt' is unknown; use mV, uV, V, or a.u"),
        ({"sample_rate": 0.0}, r"sample_rate = 0\.0; it has to be a positive number"),
        ({"time_zone": "Mars"}, "time_zone = 'Mars' is unknown"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableReader("nowhere", **settings)


def test_a_missing_root_or_manifest_is_named_only_when_needed(tmp_path: Path) -> None:
    reader = TableReader(str(tmp_path / "gone"))
    with pytest.raises(RecordingError, match=r"gone: no such folder; set reader\.root"):
        reader.sources()
    with pytest.raises(RecordingError, match=r"manifest\.csv: no such manifest"):
        _ = TableReader(str(tmp_path)).labels


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", ECG)
    reader = table(tmp_path, "file\ngod.npy\ngood.npy\n", sample_rate=RATE, unit="mV")
    bad, good = reader.sources()
    with pytest.raises(RecordingError, match=r"god\.npy: no such file; did you mean good\.npy\?"):
        list(reader.read(bad))
    assert len(list(reader.read(good))) == 1


def test_a_manifest_that_contradicts_an_edf_file_is_an_error(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf")
    for settings, message in (
        ({"sample_rate": 256.0}, r"recorded at 250 Hz, but the manifest or reader\.sample_rate says 256 Hz"),
        ({"unit": "mV"}, r"stored in uV, but the manifest or reader\.unit says mV"),
    ):
        with pytest.raises(RecordingError, match=rf"a\.edf: {message}"):
            read(table(tmp_path, "file,signal\na.edf,ECG I\n", **settings))
    (recording,) = read(table(tmp_path, "file,signal\na.edf,ECG I\n", sample_rate=250.0, unit="uV"))
    np.testing.assert_allclose(recording.signal[0, 0], ECG, atol=1e-4)
    write_edf(tmp_path / "a.edf", unit="", scale=1.0)
    with pytest.raises(RecordingError, match=r"the unit of ECG I is ''; give it in the manifest"):
        read(table(tmp_path, "file,signal\na.edf,ECG I\n"))
    assert len(read(table(tmp_path, "file,signal,unit\na.edf,ECG I,mV\n"))) == 1


def test_a_wrong_number_of_lead_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"a\.csv: 1 leads, but 2 names for them: I;II"):
        read(write_one(tmp_path, lead=["I", "II"]))


def test_it_is_a_reader_and_pickles(tmp_path: Path) -> None:
    reader: Reader = write_one(tmp_path)
    (source,) = reader.sources()
    assert source.files == (tmp_path / "a.csv", tmp_path / "manifest.csv")
    copy: Reader = pickle.loads(pickle.dumps(reader))
    assert next(iter(copy.read(source))).id == "a.csv"
