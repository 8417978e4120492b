"""The CSV files of the TILES-2018 release: ECG rows, and the coverage of each recording."""

import math
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from tiles_ecg.reader.bursts import Rows
from tiles_ecg.reader.delimited import Column, Header, null_mask, read_blocks, read_header, to_numbers
from tiles_ecg.recording import RecordingError

DAY_US = 86_400_000_000
LARGEST_SHARE = 1.5
"""Above it a coverage is no share but, most likely, in percent; a sum of RR intervals may come out a little above 1."""
SUFFIXES = (".csv.gz", ".csv")
TIME_MEANING = "a wall time without offset, such as 2018-03-12T09:00:00.004 (YYYY-MM-DDTHH:MM:SS.mmm)"
RECORD_MEANING = "a whole number, the recording that the row belongs to"


def participant_of(file: Path) -> str | None:
    """Participant id that a file is named after; None if it is no CSV file of the release."""
    name = file.name
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    return None if suffix is None or name.startswith(".") else name.removesuffix(suffix)


def read_ecg(file: Path, header: Header) -> Iterator[Rows]:
    """Stream the rows of an ECG file; `record` is 0 throughout where the file has no `record_id`.

    Raises:
        RecordingError: If a column is missing, a value is not what it should be, or the file is damaged.
    """
    time = "timestamp" if "timestamp" in header.names else "Timestamp"
    columns = [Column(time, pa.timestamp("us"), TIME_MEANING), Column("raw_ecg", pa.float32(), "a number or empty")]
    if missing := [column.name for column in columns if column.name not in header.names]:
        raise RecordingError(
            f"{file}: {' and '.join(missing)} missing; its columns are {', '.join(header.names)}, an ECG file of the "
            "release has record_id, timestamp (or Timestamp) and raw_ecg"
        )
    if "record_id" in header.names:
        columns.append(Column("record_id", pa.int32(), RECORD_MEANING))
    n_before = 0
    for batch in read_blocks(file, header, columns):
        for name in (time, *batch.schema.names[2:]):
            _refuse_empty(file, batch.column(name), name, n_before)
        yield Rows(
            to_numbers(batch.column(2), np.int32) if len(columns) > 2 else np.zeros(batch.num_rows, np.int32),
            to_numbers(batch.column(0), np.int64),
            to_numbers(batch.column(1), np.float32),
        )
        n_before += batch.num_rows


def read_coverage(file: Path) -> dict[int, float]:
    """`rrCoverageRatio` (0 to 1, NaN where empty) by `record_id`; of repeated records the lowest, NaN below all.

    Raises:
        RecordingError: If a column is missing, a value is not a share, or the file is damaged.
    """
    header = read_header(file)
    columns = [
        Column("record_id", pa.int32(), RECORD_MEANING),
        Column("rrCoverageRatio", pa.float64(), "a share of 0 to 1, or empty"),
    ]
    if missing := [column.name for column in columns if column.name not in header.names]:
        raise RecordingError(
            f"{file}: {' and '.join(missing)} missing; its columns are {', '.join(header.names)}, a metadata file of "
            "the release has record_id and rrCoverageRatio"
        )
    coverage: dict[int, float] = {}
    n_before = 0
    for batch in read_blocks(file, header, columns):
        _refuse_empty(file, batch.column(0), "record_id", n_before)
        n_before += batch.num_rows
        records, ratios = to_numbers(batch.column(0), np.int32), to_numbers(batch.column(1), np.float64)
        for record, ratio in zip(records.tolist(), ratios.tolist(), strict=True):
            if ratio < 0 or ratio > LARGEST_SHARE:
                raise RecordingError(
                    f"{file}: rrCoverageRatio = {ratio:g} of record {record}; it has to be a share of 0 to 1, so "
                    "divide the column by 100 if it is in percent"
                )
            coverage[record] = float(np.minimum(coverage.get(record, math.inf), ratio))  # NaN wins
    return coverage


def note_first(blocks: Iterable[Rows], has_records: bool, first_us: MutableMapping[int, int]) -> Iterator[Rows]:
    """Pass the rows on, and keep in `first_us` the earliest time of each recording: by record, or by calendar day."""
    for rows in blocks:
        key = rows.record if has_records else rows.time_us // DAY_US
        if len(rows):
            run = np.concatenate(([0], np.flatnonzero(np.diff(key)) + 1))
            keys, which = np.unique(key[run], return_inverse=True)
            earliest = np.full(len(keys), np.iinfo(np.int64).max)
            np.minimum.at(earliest, which, np.minimum.reduceat(rows.time_us, run))
            for name, time_us in zip(keys.tolist(), earliest.tolist(), strict=True):
                first_us[name] = min(time_us, first_us.get(name, time_us))
        yield rows


def _refuse_empty(file: Path, column: pa.Array, name: str, n_before: int) -> None:
    if column.null_count:
        row = n_before + int(np.argmax(null_mask(column))) + 2  # the header is row 1
        meaning = RECORD_MEANING if name == "record_id" else TIME_MEANING
        raise RecordingError(f"{file}: row {row}, column {name!r} is empty; it needs {meaning}")
