"""Waiting for Slurm jobs, with a squeue of our own and results that are written as submitit does."""

import itertools
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from tiles_ecg import slurm_queue
from tiles_ecg.slurm_queue import LostJobError, Submitted, ask_queue, collect
from tiles_ecg.slurm_settings import Demand

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'tiles_ecg[slurm]'")


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOOK_S": 0.0, "ASK_S": (0.0, 0.0), "GRACE_S": 0.05}.items():
        monkeypatch.setattr(slurm_queue, name, value)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has Slurm answer one after the other of these, the last one for ever."""

    def answers(*listed: dict[str, str] | None) -> None:
        following = itertools.chain(listed, itertools.repeat(listed[-1]))
        monkeypatch.setattr(slurm_queue, "ask_queue", lambda: next(following))

    return answers


def job(number: int, folder: Path, n_tasks: int = 1) -> Submitted:
    cfg = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder), "subdir": f"seed={number}"}}})
    return Submitted(f"7_{number}", Demand(1, n_tasks), [f"seed={number}"], cfg)


def write(folder: Path, slurm_id: str, result: Any, task: int = 0) -> None:
    place = folder / ".submitit" / slurm_id
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{slurm_id}_{task}_result.pkl").write_bytes(result if isinstance(result, bytes) else pickle.dumps(result))


def done(seed: int) -> tuple[str, JobReturn]:
    return "success", JobReturn(overrides=[f"seed={seed}"], status=JobStatus.COMPLETED, _return_value=seed)


def collected(jobs: Sequence[Submitted], folder: Path) -> tuple[list[JobReturn], list[str]]:
    said: list[str] = []
    return collect(jobs, f"{folder}/.submitit/%j", said.append), said


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path, queue: Callable[..., None]) -> None:
    queue({f"7_{number}": "RUNNING" for number in range(3)})
    for number in (2, 0, 1):
        write(tmp_path, f"7_{number}", done(number))
    returned, said = collected([job(number, tmp_path) for number in range(3)], tmp_path)
    assert [each.return_value for each in returned] == [0, 1, 2]
    assert sorted(line.partition(" has")[0] for line in said) == [f"7_{seed} (seed={seed})" for seed in range(3)]


@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", None])
def test_a_job_without_a_result_is_lost_and_the_others_are_collected(
    state: str | None, tmp_path: Path, queue: Callable[..., None]
) -> None:
    last = {"7_0": "COMPLETED", **({"7_1": state} if state else {})}
    queue({"7_0": "RUNNING", "7_1": "RUNNING"}, last)
    write(tmp_path, "7_0", done(0))
    (tmp_path / ".submitit/7_1").mkdir()
    log = tmp_path / ".submitit/7_1/7_1_0_log.err"
    log.write_text("\n".join(f"line {number}" for number in range(40)))
    returned, said = collected([job(0, tmp_path), job(1, tmp_path)], tmp_path)
    assert returned[0].return_value == 0
    assert returned[1].status == JobStatus.FAILED
    error = returned[1]._return_value
    assert isinstance(error, LostJobError)
    assert f"Slurm job 7_1 ended without a result ({state or 'no longer in the queue'}); its log: {log}" in str(error)
    assert "line 39" in str(error)
    assert "line 10" not in str(error)
    assert any(str(error) in line for line in said)


def test_a_requeued_job_is_waited_for(tmp_path: Path, queue: Callable[..., None]) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        write(tmp_path, "7_0", done(0))

    queue({"7_0": "RUNNING"}, {"7_0": "COMPLETING"}, {"7_0": "PENDING"})
    (returned,) = collect([job(0, tmp_path)], f"{tmp_path}/.submitit/%j", say)
    assert returned.return_value == 0
    assert said[0] == "7_0 (seed=0) was requeued; it goes on from its checkpoint"


def test_an_answer_that_does_not_come_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def ask() -> dict[str, str] | None:
        nonlocal calls
        calls += 1
        if calls == 20:
            write(tmp_path, "7_0", done(0))
        return None

    monkeypatch.setattr(slurm_queue, "ask_queue", ask)
    returned, _ = collected([job(0, tmp_path)], tmp_path)
    assert returned[0].return_value == 0


def test_a_job_of_two_processes_has_ended_when_both_have(tmp_path: Path, queue: Callable[..., None]) -> None:
    queue({"7_0": "RUNNING"})
    write(tmp_path, "7_0", done(0))
    assert not slurm_queue._has_ended(job(0, tmp_path, n_tasks=2), f"{tmp_path}/.submitit/%j")
    write(tmp_path, "7_0", done(5), task=1)
    (returned,), _ = collected([job(0, tmp_path, n_tasks=2)], tmp_path)
    assert returned.return_value == 0


def test_what_submitit_gave_up_says_why(tmp_path: Path, queue: Callable[..., None]) -> None:
    queue({"7_0": "FAILED", "7_1": "FAILED"})
    write(
        tmp_path, "7_0", ("error", "Traceback:\n  x\nUncompletedJobError: Job not requeued: timed-out too many times")
    )
    write(tmp_path, "7_1", b"half a pick")
    returned, _ = collected([job(0, tmp_path), job(1, tmp_path)], tmp_path)
    assert "timed-out too many times" in str(returned[0]._return_value)
    assert "its result cannot be read (UnpicklingError" in str(returned[1]._return_value)


def test_ctrl_c_says_what_goes_on(tmp_path: Path, queue: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    queue({"7_0": "RUNNING"})
    monkeypatch.setattr(slurm_queue.time, "sleep", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        collect([job(0, tmp_path)], f"{tmp_path}/.submitit/%j", said.append)
    assert said == ["no longer waited for, but not ended: 7_0; scancel ends them, resume=true waits for them again"]


def test_squeue_is_asked_for_all_states_and_its_failure_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squeue"
    program.write_text('#!/bin/sh\necho "$@" > "$0.asked"\necho "7_0|RUNNING"\necho "8|PENDING"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ask_queue() == {"7_0": "RUNNING", "8": "PENDING"}
    assert "--states=all" in (tmp_path / "squeue.asked").read_text()
    program.write_text("#!/bin/sh\necho 'slurm_load_jobs error' >&2; exit 1\n")
    assert ask_queue() is None
