"""Labeller of the QT Database of PhysioNet: PR, QRS and QT intervals measured by hand, beats, subjects."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tiles_ecg.reader.physionet import AGE, BEAT_TYPE, SEX, SEX_OF_LETTER
from tiles_ecg.reader.wfdb import RecordLabels, WfdbRecord
from tiles_ecg.reader.wfdb_events import Events, beat_types, events_path, is_beat, read_events
from tiles_ecg.recording import Annotations, LabelSpec, LabelValue

# One beat with each beat symbol written as N: (p)(N)t) or (p)(N)(t); the P wave may lack, T waves of two peaks occur.
_BEAT = re.compile(r"(?P<p>\(p+\))?(?P<onset>\()(?P<qrs>N)(?P<offset>\))(?:\(?t+(?P<t>\)))?")


@dataclass(frozen=True)
class QtDb:
    """Intervals, beats and subjects of the QT Database.

    - `pr_ms`, `qrs_ms`, `qt_ms` (continuous, window, ms): P onset to QRS onset, QRS onset to offset, QRS onset to T
      end, of each beat whose waves are marked, as point events at its QRS annotation; so a window takes the plain mean
      of its beats. Marks come from `boundaries`, as `(p)(N)t)` (P onset, peak, end; QRS the same; T peak and end), with
      `(t)` where the onset of T is marked too. An interval of which one end is not marked is left out. By hand some 30
      beats a record are marked, so most windows have no value.
    - `beat_type` (multilabel, window) from `.atr`: AAMI classes, see `wfdb_events.beat_types`.
    - Subject: the record, as its parent databases have one record a subject; but not so the European ST-T Database
      (`sele*`: 90 records of 79 subjects, not told which). Its records with the same age and sex are treated as one
      subject, `edb <age> <sex>`: more people may be joined than should be, but none is torn apart by a split.
    - `age` (years), `sex` from the header comments, where given (`sele*`).

    The full database also has excerpts of the MIT-BIH Arrhythmia Database (`sel100`, ...): the same people as there.

    Args:
        boundaries: Annotator whose marks are used: `q1c` is manual, second pass; `pu0`, `pu1`, `pu` are automatic.

    References:
        Laguna et al., A database for evaluation of algorithms for measurement of QT and other waveform intervals in the
        ECG, Computers in Cardiology 24:673-676, 1997. Parent: https://physionet.org/content/edb/1.0.0/
    """

    boundaries: str = "q1c"
    labels: tuple[LabelSpec, ...] = field(
        default=(
            AGE,
            SEX,
            BEAT_TYPE,
            LabelSpec("pr_ms", "window", "continuous", unit="ms"),
            LabelSpec("qrs_ms", "window", "continuous", unit="ms"),
            LabelSpec("qt_ms", "window", "continuous", unit="ms"),
        ),
        init=False,
    )

    def files(self, root: Path, path: Path) -> tuple[Path, ...]:
        """The annotation files of the record that exist."""
        files = (events_path(path, self.boundaries), events_path(path, "atr"))
        return tuple(file for file in files if file.is_file())

    def label(self, record: WfdbRecord) -> RecordLabels:
        """Reads the header comments, the boundaries and the beats."""
        about = re.search(r"Age:\s*(\d+)\s+Sex:\s*([MF])", "\n".join(record.comments))
        values: dict[str, LabelValue] = {"age": float(about[1]), "sex": SEX_OF_LETTER[about[2]]} if about else {}
        subject, notes = _find_subject(record.path.name, values)
        annotations: tuple[Annotations, ...] = ()
        marks = read_events(record, self.boundaries)
        if marks is None:
            notes += (f"no .{self.boundaries} file: no PR, QRS and QT intervals",)
        else:
            annotations += _intervals(marks)
        beats = read_events(record, "atr")
        if beats is None:
            notes += ("no .atr file: no beat types",)
        else:
            annotations += (beat_types(beats),)
        return RecordLabels(subject, values, annotations, notes=notes)


def _find_subject(name: str, values: dict[str, LabelValue]) -> tuple[str | None, tuple[str, ...]]:
    if not name.startswith("sele"):
        return name, ()
    if not values:
        return None, (
            "of the European ST-T Database, which has several records of some people, but no age and sex given",
        )
    note = (
        "the European ST-T Database has several records of some people: those of one age and sex count as one subject"
    )
    return f"edb {values['age']:.0f} {values['sex']}", (note,)


def _intervals(marks: Events) -> tuple[Annotations, ...]:
    text = "".join("N" if is_beat(symbol) else symbol if symbol in "()pt" else "." for symbol in marks.symbol)
    beats = list(_BEAT.finditer(text))

    def measure(label: str, first: Callable[[re.Match[str]], int], last: Callable[[re.Match[str]], int]) -> Annotations:
        """Interval between two marks of each beat that has both; -1 stands for a mark that is not there."""
        whole = [beat for beat in beats if first(beat) >= 0 and last(beat) >= 0]
        start, end, at = ([pick(beat) for beat in whole] for pick in (first, last, lambda beat: beat.start("qrs")))
        return Annotations(
            label=label,
            time_s=marks.time_s[at],
            value=1e3 * (marks.time_s[end] - marks.time_s[start]),
            duration_s=np.zeros(len(whole)),
        )

    return (
        measure("pr_ms", lambda beat: beat.start("p"), lambda beat: beat.start("onset")),
        measure("qrs_ms", lambda beat: beat.start("onset"), lambda beat: beat.start("offset")),
        measure("qt_ms", lambda beat: beat.start("onset"), lambda beat: beat.start("t")),
    )
