"""Labellers: what datasets of PhysioNet know beyond their WFDB signals (the QT Database: `physionet_qtdb`).

References:
    Goldberger et al., PhysioBank, PhysioToolkit, and PhysioNet, Circulation 101(23):e215-e220, 2000.
"""

import csv
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from tiles_ecg.reader.wfdb import RecordLabels, WfdbRecord
from tiles_ecg.reader.wfdb_events import AAMI_CLASSES, Events, beat_types, events_path, read_events
from tiles_ecg.reader.wfdb_header import blaming, read_comments
from tiles_ecg.recording import Annotations, LabelSpec, LabelValue, RecordingError

AGE = LabelSpec("age", "subject", "continuous", unit="year")
SEX = LabelSpec("sex", "subject", "categorical", ("female", "male"))
BEAT_TYPE = LabelSpec("beat_type", "window", "multilabel", AAMI_CLASSES)
SEX_OF_LETTER = {"F": "female", "M": "male"}

_CINC2017_CLASSES = {"N": "normal", "A": "af", "O": "other", "~": "noise"}


@dataclass(frozen=True)
class Cinc2017:
    """Rhythm of each recording of the PhysioNet/Computing in Cardiology Challenge 2017.

    `rhythm` (categorical, recording): normal (`N`), af (`A`), other (`O`), noise (`~`), from `REFERENCE-v3.csv`, the
    last revision, or where there is none `REFERENCE.csv`: beside the records, in the folder above, or in the root. A
    recording that the file does not list has no label. The publisher gives no subject ids, so there are none here.

    References:
        Clifford et al., AF classification from a short single lead ECG recording, CinC 2017.
    """

    labels: tuple[LabelSpec, ...] = field(
        default=(LabelSpec("rhythm", "recording", "categorical", tuple(_CINC2017_CLASSES.values())),), init=False
    )

    def files(self, root: Path, path: Path) -> tuple[Path, ...]:
        """The reference file; raises `RecordingError` where there is none."""
        return (self._find_reference(root, path),)

    def label(self, record: WfdbRecord) -> RecordLabels:
        """Looks the record up in the reference file."""
        reference = self._find_reference(record.root, record.path)
        rhythm = _read_reference(reference, reference.stat().st_mtime_ns).get(record.path.name)
        if rhythm is None:
            return RecordLabels(notes=(f"not listed in {reference.name}: no rhythm label",))
        return RecordLabels(values={"rhythm": rhythm})

    def _find_reference(self, root: Path, path: Path) -> Path:
        folders = dict.fromkeys((path.parent, path.parent.parent, root))
        for name in ("REFERENCE-v3.csv", "REFERENCE.csv"):
            for folder in folders:
                if (folder / name).is_file():
                    return folder / name
        raise RecordingError(
            f"no REFERENCE-v3.csv or REFERENCE.csv in {', '.join(map(str, folders))}: the labels of the records; copy "
            "it there, or read the records without labels (reader=wfdb)"
        )


@lru_cache(maxsize=8)
def _read_reference(file: Path, modified_ns: int) -> dict[str, str]:
    """Rhythm of each record; `modified_ns` makes a changed file be read again."""
    rhythms = {}
    with blaming(file, "cannot be read as lines of 'record,label'"), file.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            if not row:
                continue
            if len(row) != 2 or row[1].strip() not in _CINC2017_CLASSES:
                raise RecordingError(
                    f"{file}, line {number}: {','.join(row)[:60]!r}; expected 'record,label' with a label of "
                    f"{', '.join(_CINC2017_CLASSES)}"
                )
            rhythms[row[0].strip()] = _CINC2017_CLASSES[row[1].strip()]
    return rhythms


_MITDB_RHYTHMS = {
    "N": "normal_sinus",
    "AB": "atrial_bigeminy",
    "AFIB": "atrial_fibrillation",
    "AFL": "atrial_flutter",
    "B": "ventricular_bigeminy",
    "BII": "second_degree_block",
    "IVR": "idioventricular",
    "NOD": "nodal",
    "P": "paced",
    "PREX": "preexcitation",
    "SBR": "sinus_bradycardia",
    "SVTA": "supraventricular_tachyarrhythmia",
    "T": "ventricular_trigeminy",
    "VFL": "ventricular_flutter",
    "VT": "ventricular_tachycardia",
}


@dataclass(frozen=True)
class Mitdb:
    """Subjects, beats and rhythms of the MIT-BIH Arrhythmia Database.

    - Subject: the record name, but record 202 is subject 201: both come from the same man (MIT-BIH Arrhythmia Database
      Directory, "201" and "202").
    - `age` (years) and `sex` from the first header comment (`# 75 F 1011 654 x1`); an age of -1 is missing.
    - `beat_type` (multilabel, window): AAMI classes, see `wfdb_events.beat_types`.
    - `rhythm` (categorical, window): spans from each rhythm change (`+` with a note such as `(AFIB`) to the next; the
      few samples before the first are unlabelled. The classes are all 15 of the directory.

    A record without `.atr` has no beats and rhythms, and a note says so.

    References:
        Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng Med Biol 20(3):45-50, 2001.
        Directory: https://physionet.org/files/mitdb/1.0.0/mitdbdir/
    """

    labels: tuple[LabelSpec, ...] = field(
        default=(
            AGE,
            SEX,
            BEAT_TYPE,
            LabelSpec("rhythm", "window", "categorical", tuple(_MITDB_RHYTHMS.values())),
        ),
        init=False,
    )

    def files(self, root: Path, path: Path) -> tuple[Path, ...]:
        """The `.atr` file of the record."""
        file = events_path(path, "atr")
        return (file,) if file.is_file() else ()

    def label(self, record: WfdbRecord) -> RecordLabels:
        """Reads the header comments and the `.atr` file."""
        subject = {"202": "201"}.get(record.path.name, record.path.name)
        values: dict[str, LabelValue] = {}
        about = re.match(r"(-?\d+|\?)\s+([MF?])(?:\s|$)", record.comments[0]) if record.comments else None
        if about is not None and about[1] != "?" and int(about[1]) >= 0:
            values["age"] = float(about[1])
        if about is not None and about[2] in SEX_OF_LETTER:
            values["sex"] = SEX_OF_LETTER[about[2]]
        events = read_events(record, "atr")
        if events is None:
            return RecordLabels(subject, values, notes=("no .atr file: no beat types and rhythms",))
        rhythm, unknown = _rhythm_spans(events, record.duration_s)
        notes = tuple(f"rhythm {code!r} is not in the MIT-BIH directory: left unlabelled" for code in unknown)
        return RecordLabels(subject, values, (beat_types(events), rhythm), notes=notes)


def _rhythm_spans(events: Events, duration_s: float) -> tuple[Annotations, list[str]]:
    """Rhythm spans, and the codes that are not among the classes (their spans are left out)."""
    changes = [
        (time_s, note[1:])
        for time_s, symbol, note in zip(events.time_s, events.symbol, events.note, strict=True)
        if symbol == "+" and note.startswith("(")
    ]
    spans = [(start, end - start, code) for (start, code), (end, _) in pairwise([*changes, (duration_s, "")])]
    known = [(start, length, _MITDB_RHYTHMS[code]) for start, length, code in spans if code in _MITDB_RHYTHMS]
    rhythm = Annotations(
        label="rhythm",
        time_s=np.array([start for start, _, _ in known], dtype=np.float64),
        value=tuple(name for _, _, name in known),
        duration_s=np.array([length for _, length, _ in known], dtype=np.float64),
    )
    return rhythm, sorted({code for _, _, code in spans} - set(_MITDB_RHYTHMS))


@dataclass(frozen=True)
class EcgIdDb:
    """Persons, sex, age and date of the ECG-ID Database.

    - Subject: the folder of the record (`Person_NN`); None elsewhere.
    - `sex`, `age` (years) from the header comments. A person's records are some months apart and so the age may differ
      between them: the lowest, that of the earliest record, stands for all, and a note says so.
    - Wall time from the comment `ECG date: dd.mm.yyyy`: midnight UTC of that day, as the time of day is not known.

    Signal 0 is raw (`ECG I`), signal 1 the publisher's filtered one (`ECG I filtered`). `.atr` is not used: its R and T
    peaks are those of an unaudited detector.

    References:
        Lugovaya, Biometric human identification based on electrocardiogram, master's thesis, 2005.
    """

    labels: tuple[LabelSpec, ...] = field(default=(AGE, SEX), init=False)

    def files(self, root: Path, path: Path) -> tuple[Path, ...]:
        """The headers of all records of the person."""
        return tuple(sorted(path.parent.glob("*.hea")))

    def label(self, record: WfdbRecord) -> RecordLabels:
        """Reads the header comments of all records of the person."""
        own = _named_comments(record.comments)
        folder = record.path.parent
        is_person = folder.name.startswith("Person_")
        headers = self.files(record.root, record.path) if is_person else ()
        found = [_named_comments(read_comments(header)).get("age", "") for header in headers] or [own.get("age", "")]
        ages = {float(age) for age in found if age.isdecimal()}
        values: dict[str, LabelValue] = {"age": min(ages)} if ages else {}
        if own.get("sex") in ("female", "male"):
            values["sex"] = own["sex"]
        notes: tuple[str, ...] = ()
        if len(ages) > 1:
            notes += (f"ages of {folder.name} differ: the lowest was taken",)
        if not is_person:
            notes += (f"folder {folder.name!r} is not called Person_NN: subject unknown",)
        wall_time = math.nan
        try:
            wall_time = datetime.strptime(own.get("ecg date", ""), "%d.%m.%Y").replace(tzinfo=UTC).timestamp()
        except ValueError:
            notes += ("no 'ECG date: dd.mm.yyyy' in the header: date unknown",)
        return RecordLabels(folder.name if is_person else None, values, wall_time=wall_time, notes=notes)


def _named_comments(comments: tuple[str, ...]) -> dict[str, str]:
    """Comments of the form `Name: value`, by lower-case name."""
    pairs = (comment.partition(":") for comment in comments)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
