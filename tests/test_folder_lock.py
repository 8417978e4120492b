"""One process at a time at work in a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.folder_lock import alone_in, is_locked, this_process

HOLD = """
import sys, time
from pathlib import Path
from tiles_ecg.folder_lock import alone_in
with alone_in(Path(sys.argv[1]), "hydra.sweep.dir"):
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_who_holds_it_and_ends_with_that_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        for _ in range(2):  # whoever is refused does not wipe out the name
            with (
                pytest.raises(ConfigError, match=rf"hydra\.sweep\.dir = .*pid {process.pid}\)"),
                alone_in(tmp_path, "hydra.sweep.dir"),
            ):
                pass
        assert is_locked(tmp_path, {})
        process.kill()
        process.wait()
    assert not is_locked(tmp_path, this_process())
    (tmp_path / "written").touch()
    with alone_in(tmp_path, "hydra.sweep.dir"):
        assert is_locked(tmp_path, {})
    assert (tmp_path / "written").exists()


def test_a_folder_in_which_nothing_was_written_is_not_left_behind(tmp_path: Path) -> None:
    with alone_in(tmp_path / "new", "hydra.sweep.dir"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
