"""Answers to a daily survey, as the scored files of the TILES-2018 release hold them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tiles_ecg.config_signature import did_you_mean
from tiles_ecg.reader.delimited import Column, read_blocks, read_header
from tiles_ecg.recording import RecordingError
from tiles_ecg.task.day import read_wall_time
from tiles_ecg.task.example import counted
from tiles_ecg.task.target import TaskError

TIME_COLUMN = 3
"""The fourth: `completed_ts` in the release's own order of columns."""
_MISSING = {"", "na", "nan", "n/a", "null", "none", "."}


@dataclass(frozen=True)
class Answers:
    """Answers with a score and a time, in the order of the file.

    Attributes:
        participant: (A,) ids.
        wall_s: (A,) local wall time, seconds as of `tiles_ecg.task.day.wall_seconds`.
        score: (A,) float64.
        notes: What is left out, and what was taken for what.
    """

    participant: tuple[str, ...]
    wall_s: NDArray[np.float64]
    score: NDArray[np.float64]
    notes: tuple[str, ...]


def read_answers(file: Path, column: str, zone: ZoneInfo) -> Answers:
    """Read a scored survey, `.csv` or `.csv.gz`.

    Columns are found by name: `participant_id` (or `ParticipantID`, `ID`), the score (or the same with `.d`, as the
    publisher's scoring script writes it), and as time `start_ts` (or `start`), else the fourth column. Capitals, blanks
    and underscores do not matter where no column has the very name. `Finished` is not asked: an answer with a score
    counts.

    Raises:
        TaskError: If the file is missing, damaged or without rows, lacks a column, holds text for a score, or no row
            has both a score and a time.
    """
    try:
        header = read_header(file)
        participant, score, time, notes = _columns(file, header.names, column)
        kinds = [Column(name, pa.string(), "text") for name in (participant, score, time)]
        rows = [
            row
            for batch in read_blocks(file, header, kinds)
            for row in zip(*(part.to_pylist() for part in batch.columns), strict=True)
        ]
    except RecordingError as error:
        raise TaskError(str(error)) from None
    if not rows:
        raise TaskError(f"{file}: a header ({', '.join(header.names)}) but no rows")
    scores = [_number(file, number, score, row[1]) for number, row in enumerate(rows, start=2)]
    times = [read_wall_time(row[2], zone) for row in rows]
    n_empty = sum(value is None for value in scores)
    n_timeless = sum(value is not None and at is None for value, at in zip(scores, times, strict=True))
    if n_empty == len(rows):
        raise TaskError(f"{file}: column {score!r} is empty in all {counted(len(rows), 'row')}; name another column")
    if n_empty + n_timeless == len(rows):
        raise TaskError(
            f"{file}: column {time!r} holds no time where there is a score, but e.g. {rows[0][2]!r}; times are written "
            "2018-03-12T09:00:00"
        )
    if n_empty:
        notes.append(f"{n_empty:,} of {counted(len(rows), 'answer')} have no {column} and are left out")
    if n_timeless:
        notes.append(f"{n_timeless:,} of {counted(len(rows), 'answer')} have no readable time and are left out")
    kept = [
        (row[0].strip(), at, value)
        for row, at, value in zip(rows, times, scores, strict=True)
        if at is not None and value is not None
    ]
    ids, wall_s, values = zip(*kept, strict=True)
    return Answers(ids, np.array(wall_s, np.float64), np.array(values, np.float64), tuple(notes))


def _columns(file: Path, names: Sequence[str], column: str) -> tuple[str, str, str, list[str]]:
    """Columns of the participant, the score and the time, and a note where the time is not found by name."""
    participant = _find(names, ("participant_id", "ParticipantID", "ID"))
    score = _find(names, (column, f"{column}.d"))
    time = _find(names, ("start_ts", "start"))
    columns = ", ".join(names)
    if participant is None:
        raise TaskError(f"{file}: no column participant_id; its columns are {columns}")
    if score is None:
        raise TaskError(f"{file}: no column {column!r}{did_you_mean(column, names)}; its columns are {columns}")
    notes = []
    if time is None:
        time = names[TIME_COLUMN] if len(names) > TIME_COLUMN else None
        if time in (None, participant, score):
            raise TaskError(f"{file}: no column start_ts, and no time in the fourth column; its columns are {columns}")
        notes.append(f"{file.name} has no column start_ts: the time of an answer is its fourth column, {time}")
    return participant, score, str(time), notes


def _find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The column with one of the names, else one that differs in capitals and signs only."""
    for name in wanted:
        if name in names:
            return name
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[_plain(name)] for name in wanted if _plain(name) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(file: Path, row: int, column: str, text: str) -> float | None:
    """A score; None where it is missing."""
    if text.strip().lower() in _MISSING:
        return None
    try:
        value = float(text)
    except ValueError:
        raise TaskError(
            f"{file}: row {row}, column {column!r}: {text[:80]!r} is not a number; name the column of a score"
        ) from None
    return value if math.isfinite(value) else None
