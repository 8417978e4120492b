"""CSV files, plain or gzipped, read block by block, with errors that name the file, the row and the column."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from tiles_ecg.recording import RecordingError

BLOCK_BYTES = 1 << 20
"""Text parsed at once. Measured from 0.25 to 16 MB: CPU time is the same, and pyarrow reads up to 32 blocks ahead."""
HEADER_BYTES = 1 << 20
DELIMITERS = ",;\t"

Number = TypeVar("Number", np.int32, np.int64, np.float32, np.float64)

_BAD_VALUE = re.compile(r"column #(\d+): Row #(\d+): CSV conversion error to [^:]+: .*?'(.*)'", re.DOTALL)
_BAD_LENGTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


@dataclass(frozen=True)
class Column:
    """A column to read.

    Attributes:
        name: Its name in the header.
        type: What its text is parsed into.
        meaning: What a value has to be, for error messages.
    """

    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True)
class Header:
    """First line of a file: its column names, and the delimiter that fits them best (comma, semicolon or tab).

    Blanks around a name are not part of it.
    """

    names: tuple[str, ...]
    delimiter: str


def read_header(path: Path) -> Header:
    """Column names and delimiter of a CSV file; `.gz` is unpacked.

    Raises:
        RecordingError: If the file is missing, empty, damaged or not gzip although it is called `.gz`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            line = file.readline(HEADER_BYTES).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {explain_file_error(error)}") from None
    if not line.strip():
        raise RecordingError(f"{path}: empty; it needs a header line with the column names, and rows below it")
    delimiter = max(DELIMITERS, key=line.count)  # the first of equals: a single column is read with a comma
    return Header(tuple(name.strip() for name in next(csv.reader([line], delimiter=delimiter))), delimiter)


def read_blocks(path: Path, header: Header, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Stream some columns of a CSV file at bounded memory; the batches hold them in the order of `columns`.

    Empty cells and `NaN`, `NA`, `null` and the like are null, and so is an empty line where there is one column only:
    without it, all that follows would move in time. Threads are off: readers run in worker processes, and
    pyarrow tells row numbers only without them.

    Raises:
        RecordingError: If a column occurs twice, a value cannot be parsed, a row has another length than the header, or
            the file is damaged.
    """
    names = [column.name for column in columns]
    if repeated := [name for name in names if header.names.count(name) > 1]:
        raise RecordingError(f"{path}: column {', '.join(repeated)} occurs more than once; give each its own name")
    try:
        with (
            pa.input_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream,
            pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    use_threads=False, block_size=BLOCK_BYTES, column_names=header.names, skip_rows=1
                ),
                parse_options=pa_csv.ParseOptions(delimiter=header.delimiter, ignore_empty_lines=len(header.names) > 1),
                convert_options=pa_csv.ConvertOptions(
                    column_types={column.name: column.type for column in columns}, include_columns=names
                ),
            ) as batches,
        ):
            yield from (batch for batch in batches if batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise RecordingError(f"{path}: {_explain(str(error), error, header, columns)}") from None


def null_mask(column: pa.Array) -> NDArray[np.bool_]:
    """(N,) whether each value is null."""
    valid = column.buffers()[0]
    if valid is None:
        return np.zeros(len(column), np.bool_)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    mask: NDArray[np.bool_] = bits[column.offset : column.offset + len(column)] == 0
    return mask


def to_numbers(column: pa.Array, dtype: type[Number]) -> NDArray[Number]:
    """Values of a non-empty column stored as `dtype`, (N,); a null is NaN if `dtype` is a float, else arbitrary.

    pyarrow's own conversion imports pandas wherever it is installed: 0.3 s and 60 MB in each worker process.
    """
    values = np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]
    if column.null_count and np.issubdtype(dtype, np.floating):
        return np.where(null_mask(column), dtype(np.nan), values)
    return values


def _explain(message: str, error: Exception, header: Header, columns: Sequence[Column]) -> str:
    if found := _BAD_VALUE.search(message):
        name = header.names[int(found[1])]
        meaning = next((column.meaning for column in columns if column.name == name), "something else")
        return f"row {found[2]}, column {name!r}: {found[3][:80]!r} is not what it should be: {meaning}"
    if found := _BAD_LENGTH.search(message):
        return (
            f"row {found[1]} has {found[3]} columns where the header has {found[2]}; the row is cut short or damaged: "
            "copy the file again, or remove the row"
        )
    if "Empty CSV" in message:
        return f"a header ({', '.join(header.names)}) but no rows"
    return explain_file_error(error)


def explain_file_error(error: Exception) -> str:
    """What is wrong with a file that cannot be opened or unpacked, in words."""
    message = str(error)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, EOFError) or "Truncated" in message:
        return "the gzip stream ends too early: the file is truncated; copy or download it again"
    if isinstance(error, gzip.BadGzipFile | zlib.error) or "zlib" in message:
        return f"not a gzip file, or a damaged one ({message}); download it again, or drop .gz if it is plain text"
    return f"cannot be read: {message}"
