"""Archives are whole or absent, and reading one runs nothing."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.evaluation.archive import ArchiveError, file_stem, read_archive, write_archive


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_is_written_is_read(tmp_path):
    path = write_archive(tmp_path / "a" / "b.npz", "form 1", {"x": [1, "ü"]}, {"y": np.arange(3), "z": np.array(["é"])})
    about, arrays = read_archive(path, "form 1")
    assert about == {"x": [1, "ü"]}
    assert arrays["y"].tolist() == [0, 1, 2]
    assert arrays["z"].tolist() == ["é"]
    assert [entry.name for entry in path.parent.iterdir()] == ["b.npz"]


def test_objects_in_an_archive_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "trap.npz", about=np.array([Trap(tmp_path / "sprung")], object))
    with pytest.raises(ArchiveError, match=r"trap\.npz: not a file with 'form 1'"):
        read_archive(tmp_path / "trap.npz", "form 1")
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ArchiveError, match=r"bare\.npz"):
        read_archive(tmp_path / "bare.npz", "form 1")
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_short_is_named(tmp_path):
    path = write_archive(tmp_path / "b.npz", "form 1", {}, {"y": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ArchiveError, match=r"b\.npz: .* cut short"):
        read_archive(path, "form 1")


def test_another_form_is_refused(tmp_path):
    path = write_archive(tmp_path / "b.npz", "form 2", {}, {})
    with pytest.raises(ArchiveError, match="holds 'form 2', where 'form 1' is needed"):
        read_archive(path, "form 1")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"none\.npz: no such file"):
        read_archive(tmp_path / "none.npz", "form 1")


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("a/b", "c d"), "a-b_c-d"),
        (("../x",), "-x"),
        (("..",), "unnamed"),
        (("heart rate and HRV",), "heart-rate-and-HRV"),
    ],
)
def test_a_name_stays_within_its_folder(names, stem):
    assert file_stem(*names) == stem
