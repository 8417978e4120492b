"""status.json: what a run says of itself, and what a lock adds to it."""

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.run_record import (
    STATUS_FILE,
    RunPreempted,
    RunPruned,
    RunRecord,
    RunStatus,
    mark_failed,
    read_status,
)

HOLD = """
import sys, time
from pathlib import Path
from tiles_ecg.run_record import RunRecord
with RunRecord(Path(sys.argv[1]), "tiles-train"):
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "finished"),
        (RunPruned(), "pruned"),
        (RunPreempted(143), "preempted"),
        (KeyboardInterrupt(), "interrupted"),
        (RuntimeError("no more\nmemory"), "failed"),
    ],
)
def test_the_end_of_the_block_decides_the_state(tmp_path: Path, error: BaseException | None, state: str) -> None:
    with (
        contextlib.suppress(type(error) if error else ()),
        RunRecord(tmp_path / "run", "tiles-train", {"encoder": "resnet8"}, 60) as record,
    ):
        assert read_status(tmp_path / "run").state == "running"
        record.note(7, {"val/loss": 0.5})
        if error is not None:
            raise error
    status = read_status(tmp_path / "run")
    assert (status.state, status.step, status.max_steps, status.metrics) == (state, 7, 60, {"val/loss": 0.5})
    assert status.choices == {"encoder": "resnet8"}
    assert status.error == ("RuntimeError: no more memory" if state == "failed" else "")


def test_a_killed_run_reads_as_stopped_and_another_attempt_counts(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert read_status(tmp_path).state == "running"
        with pytest.raises(ConfigError, match=f"another process is at work in it .*pid {process.pid}"):
            RunRecord(tmp_path, "tiles-train").__enter__()
        process.kill()
        process.wait()
    assert read_status(tmp_path).state == "stopped"
    with RunRecord(tmp_path, "tiles-train"):
        pass
    assert (read_status(tmp_path).state, read_status(tmp_path).attempt) == ("finished", 2)


def test_whoever_looks_at_a_lock_for_an_instant_does_not_keep_a_run_from_beginning(tmp_path: Path) -> None:
    with RunRecord(tmp_path, "tiles-train"):
        pass
    looking = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); "
         "print('looks', flush=True); time.sleep(0.2)", str(tmp_path / ".lock")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        with RunRecord(tmp_path, "tiles-train"):
            pass


def test_without_locks_a_process_that_is_gone_is_noticed_and_one_of_another_host_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with RunRecord(tmp_path, "tiles-train"):
        written = json.loads((tmp_path / STATUS_FILE).read_text())
        assert read_status(tmp_path).state == "running"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for job, state in (({"pid": str(gone.pid)}, "stopped"), ({"host": "elsewhere"}, "running")):
        (tmp_path / STATUS_FILE).write_text(json.dumps(written | {"job": written["job"] | job}))
        assert read_status(tmp_path).state == state


def test_a_folder_without_a_status_is_planned_and_a_damaged_one_too(tmp_path: Path) -> None:
    assert read_status(tmp_path) == RunStatus()
    (tmp_path / STATUS_FILE).write_text('{"state": "fini')
    assert read_status(tmp_path).state == "planned"


def test_what_failed_before_it_could_begin_is_marked_once(tmp_path: Path) -> None:
    mark_failed(tmp_path / "job", ConfigError("no store"), True, "tiles-train", {})
    first = read_status(tmp_path / "job")
    assert (first.state, first.error, first.is_mistake) == ("failed", "ConfigError: no store", True)
    time.sleep(1.1)  # the clock of the status has seconds
    mark_failed(tmp_path / "job", ConfigError("no store"), True, "tiles-train", {})
    assert read_status(tmp_path / "job") == first


def test_a_job_whose_folder_cannot_be_made_stays_planned_and_does_not_stop_whoever_marks_it(tmp_path: Path) -> None:
    (tmp_path / "job").touch()
    mark_failed(tmp_path / "job", RuntimeError("a bug"), False, "tiles-train", {})
    assert read_status(tmp_path / "job").state == "planned"
