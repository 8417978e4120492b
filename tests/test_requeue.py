"""What Slurm is asked of a job, by stand-ins of its `scontrol`."""

from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.requeue import is_preempted, is_restarted, requeue, slurm_job


def test_a_job_is_called_by_its_number_and_a_task_of_an_array_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert slurm_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert slurm_job() == "12"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert slurm_job() == "10_3"


@pytest.mark.parametrize(("count", "is_again"), [(None, False), ("0", False), ("1", True), ("?", False)])
def test_slurm_counts_how_often_it_started_a_job_again(
    monkeypatch: pytest.MonkeyPatch, count: str | None, is_again: bool
) -> None:
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    if count is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    assert is_restarted() == is_again


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("JobId=12 JobState=COMPLETING PreemptTime=None", False),
        ("JobId=12 JobState=CANCELLED Reason=None", False),
        ("JobId=12 JobState=PREEMPTED Reason=Preempted", True),
        ("JobId=12 JobState=RUNNING PreemptTime=2025-11-22T10:00:00", True),
        ("JobId=12 JobState=RUNNING PreemptTime=Unknown", False),
    ],
)
def test_a_job_is_preempted_if_slurm_says_so(scontrol: Any, answer: str, expected: bool) -> None:
    asked = scontrol(answer)
    assert is_preempted("12") == expected
    assert asked == [["show", "job", "12"]]


def test_a_job_that_slurm_does_not_know_is_not_preempted(scontrol: Any) -> None:
    scontrol("JobState=PREEMPTED of another", status=1)
    assert not is_preempted("12")


@pytest.mark.parametrize(
    ("answer", "status", "came"),
    [
        ("", 0, "is requeued"),
        ("soon", 0, "is requeued (soon)"),
        (
            "Job is not requeueable",
            1,
            "is not requeued (Job is not requeueable); submit it again to go on",
        ),
        ("", 1, "is not requeued (scontrol ended with status 1); submit it again to go on"),
    ],
)
def test_what_came_of_requeueing_is_told(scontrol: Any, answer: str, status: int, came: str) -> None:
    asked = scontrol(answer, status=status)
    assert requeue("10_3") == f"Slurm job 10_3 {came}"
    assert asked == [["requeue", "10_3"]]


def test_where_there_is_no_scontrol_this_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert requeue("12") == "Slurm job 12 is not requeued (there is no scontrol here); submit it again to go on"
    assert not is_preempted("12")
