"""Labellers of PhysioNet datasets against small hand-made records, and against the datasets themselves."""

import pickle
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import wfdb

from tiles_ecg.reader.physionet import Cinc2017, EcgIdDb, Mitdb
from tiles_ecg.reader.wfdb import Labeller, WfdbReader
from tiles_ecg.recording import Annotations, Recording, RecordingError

RATE = 100  # of the hand-made records, 10 s long


def write(folder: Path, name: str, comments: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name, RATE, ["mV"], ["I"], p_signal=np.arange(1000)[:, None] / 1000, fmt=["16"], adc_gain=[1000.0],
        baseline=[0], comments=comments, write_dir=str(folder),
    )  # fmt: skip


def annotate(
    folder: Path, name: str, annotator: str, samples: list[int], symbols: str, notes: list[str] | None = None
) -> Path:
    """Writes annotations; wfdb allows only letters in the annotator, so the file is renamed afterwards."""
    wfdb.wrann(name, "tmp", np.array(samples), list(symbols), aux_note=notes, write_dir=str(folder))
    return (folder / f"{name}.tmp").rename(folder / f"{name}.{annotator}")


def read_all(root: Path, labeller: Labeller) -> dict[str, Recording]:
    reader = pickle.loads(pickle.dumps(WfdbReader(root, labeller=labeller)))
    return {source.key: next(reader.read(source)) for source in reader.sources()}


def label_of(recording: Recording, name: str) -> Annotations:
    (found,) = (annotations for annotations in recording.annotations if annotations.label == name)
    return found


@pytest.mark.parametrize("labeller", [Cinc2017(), Mitdb(), EcgIdDb()])
def test_every_labeller_names_labels_once_with_classes_or_a_unit(labeller: Labeller) -> None:
    names = [spec.name for spec in labeller.labels]
    assert len(set(names)) == len(names)
    for spec in labeller.labels:
        assert (spec.kind == "continuous") == (not spec.classes) == bool(spec.unit)


@pytest.mark.parametrize("place", ["beside", "above", "root"])
@pytest.mark.parametrize("name", ["REFERENCE-v3.csv", "REFERENCE.csv"])
def test_cinc2017_finds_its_reference_beside_the_records_above_them_or_in_the_root(
    tmp_path: Path, place: str, name: str
) -> None:
    folder = tmp_path / "x" / "training2017"
    for record in ("A1", "A2", "A3"):
        write(folder, record)
    reference = {"beside": folder, "above": folder.parent, "root": tmp_path}[place] / name
    reference.write_text("A1,~\nA2,A\n")
    recordings = read_all(tmp_path if place == "root" else folder, Cinc2017())
    first, second, third = recordings.values()
    assert (first.labels, second.labels, third.labels) == ({"rhythm": "noise"}, {"rhythm": "af"}, {})
    assert "not listed" in third.notes[0]
    assert first.subject is None


def test_cinc2017_prefers_the_third_revision_and_depends_on_it(tmp_path: Path) -> None:
    write(tmp_path / "training2017", "A1")
    (tmp_path / "training2017" / "REFERENCE.csv").write_text("A1,A\n")
    (tmp_path / "REFERENCE-v3.csv").write_text("A1,O\n")
    reader = WfdbReader(tmp_path, labeller=Cinc2017())
    (source,) = reader.sources()
    assert source.files[-1] == tmp_path / "REFERENCE-v3.csv"
    assert next(reader.read(source)).labels == {"rhythm": "other"}


def test_cinc2017_without_a_reference_fails_before_anything_is_read(tmp_path: Path) -> None:
    write(tmp_path, "A1")
    with pytest.raises(RecordingError, match=r"no REFERENCE-v3\.csv or REFERENCE\.csv in .*reader=wfdb"):
        WfdbReader(tmp_path, labeller=Cinc2017()).sources()


@pytest.mark.parametrize("text", ["A1,A\nA2,X\n", "A1,A\nA2\n", "A1,A\nA2,A,1\n"])
def test_cinc2017_names_the_line_of_a_wrong_reference(tmp_path: Path, text: str) -> None:
    write(tmp_path, "A1")
    (tmp_path / "REFERENCE-v3.csv").write_text(text)
    with pytest.raises(RecordingError, match=r"REFERENCE-v3\.csv, line 2: 'A2.*expected 'record,label'"):
        read_all(tmp_path, Cinc2017())


def test_cinc2017_has_the_class_counts_of_its_readme_and_no_subjects(real_data: Path) -> None:
    labeller = Cinc2017()
    for root in (real_data / "cinc2017", real_data / "cinc2017" / "training2017"):
        sources = WfdbReader(root, labeller=labeller).sources()
        assert len(sources) == 3150
    listed = (real_data / "cinc2017" / "REFERENCE-v3.csv").read_text().split()
    recordings = {source.key: next(WfdbReader(root, labeller=labeller).read(source)) for source in sources}
    assert Counter(r.labels["rhythm"] for r in recordings.values()) == Counter(
        normal=1540, af=560, other=850, noise=200
    )
    names = {"N": "normal", "A": "af", "O": "other", "~": "noise"}
    assert all(recordings[line.split(",")[0]].labels == {"rhythm": names[line.split(",")[1]]} for line in listed)
    assert {r.subject for r in recordings.values()} == {None}
    assert {(r.sample_rate, r.leads, r.notes) for r in recordings.values()} == {(300.0, ("ECG",), ())}
    raw = np.fromfile(root / "A00004.mat", dtype="<i2", offset=24)
    np.testing.assert_allclose(recordings["A00004"].signal[0, 0], raw / 1000, atol=1e-6)


def test_mitdb_maps_beats_to_aami_classes_and_leaves_out_what_is_no_beat(tmp_path: Path) -> None:
    write(tmp_path, "100", ["75 F 1011 654 x1"])
    symbols = "NLRejAaJSVEF/fQ!x~|"
    annotate(tmp_path, "100", "atr", list(range(10, 10 + 20 * len(symbols), 20)), symbols)
    beats = label_of(read_all(tmp_path, Mitdb())["100"], "beat_type")
    assert "".join(beats.value) == "NNNNNSSSSVVFQQQ"
    np.testing.assert_allclose(beats.time_s, np.arange(15) * 0.2 + 0.1)
    assert not beats.duration_s.any()


def test_mitdb_rhythms_last_until_the_next_change_or_the_end(tmp_path: Path) -> None:
    write(tmp_path, "100")
    notes = ["(N\0", "", "(AFIB", "(ODD", "(VT\0"]
    annotate(tmp_path, "100", "atr", [50, 60, 200, 300, 450], "+N+++", notes)
    recording = read_all(tmp_path, Mitdb())["100"]
    rhythm = label_of(recording, "rhythm")
    assert rhythm.value == ("normal_sinus", "atrial_fibrillation", "ventricular_tachycardia")
    np.testing.assert_allclose(rhythm.time_s, [0.5, 2.0, 4.5])
    np.testing.assert_allclose(rhythm.duration_s, [1.5, 1.0, 5.5])
    assert recording.notes == ("rhythm 'ODD' is not in the MIT-BIH directory: left unlabelled",)


@pytest.mark.parametrize(
    ("comment", "labels"),
    [
        ("24 M 1 2 x1", {"age": 24.0, "sex": "male"}),
        ("-1 F 1 2 x1", {"sex": "female"}),
        ("61 ? 1 2 x1", {"age": 61.0}),
        ("Inderal", {}),
    ],
)
def test_mitdb_reads_age_and_sex_from_the_first_comment(
    tmp_path: Path, comment: str, labels: dict[str, str | float]
) -> None:
    write(tmp_path, "100", [comment, "33 F is not the first"])
    recording = read_all(tmp_path, Mitdb())["100"]
    assert recording.labels == labels
    assert recording.annotations == ()
    assert recording.notes == ("no .atr file: no beat types and rhythms",)


def test_mitdb_records_201_and_202_are_one_subject(tmp_path: Path) -> None:
    for name in ("200", "201", "202", "203"):
        write(tmp_path, name)
    assert [r.subject for r in read_all(tmp_path, Mitdb()).values()] == ["200", "201", "201", "203"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda data: data[:-2], "cut short, or no WFDB annotation file"),
        (lambda data: b"", "cut short, or no WFDB annotation file"),
        (lambda data: b"N 10\nV 30\n", "cut short, or no WFDB annotation file"),
        (lambda data: b"\xff\xff" * 4 + b"\0\0", "cannot read these annotations"),
        (lambda data: data[:-2] * 9 + b"\0\0", "belongs to another record"),
    ],
)
def test_a_broken_annotation_file_is_named(tmp_path: Path, damage: object, problem: str) -> None:
    assert callable(damage)
    write(tmp_path, "100")
    file = annotate(tmp_path, "100", "atr", [10, 400], "NV")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(RecordingError, match=rf"100\.atr: .*{problem}"):
        read_all(tmp_path, Mitdb())


def test_an_annotation_file_without_annotations_means_that_no_beat_occurs(tmp_path: Path) -> None:
    write(tmp_path, "100")
    (tmp_path / "100.atr").write_bytes(b"\0\0")
    recording = read_all(tmp_path, Mitdb())["100"]
    assert [len(annotations.time_s) for annotations in recording.annotations] == [0, 0]


def test_mitdb_has_the_beats_that_wfdb_reads(real_data: Path) -> None:
    reader = WfdbReader(real_data / "mitdb", [["MLII", 0]], Mitdb())
    sources = {source.key: source for source in reader.sources()}
    assert len(sources) == 22
    recording = next(reader.read(sources["208"]))
    beats, raw = label_of(recording, "beat_type"), wfdb.rdann(str(real_data / "mitdb" / "208"), "atr")
    counts = Counter(raw.symbol)
    assert Counter(beats.value) == Counter(
        N=counts["N"], S=counts["S"], V=counts["V"] + counts["E"], F=counts["F"], Q=counts["Q"]
    )
    assert (beats.value[0], beats.time_s[0]) == ("F", 46 / 360)
    assert (recording.labels, recording.subject) == ({"age": 23.0, "sex": "female"}, "208")
    assert next(reader.read(sources["114"])).leads == ("MLII",)  # second in this record
    rhythm = label_of(next(reader.read(sources["203"])), "rhythm")
    assert rhythm.value[0] == "atrial_fibrillation"
    np.testing.assert_allclose(rhythm.time_s[1:], (rhythm.time_s + rhythm.duration_s)[:-1])
    np.testing.assert_allclose((rhythm.time_s + rhythm.duration_s)[-1], 650000 / 360)


def test_ecgiddb_takes_the_lowest_age_of_a_person_and_the_date_of_each_record(tmp_path: Path) -> None:
    write(tmp_path / "Person_01", "rec_1", ["Age: 26", "Sex: male", "ECG date: 07.12.2004"])
    write(tmp_path / "Person_01", "rec_2", ["Age: 25", "Sex: male", "ECG date: 31.02.2004"])
    write(tmp_path / "Person_02", "rec_1", ["Age: 40", "Sex: female"])
    first, second, other = read_all(tmp_path, EcgIdDb()).values()
    assert first.labels == second.labels == {"age": 25.0, "sex": "male"}
    assert other.labels == {"age": 40.0, "sex": "female"}
    assert (first.subject, second.subject, other.subject) == ("Person_01", "Person_01", "Person_02")
    assert first.wall_time is not None
    assert second.wall_time is not None
    assert first.wall_time.tolist() == [datetime(2004, 12, 7, tzinfo=UTC).timestamp()]
    assert np.isnan(second.wall_time).all()
    assert first.notes == ("ages of Person_01 differ: the lowest was taken",)
    assert "date unknown" in second.notes[-1]


def test_ecgiddb_outside_a_person_folder_has_no_subject(tmp_path: Path) -> None:
    write(tmp_path, "rec_1", ["Age: 26", "Sex: male", "ECG date: 07.12.2004"])
    recording = read_all(tmp_path, EcgIdDb())["rec_1"]
    assert (recording.subject, recording.labels) == (None, {"age": 26.0, "sex": "male"})
    assert "is not called Person_NN" in recording.notes[0]


def test_ecgiddb_has_60_persons_31_women_and_29_men(real_data: Path) -> None:
    recordings = read_all(real_data / "ecgiddb", EcgIdDb())
    assert len(recordings) == 227
    sex = {recording.subject: recording.labels["sex"] for recording in recordings.values()}
    assert Counter(sex.values()) == Counter(female=31, male=29)
    assert {(r.leads, r.sample_rate) for r in recordings.values()} == {(("ECG I",), 500.0)}
    years = {
        datetime.fromtimestamp(float(r.wall_time[0]), UTC).year for r in recordings.values() if r.wall_time is not None
    }
    assert years <= {2004, 2005}
