"""Nothing is run twice, nothing is lost, and nobody stops the others."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.run_record import RunPreempted, RunRecord, mark_failed, read_status
from tiles_ecg.sweep.launching import launch
from tiles_ecg.sweep.plan import Job

Stub = Any


def finish(folder: Path) -> None:
    with RunRecord(folder, "tiles-train"):
        pass


def fail(folder: Path) -> None:
    with RunRecord(folder, "tiles-train"):
        raise RuntimeError("a bug")


def vanish(folder: Path) -> None:
    """Leave what a killed process leaves: a status that says running, and no lock."""
    finish(folder)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "running"}))


def kill(folder: Path) -> None:
    """What joblib sees of a worker that is killed at work."""
    vanish(folder)
    raise BrokenExecutor("a worker was killed")


def save(folder: Path) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()


def states(found: list[Any]) -> list[str]:
    return [status.state for status in found]


def test_a_failing_job_does_not_stop_the_others(stub: Stub, three_jobs: list[Job], tmp_path: Path) -> None:
    stub.plays = {"seed=0": finish, "seed=1": fail, "seed=2": finish}
    found = launch(three_jobs, tmp_path, stub, resume=False)
    assert states(found) == ["finished", "failed", "finished"]
    assert found[1].error == "RuntimeError: a bug"
    assert stub.asked == [["seed=0", "seed=1", "seed=2"]]
    assert stub.resumed == set()


def test_a_job_whose_folder_cannot_be_made_does_not_stop_the_others(
    stub: Stub, three_jobs: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed=1").touch()
    stub.plays = {"seed=0": finish, "seed=1": fail, "seed=2": finish}
    assert states(launch(three_jobs, tmp_path, stub, resume=False)) == ["finished", "planned", "finished"]
    assert "job seed=1: failed: FileExistsError" in capsys.readouterr().err


def test_jobs_that_are_over_are_not_run_again(stub: Stub, three_jobs: list[Job], tmp_path: Path) -> None:
    finish(tmp_path / "seed=0")
    mark_failed(tmp_path / "seed=2", ValueError("x"), False, "tiles-train", {})
    stub.plays = {"seed=1": finish, "seed=2": finish}
    assert states(launch(three_jobs, tmp_path, stub, resume=True)) == ["finished"] * 3
    assert stub.asked == [["seed=1", "seed=2"]]


def test_on_resume_a_job_with_a_checkpoint_goes_on_and_one_without_begins_anew(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    vanish(tmp_path / "seed=0")
    for name in ("seed=1", "seed=2"):
        mark_failed(tmp_path / name, ValueError("x"), False, "tiles-train", {})
    save(tmp_path / "seed=0")
    save(tmp_path / "seed=1")
    stub.plays = dict.fromkeys(("seed=0", "seed=1", "seed=2"), finish)
    launch(three_jobs, tmp_path, stub, resume=True)
    assert stub.resumed == {"seed=0", "seed=1"}


def test_a_job_at_work_elsewhere_is_left_alone_and_told(
    stub: Stub, three_jobs: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.plays = {"seed=0": finish, "seed=2": finish}
    with RunRecord(tmp_path / "seed=1", "tiles-train"):
        found = launch(three_jobs, tmp_path, stub, resume=True)
    assert states(found) == ["finished", "running", "finished"]
    assert stub.asked == [["seed=0", "seed=2"]]
    assert f"job seed=1: at work elsewhere (host {os.uname().nodename} pid {os.getpid()}); left alone" in (
        capsys.readouterr().err
    )


def test_after_a_launcher_breaks_the_jobs_that_had_not_begun_are_launched_again(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    stub.plays = dict.fromkeys(("seed=0", "seed=1", "seed=2"), finish)
    stub.breaks = [("seed=1", OSError("the queue is gone"))]
    assert states(launch(three_jobs, tmp_path, stub, resume=False)) == ["finished"] * 3
    assert stub.asked == [["seed=0", "seed=1", "seed=2"], ["seed=1", "seed=2"]]


def test_a_job_that_breaks_the_launcher_whenever_it_is_launched_is_marked_failed_and_the_others_are_run(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    stub.plays = {"seed=1": finish, "seed=2": finish}
    stub.breaks = [("seed=0", OSError("no such queue"))] * 2
    found = launch(three_jobs, tmp_path, stub, resume=False)
    assert states(found) == ["failed", "finished", "finished"]
    assert found[0].error == "OSError: no such queue"


def test_a_job_whose_process_vanished_has_one_more_try_after_a_pool_of_workers_broke(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    tries = []

    def killed_once(folder: Path) -> None:
        tries.append(folder)
        if len(tries) == 1:
            save(folder)
            kill(folder)
        finish(folder)

    stub.plays = {"seed=0": killed_once, "seed=1": finish, "seed=2": finish}
    assert states(launch(three_jobs, tmp_path, stub, resume=False)) == ["finished"] * 3
    assert stub.asked == [["seed=0", "seed=1", "seed=2"], ["seed=1", "seed=2", "seed=0"]]
    assert stub.resumed == {"seed=0"}


def test_a_job_that_vanishes_whenever_it_is_run_is_marked_failed(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    stub.plays = {"seed=0": finish, "seed=1": kill, "seed=2": finish}
    found = launch(three_jobs, tmp_path, stub, resume=False)
    assert states(found) == ["finished", "failed", "finished"]
    assert found[1].error == "JobVanishedError: its process ended without a word (a worker was killed)"


def test_a_job_that_a_launcher_gives_back_as_failed_without_a_word_of_its_own_is_marked(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    def cancelled(folder: Path) -> None:
        raise RuntimeError("Slurm job 7 was cancelled")

    def killed(folder: Path) -> None:
        vanish(folder)
        raise RuntimeError("Slurm job 8 was killed")

    stub.plays = {"seed=0": cancelled, "seed=1": killed, "seed=2": finish}
    found = launch(three_jobs, tmp_path, stub, resume=False)
    assert states(found) == ["failed", "failed", "finished"]
    assert [status.error for status in found[:2]] == [
        "RuntimeError: Slurm job 7 was cancelled", "RuntimeError: Slurm job 8 was killed",
    ]  # fmt: skip


def test_a_job_that_is_asked_to_end_ends_the_sweep_and_the_others_stay_planned(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    def preempted(folder: Path) -> None:
        with RunRecord(folder, "tiles-train"):
            raise RunPreempted(143)

    stub.plays = {"seed=0": finish, "seed=1": preempted, "seed=2": finish}
    with pytest.raises(RunPreempted):
        launch(three_jobs, tmp_path, stub, resume=False)
    assert [read_status(tmp_path / job.name).state for job in three_jobs] == ["finished", "preempted", "planned"]


WORKER = """
import signal, sys, time
from pathlib import Path
from tiles_ecg.run_record import RunPreempted, RunRecord

def end(*_):
    raise RunPreempted(143)

with RunRecord(Path(sys.argv[1]), "tiles-train"):
    signal.signal(signal.SIGTERM, end)
    (Path(sys.argv[1]) / "ready").touch()
    time.sleep(60)
"""


def test_a_signal_to_the_sweep_reaches_its_worker_processes_and_waits_for_them(
    stub: Stub, three_jobs: list[Job], tmp_path: Path
) -> None:
    def in_a_process(folder: Path) -> None:
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(folder)])
        while not (folder / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        worker.wait()

    before = signal.getsignal(signal.SIGTERM)
    stub.plays = {"seed=0": in_a_process}
    with pytest.raises(RunPreempted) as caught:
        launch(three_jobs, tmp_path, stub, resume=False)
    assert caught.value.code == 143
    assert read_status(tmp_path / "seed=0").state == "preempted"
    assert signal.getsignal(signal.SIGTERM) is before
