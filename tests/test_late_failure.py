"""The file that keeps its failures for later."""

import resource
from pathlib import Path

import pytest

from tiles_ecg.late_failure import LateFailureFile


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    with LateFailureFile(tmp_path / "a", "w+") as file:
        assert file.write(b"heart") == 5
        file.truncate(4)
        file.check()
    assert (tmp_path / "a").read_bytes() == b"hear"


def test_a_failed_write_is_raised_when_asked_for(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with LateFailureFile(tmp_path / "a", "w+") as file:
            assert file.write(bytes(3000)) == 3000
            assert file.write(b"more") == 4
            with pytest.raises(OSError, match="File too large"):
                file.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a").read_bytes() == bytes(1000)
