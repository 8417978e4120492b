"""Writes a cohort in the layout of the TILES-2018 public release, to try its reader on files whose content is known.

The layout is the one that the publisher's release scripts (usc-sail/tiles-dataset-release) describe. As a program:

    python -m tiles_ecg.reader.tiles_release --out DIR --subjects 10
"""

import argparse
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.reader.tiles_release_rows import (
    PACIFIC,
    EcgFormat,
    EcgRows,
    recording_rows,
    write_ecg,
    write_table,
)
from tiles_ecg.recording import LabelValue, Reader, Recording, RecordingError, Source

SURVEYS = ("stressd", "anxiety")
_SURVEY_COLUMNS = ("participant_id", "surveytype", "start_ts", "completed_ts")
_METADATA_COLUMNS = ("record_id", "date", "rrCoverageRatio", "n_bursts")
_INFO_COLUMNS = ("ParticipantID", "currentposition", "age", "sex", "first_day", "n_records", "Shift", "wave", "dropout")
_README = """# Generated files in the layout of the TILES-2018 release

Nothing here was recorded from a person: signals, answers and traits come from a generator (`tiles_ecg`).

- `omsignal/ecg/<participant>.csv.gz`: bursts of ECG, one row a sample; the time is US/Pacific wall time without offset.
  `raw_ecg` is {number}, {units_per_mv:g} units in 1 mV (the unit of the release is not known).
- `omsignal/metadata/<participant>.csv.gz`: one row a recording. `record_id` and `rrCoverageRatio` are names of the
  release; `date` and `n_bursts` are ours, as the names of its other columns are not known. The ratio is drawn at random
  and says nothing about the signal: each recording lies at or below 0.9 with probability {low:g}.
- `surveys/scored/EMAs/stressd.csv.gz`, `anxiety.csv.gz`: one answer a recording, 1 to 5, which rises with the share of
  its bursts in a stress episode; about 5 % are missing. The values in `surveytype` and `Finished` are ours.
- `metadata/participant-info/participant-info.csv.gz`: `ParticipantID`, `currentposition` (A = nurse) and `Shift` are
  names of the release; shift, wave and drop-out stand in columns 7, 8 and 9 as there. All other names are ours. The
  values of `wave` and `currentposition` mean nothing.
"""


@dataclass(frozen=True)
class _Day:
    """What the tables need of one recording; first and last burst in seconds since the epoch."""

    first_s: float
    last_s: float
    n_bursts: int
    stress_share: float
    labels: dict[str, LabelValue]


def write_release(
    reader: Reader,
    root: Path | str,
    *,
    seed: int = 0,
    number: Literal["integer", "float"] = "integer",
    units_per_mv: float = 1000.0,
    low_coverage_share: float = 0.15,
    time_column: str = "timestamp",
    with_record_id: bool = True,
    shuffle: bool = False,
    duplicate_rows: int = 0,
) -> dict[str, str]:
    """Write every source of a reader as one participant; the same arguments give the same bytes.

    Args:
        reader: A cohort of one lead whose recordings know their wall time, such as `SyntheticReader`.
        root: Folder to write into; made if absent.
        seed: Of the participants' ids, coverage ratios and answers.
        number: Whether `raw_ecg` is rounded to whole units, as from a converter, or written with all digits of float32.
        units_per_mv: Units of `raw_ecg` in 1 mV.
        low_coverage_share: Probability that the `rrCoverageRatio` of a recording is 0.9 or less.
        time_column: `timestamp`, or `Timestamp` as in some files.
        with_record_id: False leaves `record_id` out of the ECG files, as in some files.
        shuffle: Whether the rows of an ECG file come in random order.
        duplicate_rows: So many rows of each ECG file, drawn at random, stand there twice.

    Returns:
        Participant id by `Source.key`.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: `root` already holds a part of a release.
        RecordingError: A recording has no wall time, no burst or several leads.
    """
    root = Path(root)
    form = EcgFormat(number, units_per_mv, time_column, with_record_id, shuffle, duplicate_rows)
    if not 0.0 <= low_coverage_share <= 1.0:
        raise ValueError(f"low_coverage_share = {low_coverage_share}; choose a probability, 0 to 1")
    for name in ("omsignal", "surveys", "metadata"):
        if (root / name).exists():
            raise FileExistsError(f"{root / name} exists already; choose a new or empty folder for the release")
    participants: dict[str, str] = {}
    info: list[Sequence[object]] = []
    answers: dict[str, list[Sequence[object]]] = {name: [] for name in SURVEYS}
    for source in reader.sources():
        participant = participants[source.key] = participant_id(seed, source.key)
        rng = np.random.default_rng(uuid.UUID(participant).int)
        days: list[_Day] = []
        write_ecg(root / f"omsignal/ecg/{participant}.csv.gz", _rows(reader, source, days), form, rng)
        write_table(
            root / f"omsignal/metadata/{participant}.csv.gz",
            _METADATA_COLUMNS,
            _metadata(days, low_coverage_share, rng),
        )
        for rows in answers.values():
            rows.extend((participant, *_answer(day, rng)) for day in days)
        info.append((participant, *_participant(days, rng)))
    for name, rows in answers.items():
        write_table(root / f"surveys/scored/EMAs/{name}.csv.gz", (*_SURVEY_COLUMNS, name, "Finished"), rows)
    write_table(root / "metadata/participant-info/participant-info.csv.gz", _INFO_COLUMNS, info)
    kind = "a whole number" if number == "integer" else "a float"
    text = _README.format(number=kind, units_per_mv=units_per_mv, low=low_coverage_share)
    (root / "README.md").write_text(text, encoding="utf-8")
    return participants


def participant_id(seed: int, key: str) -> str:
    """Lower-case UUID of a source, a function of its key and the seed alone."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{seed}/{key}".encode()).digest()[:16], version=4))


def _rows(reader: Reader, source: Source, days: list[_Day]) -> Iterator[EcgRows]:
    """Rows of each recording of a source; what the tables need of it is added to `days` on the way."""
    for record_id, recording in enumerate(reader.read(source)):
        rows = recording_rows(recording, record_id)
        if recording.wall_time is None or not len(recording.wall_time):
            raise RecordingError(f"{recording.id}: no burst; a TILES release needs at least one in each recording")
        first_s, last_s = float(recording.wall_time[0]), float(recording.wall_time[-1])
        days.append(_Day(first_s, last_s, len(recording.signal), _stress_share(recording), dict(recording.labels)))
        yield rows


def _stress_share(recording: Recording) -> float:
    """Share of the annotated time in stress, 0 without such annotations."""
    for annotations in recording.annotations:
        if annotations.label == "stress":
            stressed = np.array([value == "yes" for value in annotations.value])
            return float(np.average(stressed, weights=annotations.duration_s))
    return 0.0


def _metadata(days: list[_Day], low_share: float, rng: np.random.Generator) -> Iterator[Sequence[object]]:
    for record_id, day in enumerate(days):
        low, high = (0.3, 0.9) if rng.random() < low_share else (0.91, 1.0)
        yield record_id, _local(day.first_s, "%Y-%m-%d"), f"{rng.uniform(low, high):.4f}", day.n_bursts


def _answer(day: _Day, rng: np.random.Generator) -> Sequence[object]:
    """A day's answer some minutes after its recording: 1 without stress, 5 from a share of 80 % on, error 0.4."""
    start_s = day.last_s + rng.uniform(600.0, 3600.0)
    score = int(np.clip(np.rint(1.0 + 5.0 * day.stress_share + rng.normal(0.0, 0.4)), 1, 5))
    times = [_local(second, "%Y-%m-%dT%H:%M:%S") for second in (start_s, start_s + rng.uniform(60.0, 600.0))]
    return ("daily", *times, "", 0) if rng.random() < 0.05 else ("daily", *times, score, 1)


def _participant(days: list[_Day], rng: np.random.Generator) -> Sequence[object]:
    labels = days[0].labels if days else {}
    shift = f"{str(labels['shift']).capitalize()} shift" if "shift" in labels else ""
    first = _local(days[0].first_s, "%Y-%m-%d") if days else ""
    position, wave = "ABC"[rng.integers(0, 3)], int(rng.integers(1, 4))
    return position, labels.get("age", ""), labels.get("sex", ""), first, len(days), shift, wave, ""


def _local(second: float, form: str) -> str:
    return datetime.fromtimestamp(second, PACIFIC).strftime(form)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a synthetic release from the command line; a mistake ends with exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tiles_ecg.reader.tiles_release",
        description="Write synthetic recordings in the layout of the TILES-2018 release.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into, new or empty")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--sessions", type=int, default=3, help="recordings a subject")
    parser.add_argument("--session-hours", type=float, default=2.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", choices=("integer", "float"), default="integer", help="how raw_ecg is written")
    given = parser.parse_args(arguments)
    try:
        reader = SyntheticReader(given.subjects, given.sessions, given.session_hours, given.seed)
        participants = write_release(reader, given.out, seed=given.seed, number=given.number)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{given.out}: {len(participants)} participants")


if __name__ == "__main__":
    main()
