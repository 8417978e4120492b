"""QtDb against hand-made marks, and against a walk through the raw marks of the QT Database."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import wfdb

from tiles_ecg.reader.physionet_qtdb import QtDb
from tiles_ecg.reader.wfdb import WfdbReader
from tiles_ecg.recording import Annotations, Recording

RATE = 100  # of the hand-made records, 10 s long


def write(folder: Path, name: str, comments: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name, RATE, ["mV"], ["I"], p_signal=np.arange(1000)[:, None] / 1000, fmt=["16"], adc_gain=[1000.0],
        baseline=[0], comments=comments, write_dir=str(folder),
    )  # fmt: skip


def annotate(folder: Path, name: str, annotator: str, samples: list[int], symbols: str) -> None:
    """Writes annotations; wfdb allows only letters in the annotator, so the file is renamed afterwards."""
    wfdb.wrann(name, "tmp", np.array(samples), list(symbols), write_dir=str(folder))
    (folder / f"{name}.tmp").rename(folder / f"{name}.{annotator}")


def read_all(root: Path, boundaries: str = "q1c") -> dict[str, Recording]:
    reader = pickle.loads(pickle.dumps(WfdbReader(root, labeller=QtDb(boundaries))))
    return {source.key: next(reader.read(source)) for source in reader.sources()}


def label_of(recording: Recording, name: str) -> Annotations:
    (found,) = (annotations for annotations in recording.annotations if annotations.label == name)
    return found


def test_qtdb_measures_the_intervals_whose_both_ends_are_marked(tmp_path: Path) -> None:
    write(tmp_path, "sel16000")
    beats = {"(p)(N)t)": 0, "(p)(V)(t)u)": 200, "(N)t)": 400, "(p)(N)": 600, "p)(N)tt)": 800}
    samples = [start + 5 * step for pattern, start in beats.items() for step in range(len(pattern))]
    annotate(tmp_path, "sel16000", "q1c", samples, "".join(beats))
    recording = read_all(tmp_path)["sel16000"]
    step = 1000 * 5 / RATE  # ms from one mark to the next
    pr, qrs, qt = (label_of(recording, name) for name in ("pr_ms", "qrs_ms", "qt_ms"))
    np.testing.assert_allclose(np.asarray(pr.value, dtype=float), [3 * step] * 3)
    np.testing.assert_allclose(pr.time_s, [0.2, 2.2, 6.2])
    np.testing.assert_allclose(np.asarray(qrs.value, dtype=float), [2 * step] * 5)
    np.testing.assert_allclose(np.asarray(qt.value, dtype=float), [4 * step, 5 * step, 4 * step, 5 * step])
    np.testing.assert_allclose(qt.time_s, [0.2, 2.2, 4.05, 8.15])
    assert recording.notes == ("no .atr file: no beat types",)


def test_qtdb_joins_european_records_of_one_age_and_sex_into_one_subject(tmp_path: Path) -> None:
    for name, comment in (
        ("sel16000", "Produced by xform"), ("sel100", "69 M 1085 1629 x1"), ("sele0001", "Age: 47  Sex: M"),
        ("sele0002", "Age: 47  Sex: M"), ("sele0003", "Age: 47  Sex: F"), ("sele0004", "unknown"),
    ):  # fmt: skip
        write(tmp_path, name, [comment])
    recordings = read_all(tmp_path)
    assert {key: recording.subject for key, recording in recordings.items()} == {
        "sel16000": "sel16000", "sel100": "sel100", "sele0001": "edb 47 male", "sele0002": "edb 47 male",
        "sele0003": "edb 47 female", "sele0004": None,
    }  # fmt: skip
    assert recordings["sele0001"].labels == {"age": 47.0, "sex": "male"}
    assert "count as one subject" in recordings["sele0001"].notes[0]
    assert "no .q1c file: no PR, QRS and QT intervals" in recordings["sele0001"].notes


def test_qtdb_intervals_equal_those_walked_through_the_raw_marks(real_data: Path) -> None:
    recordings = read_all(real_data / "qtdb")
    assert len(recordings) == 24
    assert {recording.sample_rate for recording in recordings.values()} == {250.0}  # one header says 250/128
    assert recordings["sel16265"].signal.shape == (1, 1, 224999)
    for key, recording in recordings.items():
        raw = wfdb.rdann(str(real_data / "qtdb" / key), "q1c")
        expected: dict[str, list[float]] = {"pr_ms": [], "qrs_ms": [], "qt_ms": []}
        for peak in np.flatnonzero(np.array(raw.symbol) == "N"):
            onset, after = raw.sample[peak - 1], list(raw.symbol[peak + 1 :])
            t_end = peak + 1 + next(i for i in range(after.index("t"), len(after)) if after[i] == ")")
            expected["pr_ms"].append(4 * (onset - raw.sample[peak - 4]))  # a point of 250 Hz is 4 ms
            expected["qrs_ms"].append(4 * (raw.sample[peak + 1] - onset))
            expected["qt_ms"].append(4 * (raw.sample[t_end] - onset))
        for name, values in expected.items():
            np.testing.assert_allclose(np.asarray(label_of(recording, name).value, dtype=float), values)
    first = label_of(recordings["sel16265"], "qt_ms")
    assert first.time_s[0] == 150435 / 250
    assert float(first.value[0]) == pytest.approx(4 * (150524 - 150416))


def test_qtdb_can_use_the_automatic_boundaries(real_data: Path) -> None:
    reader = WfdbReader(real_data / "qtdb", labeller=QtDb("pu0"))
    source = reader.sources()[0]
    assert {file.suffix for file in source.files} == {".hea", ".dat", ".pu0", ".atr"}
    qt = label_of(next(reader.read(source)), "qt_ms")
    assert len(qt.time_s) > 900  # of 1031 beats
    assert 350 < np.median(np.asarray(qt.value, dtype=float)) < 450
