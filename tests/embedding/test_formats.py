"""What is written by streaming is what NumPy itself would write."""

import io
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.embedding import formats, rows
from tiles_ecg.embedding.columns import Columns, Text
from tiles_ecg.embedding.formats import FORMATS, write_npz
from tiles_ecg.embedding.rows import RowFile

VALUE = np.arange(30, dtype=np.float32).reshape(10, 3) / 7


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RowFile, Columns]:
    monkeypatch.setattr(rows, "AT_ONCE", 4)  # several blocks
    monkeypatch.setattr(formats, "AT_ONCE", 4)
    with RowFile(tmp_path, 3, []) as file:
        file.append(VALUE)
    text = Text(np.arange(10, dtype=np.int32) % 2, ("Jörg", 'a,"b"'))
    seconds = np.where(np.arange(10) < 5, np.nan, np.arange(10.0))
    number = {"start_s": np.arange(10.0), "wall_time_s": seconds, "quality": np.ones(10, np.float32)}
    return file, Columns(dict.fromkeys(("input", "recording", "subject"), text), number, 2, 2)


def test_an_array_of_an_npz_is_byte_for_byte_that_of_numpy(written: tuple[RowFile, Columns], tmp_path: Path) -> None:
    import zipfile

    write_npz(tmp_path / "e.npz", *written, {"model": "x"})
    expected = io.BytesIO()
    np.save(expected, VALUE)
    with zipfile.ZipFile(tmp_path / "e.npz") as archive:
        assert archive.testzip() is None
        assert archive.read("embedding.npy") == expected.getvalue()
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert file["subject"].tolist() == ["Jörg", 'a,"b"'] * 5
        assert str(file["about"]) == '{"model": "x"}'


def test_text_of_any_kind_comes_back(written: tuple[RowFile, Columns], tmp_path: Path) -> None:
    import h5py
    import pyarrow.csv
    import pyarrow.parquet

    for suffix in (".h5", ".csv", ".parquet"):
        FORMATS[suffix](tmp_path / f"e{suffix}", *written, {})
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["subject"].asstr()[:].tolist() == ["Jörg", 'a,"b"'] * 5
    for table in (pyarrow.csv.read_csv(tmp_path / "e.csv"), pyarrow.parquet.read_table(tmp_path / "e.parquet")):
        assert table["subject"].to_pylist() == ["Jörg", 'a,"b"'] * 5
        assert table["wall_time_s"].to_pylist() == [None] * 5 + [5, 6, 7, 8, 9]
