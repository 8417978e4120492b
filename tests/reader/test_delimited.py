"""CSV text in, columns and pointed errors out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tiles_ecg.reader.delimited import Column, Header, null_mask, read_blocks, read_header, to_numbers
from tiles_ecg.recording import RecordingError


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", Header(("a", "b"), ",")),
        ("\ufeffa;b\r\n1;2\r\n", Header(("a", "b"), ";")),
        ("a\tb, c\td\n", Header(("a", "b, c", "d"), "\t")),
        ('"a,1","b"\n', Header(("a,1", "b"), ",")),
        ("ecg\n", Header(("ecg",), ",")),
    ],
)
def test_the_header_tells_names_and_delimiter(tmp_path: Path, text: str, header: Header) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode())
    assert read_header(file) == header


def test_nulls_become_nan_and_are_masked_also_in_a_slice() -> None:
    column = pa.array([0.0, None, 2.0, None, 4.0, 5.0], pa.float32()).slice(1, 4)
    np.testing.assert_array_equal(to_numbers(column, np.float32), [np.nan, 2, np.nan, 4])
    np.testing.assert_array_equal(null_mask(column), [True, False, True, False])
    np.testing.assert_array_equal(to_numbers(pa.array([7, 8, 9], pa.int32()).slice(1), np.int32), [8, 9])


def test_only_the_named_columns_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x,y,z\n1,text,3\n")
    columns = [Column("z", pa.int32(), "a number"), Column("x", pa.float32(), "a number")]
    (batch,) = read_blocks(file, read_header(file), columns)
    assert batch.schema.names == ["z", "x"]


def test_a_bad_value_is_named_with_row_and_column(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n3,four\n")
    with pytest.raises(RecordingError, match=r"a\.csv: row 3, column 'y': 'four' .*a number of cats"):
        list(read_blocks(file, read_header(file), [Column("y", pa.int32(), "a number of cats")]))


def test_blanks_around_names_and_numbers_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("time, ecg \n0.000, -0.125\n0.004, 0.5 \n")
    (batch,) = read_blocks(file, read_header(file), [Column("ecg", pa.float32(), "a number")])
    np.testing.assert_array_equal(to_numbers(batch.column("ecg"), np.float32), [-0.125, 0.5])


def test_a_column_that_occurs_twice_is_refused_if_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x,ecg,ecg\n1,2,3\n")
    with pytest.raises(RecordingError, match=r"a\.csv: column ecg occurs more than once; give each its own name"):
        list(read_blocks(file, read_header(file), [Column("ecg", pa.float32(), "a number")]))
    (batch,) = read_blocks(file, read_header(file), [Column("x", pa.float32(), "a number")])
    assert to_numbers(batch.column("x"), np.float32).tolist() == [1.0]
