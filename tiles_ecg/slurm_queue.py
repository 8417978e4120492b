"""Waiting for Slurm jobs: a job has ended when its result is there, or when Slurm says so; a lost one has failed."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from tiles_ecg.slurm_settings import Demand

LOOK_S = 1.0
"""Between two looks for results."""
ASK_S = (3.0, 60.0)
"""Between two questions to Slurm: at first, and when the jobs take long."""
GRACE_S = 10.0
"""So long may a result take to be seen here after its job has ended; file systems of clusters are slow to tell."""
TAIL = 15
"""Lines of a lost job's log that are shown."""
ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""States from which a job does not come back; one that is preempted or requeued may."""


class LostJobError(RuntimeError):
    """A Slurm job ended without a result."""


@dataclass(frozen=True)
class Submitted:
    """A job of a sweep as Slurm knows it.

    Attributes:
        slurm_id: `12`, or of an array `12_3`; empty before it is submitted.
        demand: What it asks for.
        overrides: As they were launched.
        config: Composed, with Hydra's own.
    """

    slurm_id: str
    demand: Demand
    overrides: Sequence[str]
    config: DictConfig

    @property
    def subdir(self) -> str:
        """Name of its folder in the sweep's."""
        return str(self.config.hydra.sweep.subdir)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.slurm_id} ({self.subdir})"


def ask_queue() -> dict[str, str] | None:
    """State of each of the user's jobs that Slurm still knows, elements of arrays by themselves; None: no answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.geteuid()}", "--format=%i|%T"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.strip().split("|", 1) for line in listed.splitlines() if "|" in line)


def is_over(state: str | None) -> bool:
    """Whether a job with this state has ended; Slurm forgets a job some minutes after it has: None."""
    return state is None or state in ENDED


def collect(jobs: Sequence[Submitted], folder: str, say: Callable[[str], None]) -> list[JobReturn]:
    """Wait until all jobs have ended; how each did, in their order.

    Args:
        jobs: Submitted ones.
        folder: Of submitit, with its `%j`.
        say: Tells the user a line.
    """
    ended: dict[int, JobReturn] = {}
    over: dict[int, tuple[float, str]] = {}  # since when Slurm says so, and what it says
    before: Mapping[str, str] = {}
    started = asked = time.monotonic()
    try:
        while len(ended) < len(jobs):
            now = time.monotonic()
            if now - asked > min(max(ASK_S[0], (now - started) / 20), ASK_S[1]):
                asked, states = now, ask_queue()
                before = _compare(jobs, before, states, say)
                for at in set(range(len(jobs))) - set(ended) if states is not None else ():
                    state = states.get(jobs[at].slurm_id) if states else None
                    if is_over(state):
                        over.setdefault(at, (now, state or "no longer in the queue"))
                    else:
                        over.pop(at, None)
            for at in set(range(len(jobs))) - set(ended):
                is_late = at in over and now - over[at][0] > GRACE_S
                if is_late or _has_ended(jobs[at], folder):
                    ended[at] = _outcome(jobs[at], folder, over.get(at, (0, "no result"))[1])
                    _tell(jobs[at], ended[at], len(jobs) - len(ended), say)
            if len(ended) < len(jobs):
                time.sleep(LOOK_S)
    except (KeyboardInterrupt, SystemExit):
        left = " ".join(job.slurm_id for at, job in enumerate(jobs) if at not in ended)
        say(f"no longer waited for, but not ended: {left}; scancel ends them, resume=true waits for them again")
        raise
    return [ended[at] for at in range(len(jobs))]


def _compare(
    jobs: Sequence[Submitted], before: Mapping[str, str], states: dict[str, str] | None, say: Callable[[str], None]
) -> Mapping[str, str]:
    """Tell of jobs that were running and wait again."""
    if states is None:
        return before
    for job in jobs:
        if before.get(job.slurm_id) in ("RUNNING", "COMPLETING") and states.get(job.slurm_id) == "PENDING":
            say(f"{job.name} was requeued; it goes on from its checkpoint")
    return states


def _paths(job: Submitted, folder: str, task: int) -> Any:
    from submitit.core.utils import JobPaths

    return JobPaths(folder, job.slurm_id, task)


def _has_ended(job: Submitted, folder: str) -> bool:
    place = _paths(job, folder, 0).folder
    try:
        names = set(os.listdir(place))  # also what makes a network file system look anew
    except OSError:
        return False
    return all(_paths(job, folder, task).result_pickle.name in names for task in range(job.demand.n_tasks))


def _outcome(job: Submitted, folder: str, state: str) -> JobReturn:
    """How a job ended: what its first process says, or why there is no word of it."""
    from submitit.core.utils import pickle_load

    path = _paths(job, folder, 0).result_pickle
    problem = ""
    if path.exists():
        try:
            kind, result = pickle_load(path)
            if kind == "success" and isinstance(result, JobReturn):
                return result
            problem = str(result).strip().splitlines()[-1]
        except Exception as error:  # whatever a damaged pickle raises
            problem = f"its result cannot be read ({type(error).__name__}: {error})"
    return _lost(job, folder, f"{state}: {problem}" if problem else state)


def _lost(job: Submitted, folder: str, why: str) -> JobReturn:
    log = _log(job, folder)
    tail = "\n".join(f"  {line}" for line in _lines(log)[-TAIL:])
    error = LostJobError(f"Slurm job {job.slurm_id} ended without a result ({why}); its log: {log}")
    returned = JobReturn(overrides=list(job.overrides), status=JobStatus.FAILED)
    returned.return_value = LostJobError(f"{error}\n{tail}" if tail else str(error))
    return returned


def _log(job: Submitted, folder: str) -> Path:
    """The log that says most of why it ended: of errors, of the first process that wrote one."""
    paths = [_paths(job, folder, task) for task in range(job.demand.n_tasks)]
    logs = [Path(path) for each in paths for path in (each.stderr, each.stdout)]
    return next((log for log in logs if _lines(log)), logs[0])


def _lines(log: Path) -> list[str]:
    try:
        return [
            line.rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return []


def _tell(job: Submitted, returned: JobReturn, n_left: int, say: Callable[[str], None]) -> None:
    is_done = returned.status == JobStatus.COMPLETED
    left = f"; {n_left} to go" if n_left else ""
    lost = f": {returned._return_value}" if isinstance(returned._return_value, LostJobError) else ""
    say(f"{job.name} {'has ended' if is_done else f'failed{lost}'}{left}")
