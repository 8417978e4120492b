"""The manifest: rows from text, and every mistake by its message."""

import gzip
import math
from datetime import datetime
from pathlib import Path

import pytest

from tiles_ecg.reader.manifest import Defaults, Row, check_rows, read_cells, scale_to_mv
from tiles_ecg.recording import RecordingError

NOTHING = Defaults(None, (), None, (), "UTC")


def rows_of(folder: Path, text: str, defaults: Defaults = NOTHING) -> tuple[Row, ...]:
    (folder / "manifest.csv").write_text(text)
    return check_rows(folder / "manifest.csv", read_cells(folder / "manifest.csv"), defaults)


def test_a_row_is_read_from_its_cells(tmp_path: Path) -> None:
    text = "subject;file;sample_rate;signal;unit;lead;start;recording\nanna;a.csv; 250 ;x;mV;I;2018-03-12T09:00:00;r1\n"
    start = datetime.fromisoformat("2018-03-12T09:00:00+00:00").timestamp()
    assert rows_of(tmp_path, text) == (Row("r1", "a.csv", "anna", 250.0, ("x",), "mV", ("I",), start),)


def test_quotes_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    text = '\ufefffile,signal,comment\n"a,b.csv","x;y","two\nlines"\n\n,,\nc.csv,,\n'
    first, second = rows_of(tmp_path, text, Defaults(250.0, ("ecg",), "mV", (), "UTC"))
    assert (first.file, first.signal, second.signal) == ("a,b.csv", ("x", "y"), ("ecg",))


def test_edf_rows_need_no_rate_and_no_unit(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "file\na.EDF\n")
    assert (row.sample_rate, row.unit) == (None, None)


def test_cells_that_say_missing_are_empty(tmp_path: Path) -> None:
    text = "file,subject,sample_rate,unit,start,lead\na.npy,NA,250,mV,NaN,n/a\n"  # as R and pandas write them
    (row,) = rows_of(tmp_path, text)
    assert (row.subject, row.lead) == (None, ())
    assert math.isnan(row.start)


def test_a_manifest_that_is_not_utf8_or_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    file.write_bytes("file,stress\na.npy,low\nb.npy,höher\n".encode("cp1252"))
    with pytest.raises(RecordingError, match=r"manifest\.csv: row 3 is not UTF-8 text; save it again as CSV UTF-8"):
        read_cells(file)
    packed = gzip.compress(b"file,stress\n" + b"a.npy,low\n" * 9)
    (tmp_path / "manifest.csv.gz").write_bytes(packed[:-4])
    with pytest.raises(RecordingError, match=r"manifest\.csv\.gz: the gzip stream ends too early"):
        read_cells(tmp_path / "manifest.csv.gz")


def test_many_problems_are_counted_and_five_are_spelt_out(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"row 6: column 'file' is empty; and 2 more$"):
        rows_of(tmp_path, "file,unit\n" + ",mV\n" * 7)


@pytest.mark.parametrize(
    ("unit", "scale"), [("mV", 1.0), ("uV", 1e-3), ("µV", 1e-3), ("\u03bcV", 1e-3), ("V", 1e3), ("MV", 1.0)]
)
def test_units_have_their_millivolts(unit: str, scale: float) -> None:
    assert scale_to_mv(unit) == scale


def test_arbitrary_units_have_no_millivolts() -> None:
    assert scale_to_mv("a.u.") is None
    with pytest.raises(ValueError, match="unit 'furlong' is unknown; use mV, uV, V"):
        scale_to_mv("furlong")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("", "empty; it needs a header line"),
        ("file,unit\n", r"a header \(file, unit\) but no rows"),
        ("path,unit\na,mV\n", "no column 'file'; the columns are path, unit"),
        ("file,unit,unit\na,mV,mV\n", "column unit occurs more than once"),
        ("file,unit\na.npy,mV,3\n", "row 2 has 3 columns where the header has 2"),
        ("file,unit\na.npy,mV\n,mV\n", "row 3: column 'file' is empty"),
        ("file,unit\na.npy,mV\n", r"row 2: sample_rate is not given; fill the column, .*reader\.sample_rate=250"),
        ("file,sample_rate\na.npy,250\n", r"row 2: unit is not given; .*reader\.unit=mV"),
        (
            "file,unit,sample_rate\na.npy,mV,0\n\nb.npy,mV,fast\n",
            r"row 2: sample_rate = '0'.*; row 4: sample_rate = 'fast'",
        ),
        ("file,unit,sample_rate\na.npy,mV,inf\n", "row 2: sample_rate = 'inf'; it has to be a positive number of Hz"),
        ("file,unit,sample_rate\na.npy,furlong,250\n", "row 2: unit 'furlong' is unknown; use mV, uV, V, or a.u."),
        ("file,unit,sample_rate,start\na.npy,mV,250,noon\n", "row 2: start = 'noon'; it has to be an ISO time"),
        (
            "file,unit,sample_rate,signal\na.npz,mV,250,x\nb.npz,mV,250,x\n./a.npz,mV,250,x\n",
            r"rows 2 and 4 are the same recording \(file \./a\.npz, signal x\); remove one",
        ),
        (
            "file,unit,sample_rate,recording\na.npy,mV,250,r\nb.npy,mV,250,r\n",
            "rows 2 and 3 have the same recording id 'r'",
        ),
    ],
)
def test_mistakes_are_named_with_file_and_row(tmp_path: Path, manifest: str, message: str) -> None:
    with pytest.raises(RecordingError, match=rf"manifest\.csv: .*{message}"):
        rows_of(tmp_path, manifest)
