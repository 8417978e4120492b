"""WfdbReader against records written by wfdb itself, and against every way a record was seen to break."""

import pickle
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from tiles_ecg.reader.wfdb import WfdbReader
from tiles_ecg.reader.wfdb_signal import Lead
from tiles_ecg.recording import Recording, RecordingError

RATE = 100


def ramp(n: int = 300, leads: int = 2) -> NDArray[np.float64]:
    """(n, leads) in mV, exact at 1000 units per mV."""
    return np.stack([np.arange(n) * (lead + 1) / 1000 for lead in range(leads)], axis=1)


def write(
    folder: Path, name: str, signal: NDArray[np.float64], units: str = "mV", fmt: str = "16", names: str = "I II V1 V2"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    n = signal.shape[1]
    wfdb.wrsamp(
        name, RATE, [units] * n, names.split()[:n], p_signal=signal, fmt=[fmt] * n, adc_gain=[1000.0] * n,
        baseline=[0] * n, write_dir=str(folder),
    )  # fmt: skip
    return folder / f"{name}.hea"


def edit(header: Path, old: str, new: str, encoding: str = "latin-1") -> None:
    text = header.read_text(encoding="latin-1")
    assert old in text
    header.write_bytes(text.replace(old, new).encode(encoding))


def read_all(reader: WfdbReader) -> list[Recording]:
    return [recording for source in reader.sources() for recording in reader.read(source)]


def read_one(root: Path, leads: Sequence[Lead | Sequence[Lead]] | None = None) -> Recording:
    (recording,) = read_all(WfdbReader(root, leads or [0]))
    return recording


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80", "516"])
def test_the_signal_comes_back_in_millivolts_in_every_format(tmp_path: Path, fmt: str) -> None:
    signal = ramp(100, 2) if fmt != "80" else ramp(50, 2)
    write(tmp_path, "a", signal, fmt=fmt)
    recording = read_one(tmp_path, [0, 1])
    assert recording.signal.dtype == np.float32
    assert recording.signal.shape == (1, 2, len(signal))
    np.testing.assert_allclose(recording.signal[0], signal.T, atol=1e-6)
    assert (recording.id, recording.source, recording.sample_rate, recording.unit) == ("a", "a", RATE, "mV")
    assert (recording.leads, recording.subject, recording.notes) == (("I", "II"), None, ())


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1), ("uV", 1e-3), ("V", 1e3), ("nV", 1e-6), ("MV", 1)])
def test_voltages_become_millivolts(tmp_path: Path, unit: str, factor: float) -> None:
    write(tmp_path, "a", ramp(), units=unit)
    recording = read_one(tmp_path)
    np.testing.assert_allclose(recording.signal[0, 0], ramp()[:, 0] * factor, rtol=1e-6)
    assert recording.unit == "mV"


@pytest.mark.parametrize(("sign", "encoding"), [("\xb5", "latin-1"), ("\xb5", "utf-8"), ("\u03bc", "utf-8")])
def test_a_micro_sign_is_not_taken_for_volts(tmp_path: Path, sign: str, encoding: str) -> None:
    edit(write(tmp_path, "a", ramp()), "/mV", f"/{sign}V", encoding)
    recording = read_one(tmp_path, [1])
    np.testing.assert_allclose(recording.signal[0, 0], ramp()[:, 1] * 1e-3, rtol=1e-6)


def test_a_signal_that_is_no_voltage_is_kept_in_arbitrary_units_with_a_note(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(), units="mmHg")
    recording = read_one(tmp_path)
    np.testing.assert_allclose(recording.signal[0, 0], ramp()[:, 0], rtol=1e-6)
    assert recording.unit == "a.u."
    assert "I (mmHg)" in recording.notes[0]


@pytest.mark.parametrize("gain", ["0", ""])
def test_a_missing_gain_is_200_units_per_millivolt_with_a_note(tmp_path: Path, gain: str) -> None:
    header = write(tmp_path, "a", ramp(leads=1))
    header.write_text(f"a 1 100 300\na.dat 16 {gain}\n")
    recording = read_one(tmp_path)
    np.testing.assert_allclose(recording.signal[0, 0], np.arange(300) / 200, rtol=1e-6)
    assert "no gain" in recording.notes[0]
    assert recording.leads == ("signal 0",)


def test_a_missing_rate_is_250_hz_with_a_note(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(leads=1)).write_text("a 1\na.dat 16 1000/mV 16 0 0 0 0 I\n")
    recording = read_one(tmp_path)
    assert recording.sample_rate == 250
    assert recording.signal.shape == (1, 1, 300)
    assert "250 Hz" in recording.notes[0]


def test_an_invalid_sample_becomes_nan(tmp_path: Path) -> None:
    signal = ramp()
    signal[7, 0] = np.nan
    write(tmp_path, "a", signal)
    assert np.flatnonzero(np.isnan(read_one(tmp_path).signal[0, 0])).tolist() == [7]


def test_a_wrong_checksum_is_only_a_note(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp())
    data = np.fromfile(tmp_path / "a.dat", dtype="<i2")
    data[0] += 5
    data.tofile(tmp_path / "a.dat")
    assert read_one(tmp_path, [0]).notes == ("lead I: the samples do not have the checksum of the header",)
    assert read_one(tmp_path, [1]).notes == ()


def test_leads_are_chosen_by_index_by_name_and_by_alternatives_in_the_order_asked(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(leads=3))
    choices: tuple[tuple[Sequence[Lead | Sequence[Lead]], str], ...] = (
        ([0], "I"), ([2, 0], "V1 I"), (["II"], "II"), (["v1", "I"], "V1 I"), ([["MLII", 1]], "II"), ([["V1", 0]], "V1"),
    )  # fmt: skip
    for leads, expected in choices:
        recording = read_one(tmp_path, leads)
        assert recording.leads == tuple(expected.split())
        columns = [("I", "II", "V1").index(name) for name in recording.leads]
        np.testing.assert_allclose(recording.signal[0], ramp(leads=3).T[columns], atol=1e-6)


def test_a_name_that_fits_two_leads_does_not_choose_one(tmp_path: Path) -> None:
    edit(write(tmp_path, "a", ramp(), names="ECG_1 ECG_2"), "ECG_", "ECG\t")
    edit(tmp_path / "a.hea", "ECG\t1", "ECG")
    edit(tmp_path / "a.hea", "ECG\t2", "ECG")
    with pytest.raises(RecordingError, match=r"no one lead is 'ECG'; the record has 0 \(ECG\), 1 \(ECG\)"):
        read_one(tmp_path, ["ECG"])


def test_an_unknown_lead_lists_those_that_exist(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp())
    with pytest.raises(RecordingError, match=r"a\.hea: no one lead is 'MLII' or 5; the record has 0 \(I\), 1 \(II\)"):
        read_one(tmp_path, [["MLII", 5]])
    with pytest.raises(RecordingError, match="two of the leads asked for are the same"):
        read_one(tmp_path, [1, "II"])


@pytest.mark.parametrize("leads", ["MLII", [], [-1], [True], [1.5], [[]], [[0, None]]])
def test_leads_that_are_no_indices_or_names_are_refused_at_once(tmp_path: Path, leads: list[int]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"leads|iterable"):
        WfdbReader(tmp_path, leads)


def test_several_samples_a_frame_keep_their_own_rate(tmp_path: Path) -> None:
    fast, slow = np.arange(400) / 1000, np.arange(100) / 1000
    wfdb.wrsamp(
        "a", RATE, ["mV", "mV"], ["ECG", "RESP"], e_p_signal=[fast, slow], fmt=["16", "16"], adc_gain=[1000.0, 1000.0],
        baseline=[0, 0], samps_per_frame=[4, 1], write_dir=str(tmp_path),
    )  # fmt: skip
    recording = read_one(tmp_path)
    assert recording.sample_rate == 400
    assert recording.notes == ()
    np.testing.assert_allclose(recording.signal[0, 0], fast, atol=1e-6)
    with pytest.raises(RecordingError, match=r"ECG 400 Hz, RESP 100 Hz"):
        read_one(tmp_path, [0, 1])


def test_segments_of_fixed_layout_are_joined_with_nan_in_the_gap(tmp_path: Path) -> None:
    write(tmp_path, "s1", ramp(100))
    write(tmp_path, "s2", ramp(100) + 1, units="uV")
    (tmp_path / "m.hea").write_text("m/3 2 100 250\ns1 100\n~ 50\ns2 100\n# a comment\n")
    reader = WfdbReader(tmp_path, [1])
    (source,) = reader.sources()  # the segments are not records of their own
    assert source.key == "m"
    assert {file.name for file in source.files} == {"m.hea", "s1.hea", "s1.dat", "s2.hea", "s2.dat"}
    (recording,) = reader.read(source)
    expected = np.concatenate([ramp(100)[:, 1], np.full(50, np.nan), (ramp(100)[:, 1] + 1) * 1e-3])
    np.testing.assert_allclose(recording.signal[0, 0], expected, atol=1e-6)


def test_segments_of_variable_layout_are_joined_by_lead_name(tmp_path: Path) -> None:
    write(tmp_path, "s1", ramp(100, 1), names="II")
    write(tmp_path, "s2", ramp(50, 2))
    (tmp_path / "layout.hea").write_text("layout 2 100 0\n~ 0 1000/mV 16 0 0 0 0 I\n~ 0 1000/mV 16 0 0 0 0 II\n")
    (tmp_path / "m.hea").write_text("m/3 2 100 150\nlayout 0\ns1 100\ns2 50\n")
    recording = read_one(tmp_path, ["II", "I"])
    np.testing.assert_allclose(recording.signal[0, 0], np.concatenate([ramp(100)[:, 0], ramp(50)[:, 1]]), atol=1e-6)
    np.testing.assert_allclose(
        recording.signal[0, 1], np.concatenate([np.full(100, np.nan), ramp(50)[:, 0]]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("master", "problem"),
    [
        ("m/2 2 100 200\ns1 100\ns9 100\n", r"s9\.hea: no such header"),
        ("m/2 2 100 200\ns1 100\nm 100\n", "expected names of other records"),
        ("m/2 2 100 250\ns1 100\ns1 100\n", "promises 250 samples, but its segments add up to 200"),
        ("m/2 2 100 190\ns1 100\ns1 90\n", "segment s1 should have 90 samples at 100 Hz"),
        ("m/2 2 50 200\ns1 100\ns1 100\n", "segment s1 should have 100 samples at 50 Hz"),
        ("m/3 2 100 200\ns1 100\ns1 100\n", "promises 3 segments, but 2 lines follow"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path: Path, master: str, problem: str) -> None:
    write(tmp_path, "s1", ramp(100))
    (tmp_path / "m.hea").write_text(master)
    (tmp_path / "RECORDS").write_text("m\n")
    with pytest.raises(RecordingError, match=problem):
        read_one(tmp_path)


@pytest.mark.parametrize("fmt", ["16", "212", "24", "516"])
@pytest.mark.parametrize("kept", [0, 1, 50])
def test_a_signal_file_cut_short_is_named(tmp_path: Path, fmt: str, kept: int) -> None:
    write(tmp_path, "a", ramp(100), fmt=fmt)
    (file,) = (path for path in tmp_path.iterdir() if path.suffix != ".hea")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RecordingError, match=r"cut short|cannot read the signal"):
        read_one(tmp_path)


def test_an_empty_signal_file_of_open_length_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp(leads=1)).write_text("a 1 100\na.dat 16 1000/mV\n")
    (tmp_path / "a.dat").write_bytes(b"")
    with pytest.raises(RecordingError, match=r"a\.dat: holds 0 bytes"):
        read_one(tmp_path)


def test_damaged_bytes_are_read_or_refused_by_a_recording_error_and_nothing_else(tmp_path: Path) -> None:
    draw = random.Random(0)
    write(tmp_path, "s1", ramp(50), fmt="24")
    write(tmp_path, "s2", ramp(50))
    (tmp_path / "m.hea").write_text("m/3 2 100 120\ns1 50\n~ 20\ns2 50\n# a comment\n")
    (tmp_path / "RECORDS").write_text("m\ns1\ns2\n")
    whole = {path: path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.suffix}
    refused = 0
    for _ in range(300):
        path = draw.choice(list(whole))
        damaged = bytearray(whole[path])
        for _ in range(draw.choice([1, 3])):
            damaged[draw.randrange(len(damaged))] = draw.choice(b"0123456789 \n/~#-.x:+()eVmu\xb5A")
        path.write_bytes(damaged[: draw.choice([len(damaged), draw.randrange(len(damaged))])])
        reader = WfdbReader(tmp_path, [1])
        for source in reader.sources():
            try:
                next(reader.read(source))
            except RecordingError:
                refused += 1
        path.write_bytes(whole[path])
    assert refused > 100


def test_the_reader_pickles(tmp_path: Path) -> None:
    write(tmp_path, "a", ramp())
    reader = pickle.loads(pickle.dumps(WfdbReader(str(tmp_path), [["MLII", 0]])))
    assert reader.labels == ()
    assert read_all(reader)[0].leads == ("I",)


def test_real_noise_records_without_gain_equal_what_wfdb_reads(real_data: Path) -> None:
    reader = WfdbReader(real_data / "nstdb", [1, 0])
    source = reader.sources()[1]
    recording = next(reader.read(source))
    expected = wfdb.rdrecord(str(real_data / "nstdb" / "em")).p_signal
    assert source.key == "em"
    np.testing.assert_allclose(recording.signal[0], expected.T[[1, 0]], atol=1e-6)
    assert sum("no gain" in note for note in recording.notes) == 2
