"""Embeddings and their columns -> a file: HDF5, NPZ, CSV or Parquet, by streaming."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tiles_ecg.embedding.columns import Columns, Text
from tiles_ecg.embedding.rows import AT_ONCE, RowFile

ABOUT = "about"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write_hdf5(path: Path, rows: RowFile, columns: Columns, about: Mapping[str, Any]) -> None:
    """`embedding` (N, D), a dataset a column, and what is known of the model as attributes of the root.

    Text is of fixed length (`file["subject"].asstr()[:]`). What is no number or text becomes JSON.
    """
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in about.items()}
        )
        embedding = file.create_dataset("embedding", (rows.n_rows, rows.width), np.float32)
        for first, block in rows.blocks():
            embedding[first : first + len(block)] = block
        for name, column in columns.text.items():
            encoded = [text.encode() for text in column.value]
            kind = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
            value = np.array(encoded, kind)
            written = file.create_dataset(name, (len(column.code),), kind)
            for first in range(0, len(column.code), AT_ONCE):
                written[first : first + AT_ONCE] = value[column.code[first : first + AT_ONCE]]
        for name, number in columns.number.items():
            file.create_dataset(name, data=number)


def write_npz(path: Path, rows: RowFile, columns: Columns, about: Mapping[str, Any]) -> None:
    """An array a column, `embedding` (N, D), and `about`, JSON text; `numpy.load` reads it without pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        blocks = (block for _, block in rows.blocks())
        _write_array(archive, "embedding", np.dtype("<f4"), (rows.n_rows, rows.width), blocks)
        for name, column in columns.text.items():
            value = np.array(column.value)
            _write_array(archive, name, value.dtype, (len(column.code),), _texts(value, column))
        for name, number in columns.number.items():
            _write_array(archive, name, number.dtype, number.shape, iter([number]))
        text = np.array(json.dumps(dict(about)))
        _write_array(archive, ABOUT, text.dtype, (), iter([text]))


def _texts(value: NDArray[np.str_], column: Text) -> Iterator[NDArray[np.str_]]:
    for first in range(0, len(column.code), AT_ONCE):
        yield value[column.code[first : first + AT_ONCE]]


def _write_array(
    archive: zipfile.ZipFile,
    name: str,
    kind: np.dtype[Any],
    shape: tuple[int, ...],
    blocks: Iterator[NDArray[Any]],
) -> None:
    """Write an array of a .npz file as `numpy.lib.format` has it, block by block."""
    entry: IO[bytes]
    with archive.open(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), "w", force_zip64=True) as entry:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(entry, header)
        for block in blocks:
            entry.write(np.ascontiguousarray(block, kind).tobytes())


def write_csv(path: Path, rows: RowFile, columns: Columns, about: Mapping[str, Any]) -> None:
    """`input`, `recording`, `subject`, `start_s`, `wall_time_s` (empty where unknown), `quality`, `embedding_0`, ..."""
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    schema = _schema(rows, is_coded=False)
    with pyarrow.csv.CSVWriter(str(path), schema, write_options=options) as file:
        for first, block in rows.blocks():
            file.write_batch(_batch(schema, columns, first, block))


def write_parquet(path: Path, rows: RowFile, columns: Columns, about: Mapping[str, Any]) -> None:
    """The columns of the CSV file, text as categories; `about` is JSON text in the metadata of the schema."""
    schema = _schema(rows, is_coded=True).with_metadata({ABOUT: json.dumps(dict(about))})
    with pyarrow.parquet.ParquetWriter(str(path), schema) as file:
        for first, block in rows.blocks():
            file.write_batch(_batch(schema, columns, first, block))


def _schema(rows: RowFile, is_coded: bool) -> pa.Schema:
    text = pa.dictionary(pa.int32(), pa.string()) if is_coded else pa.string()
    fields = [(name, text) for name in ("input", "recording", "subject")]
    fields += [("start_s", pa.float64()), ("wall_time_s", pa.float64()), ("quality", pa.float32())]
    return pa.schema([*fields, *((f"embedding_{number}", pa.float32()) for number in range(rows.width))])


def _batch(schema: pa.Schema, columns: Columns, first: int, block: NDArray[np.float32]) -> pa.RecordBatch:
    some = slice(first, first + len(block))
    arrays = [
        pa.DictionaryArray.from_arrays(column.code[some], pa.array(column.value, pa.string())).cast(
            schema.field(name).type
        )
        for name, column in columns.text.items()
    ]
    arrays += [pa.array(number[some], from_pandas=True) for number in columns.number.values()]
    arrays += [pa.array(np.ascontiguousarray(number)) for number in block.T]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


FORMATS: Mapping[str, Callable[[Path, RowFile, Columns, Mapping[str, Any]], None]] = {
    ".h5": write_hdf5,
    ".hdf5": write_hdf5,
    ".npz": write_npz,
    ".csv": write_csv,
    ".parquet": write_parquet,
}
"""What writes a file, by its suffix."""
