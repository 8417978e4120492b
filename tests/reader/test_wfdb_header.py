"""Which records a folder holds, and what is said of headers that are none."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.reader.wfdb import WfdbReader
from tiles_ecg.recording import RecordingError


def write(folder: Path, name: str) -> Path:
    """Writes a record by hand: one lead, 300 samples at 100 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    np.arange(300, dtype="<i2").tofile(folder / f"{name}.dat")
    header = folder / f"{name}.hea"
    header.write_text(f"{name} 1 100 300\n{name}.dat 16 1000/mV 16 0 0 0 0 I\n")
    return header


def test_without_a_records_file_every_header_counts_sorted_by_path(tmp_path: Path) -> None:
    for folder, name in (("b", "2"), ("b", "10"), ("a/deep", "x.1"), (".", "z")):
        write(tmp_path / folder, name.replace(".", "_"))
    (tmp_path / "b" / "._2.hea").write_text("left by another system")
    sources = WfdbReader(tmp_path).sources()
    assert [source.key for source in sources] == ["a/deep/x_1", "b/10", "b/2", "z"]
    assert [file.name for file in sources[1].files] == ["10.hea", "10.dat"]


@pytest.mark.parametrize("level", [".", "training"])
def test_a_records_file_chooses_at_the_root_and_one_level_down(tmp_path: Path, level: str) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / level, name)
    (tmp_path / level / "RECORDS").write_text("c\n\na\r\n")
    keys = [source.key for source in WfdbReader(tmp_path).sources()]
    assert [Path(key).name for key in keys] == ["a", "c"]
    assert {Path(key).parent for key in keys} == {Path(level)}


def test_a_records_file_may_name_folders(tmp_path: Path) -> None:
    write(tmp_path / "p0", "a")
    write(tmp_path / "p1", "b")
    (tmp_path / "RECORDS").write_text("p1/\n")
    assert [source.key for source in WfdbReader(tmp_path).sources()] == ["p1/b"]
    (tmp_path / "RECORDS").write_text("p2/\n")
    with pytest.raises(RecordingError, match="folder 'p2/' does not exist"):
        WfdbReader(tmp_path).sources()
    (tmp_path / "RECORDS").write_text("../x\n")
    with pytest.raises(RecordingError, match="not inside its folder"):
        WfdbReader(tmp_path).sources()


def test_a_link_back_to_the_root_does_not_list_records_twice(tmp_path: Path) -> None:
    write(tmp_path / "a", "r")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [source.key for source in WfdbReader(tmp_path).sources()] == ["a/r"]


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_a_root_without_records_says_what_was_looked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match=rf"root .*{name} .*\*\.hea"):
        WfdbReader(tmp_path / name).sources()


def test_a_record_listed_without_header_fails_alone(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "RECORDS").write_text("a\nb\n")
    reader = WfdbReader(tmp_path)
    first, second = reader.sources()
    assert next(reader.read(first)).id == "a"
    assert second.files == ()
    with pytest.raises(RecordingError, match=r"b\.hea: no such header"):
        next(reader.read(second))


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("Dear colleague,\nthe files are elsewhere.\n", "not a WFDB header: its first line is 'Dear colleague,'"),
        ("We have 3 files\n", "not a WFDB header|promises"),
        ("", "not a WFDB header: its first line is nothing"),
        ("a 2 100 300\na.dat 16 1000/mV\n", "promises 2 signals, but 1 lines follow"),
        ("a 1 100 300\na.dat\n", "is not a signal line"),
        ("a 1 100 300\n/etc/x.dat 16\n", "is not a signal line"),
        ("a 1 100 300\nother.dat 16 1000/mV\n", "its signal file other.dat is not in"),
        ("a 1 100 300\na.dat 17 1000/mV\n", "has format 17; WFDB formats are"),
        ("a 1 100 0\na.dat 16 1000/mV\n", "holds 0 samples"),
        ("a 1 0 300\na.dat 16 1000/mV\n", "sampling frequency 0 Hz"),
        ("a 0 100 300\n", "has no signals"),
        ("a 1 100 300 99:99:99\na.dat 16 1000/mV\n", "cannot interpret this header"),
        ("a 1 100 301\na.dat 16 1000/mV\n", r"a\.dat: holds 600 bytes.*take 602: the file is cut short"),
    ],
)
def test_a_broken_header_says_what_is_wrong_and_where(tmp_path: Path, header: str, problem: str) -> None:
    write(tmp_path, "a").write_text(header)
    reader = WfdbReader(tmp_path)
    (source,) = reader.sources()
    with pytest.raises(RecordingError, match=problem) as caught:
        next(reader.read(source))
    assert str(tmp_path / "a") in str(caught.value)
