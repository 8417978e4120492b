"""The manifest of a user's own data: a CSV file with one row a recording -> checked rows."""

import csv
import gzip
import io
import math
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from tiles_ecg.reader.delimited import explain_file_error, read_header
from tiles_ecg.reader.signal_file import is_edf
from tiles_ecg.recording import RecordingError

COLUMNS = ("file", "subject", "recording", "sample_rate", "signal", "unit", "lead", "start")
"""Columns with a meaning; every other column is a label."""
MISSING = ("", "na", "n/a", "nan", "null")
"""Text that means no value, in any case."""
MAX_PROBLEMS = 5
"""Problems of a manifest that are spelt out."""
MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "\N{MICRO SIGN}v": 1e-3, "\N{GREEK SMALL LETTER MU}v": 1e-3, "mv": 1.0, "v": 1e3}
"""Millivolts in one unit, by its lower-case name."""
ARBITRARY = ("a.u.", "au")
Unit = Literal["mV", "uV", "V", "nV", "a.u."]
"""Units as a config spells them; a manifest may use other spellings."""


@dataclass(frozen=True)
class Cells:
    """Text of a manifest: line number of each row, and its cells by column."""

    names: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Defaults:
    """What holds for rows that do not say it themselves; None or empty where nothing is said."""

    sample_rate: float | None
    signal: tuple[str, ...]
    unit: str | None
    lead: tuple[str, ...]
    time_zone: str


@dataclass(frozen=True)
class Row:
    """One recording of a manifest.

    Attributes:
        key: Its id, unique in the manifest.
        file: As written, relative to the root or absolute.
        subject: None where empty.
        sample_rate: Hz; None only for EDF.
        signal: Names of what to read; empty if there is only one thing to read.
        unit: As written; None only for EDF.
        lead: Names of the leads; empty where not given.
        start: Seconds since the epoch (UTC), NaN where empty.
    """

    key: str
    file: str
    subject: str | None
    sample_rate: float | None
    signal: tuple[str, ...]
    unit: str | None
    lead: tuple[str, ...]
    start: float


def scale_to_mv(unit: str) -> float | None:
    """Millivolts in one `unit`; None for arbitrary units.

    Raises:
        ValueError: If the unit is not known.
    """
    name = unit.strip().lower()
    if name in ARBITRARY:
        return None
    if name not in MILLIVOLTS:
        raise ValueError(f"unit {unit!r} is unknown; use mV, uV, V, or a.u. where the device does not tell")
    return MILLIVOLTS[name]


def split_names(text: str) -> tuple[str, ...]:
    """`ecg1;ecg2` -> its names."""
    return tuple(name.strip() for name in text.split(";") if name.strip())


def read_cells(path: Path) -> Cells:
    """Read the text of a manifest; blank lines are passed over.

    Raises:
        RecordingError: If the file is missing, damaged, empty or not UTF-8, lacks the column `file`, repeats a column,
            or has a row of another length than the header.
    """
    header = read_header(path)
    if "file" not in header.names:
        raise RecordingError(f"{path}: no column 'file'; the columns are {', '.join(header.names)}")
    if repeated := {name for name in header.names if header.names.count(name) > 1}:
        raise RecordingError(f"{path}: column {', '.join(sorted(repeated))} occurs more than once")
    lines, rows = [], []
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), delimiter=header.delimiter)
    next(reader)
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header.names):
            raise RecordingError(
                f"{path}: row {reader.line_num} has {len(cells)} columns where the header has {len(header.names)}; "
                "quote cells that hold the delimiter"
            )
        lines.append(reader.line_num)
        rows.append({name: cell.strip() for name, cell in zip(header.names, cells, strict=True)})
    if not rows:
        raise RecordingError(f"{path}: a header ({', '.join(header.names)}) but no rows: add one for each recording")
    return Cells(header.names, tuple(lines), tuple(rows))


def _read_text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {explain_file_error(error)}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise RecordingError(f"{path}: row {row} is not UTF-8 text; save it again as CSV UTF-8") from None


def check_rows(path: Path, cells: Cells, defaults: Defaults) -> tuple[Row, ...]:
    """Turn the text of each row into a `Row`.

    Raises:
        RecordingError: Naming the rows with a bad rate, unit, start or empty file, and rows that repeat another one.
    """
    rows, problems = [], []
    n_uses = Counter(cell["file"] for cell in cells.rows)
    for line, cell in zip(cells.lines, cells.rows, strict=True):
        try:
            rows.append(_check_row(cell, defaults, is_shared=n_uses[cell["file"]] > 1))
        except ValueError as problem:
            problems.append(f"row {line}: {problem}")
    if not problems:
        problems = _repeated(cells, rows)
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise RecordingError(f"{path}: {'; '.join(problems[:MAX_PROBLEMS])}{more}")
    return tuple(rows)


def _check_row(text: dict[str, str], defaults: Defaults, is_shared: bool) -> Row:
    cell = {name: "" if value.lower() in MISSING else value for name, value in text.items()}
    file = cell["file"]
    if not file:
        raise ValueError("column 'file' is empty")
    signal = split_names(cell.get("signal", "")) or defaults.signal
    rate = _rate(cell["sample_rate"]) if cell.get("sample_rate") else defaults.sample_rate
    unit = cell.get("unit") or defaults.unit
    for name, value, example in (("sample_rate", rate, "250"), ("unit", unit, "mV")):
        if value is None and not is_edf(file):
            raise ValueError(f"{name} is not given; fill the column, or set it for all rows: reader.{name}={example}")
    if unit is not None:
        scale_to_mv(unit)
    return Row(
        key=cell.get("recording") or (f"{file}:{';'.join(signal)}" if is_shared else file),
        file=file,
        subject=cell.get("subject") or None,
        sample_rate=rate,
        signal=signal,
        unit=unit,
        lead=split_names(cell.get("lead", "")) or defaults.lead,
        start=_start(cell["start"], defaults.time_zone) if cell.get("start") else math.nan,
    )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError(f"sample_rate = {text!r}; it has to be a positive number of Hz, such as 250")
    return rate


def _start(text: str, time_zone: str) -> float:
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"start = {text!r}; it has to be an ISO time, such as 2018-03-12T09:00:00") from None
    return to_epoch(start, time_zone)


def to_epoch(time: datetime, time_zone: str) -> float:
    """Seconds since the epoch (UTC); a time without offset is wall time in `time_zone`."""
    return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(time_zone))).timestamp()


def _repeated(cells: Cells, rows: Sequence[Row]) -> list[str]:
    problems = []
    by_content: dict[tuple[str, tuple[str, ...]], int] = {}
    by_key: dict[str, int] = {}
    for line, row in zip(cells.lines, rows, strict=True):
        first = by_content.setdefault((os.path.normpath(row.file), row.signal), line)
        if first != line:
            what = f"file {row.file}" + (f", signal {';'.join(row.signal)}" if row.signal else "")
            problems.append(f"rows {first} and {line} are the same recording ({what}); remove one")
        elif (first := by_key.setdefault(row.key, line)) != line:
            problems.append(f"rows {first} and {line} have the same recording id {row.key!r}; give each its own")
    return problems
