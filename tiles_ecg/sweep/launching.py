"""Jobs of a sweep -> a launcher, and what became of them: nothing is run twice, and nobody stops the others."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from tiles_ecg.console_resume import quoted
from tiles_ecg.run_record import OVER, RunStatus, mark_failed, read_status
from tiles_ecg.sweep.plan import Job
from tiles_ecg.sweep.signals import asked_to_end

CHECKPOINTS = "checkpoints"
POLL_S = 1.0


class JobVanishedError(Exception):
    """The process of a job ended without a word, most likely killed."""


def settle_folder(config: DictConfig) -> Path:
    """Fix `hydra.sweep.dir` in the config of a sweep, before a launcher is made of it.

    A date and a tag in it would otherwise be resolved anew wherever the config is composed.

    Args:
        config: Hydra's, of the whole sweep; it is changed.
    """
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = str(folder)
    return folder


def launch(
    jobs: Sequence[Job], folder: Path, launcher: Launcher, resume: bool, first_number: int = 0
) -> list[RunStatus]:
    """Run those jobs that are neither over nor at work elsewhere; tell what became of all.

    Args:
        jobs: Of one sweep.
        folder: The sweep's.
        launcher: Set up by Hydra.
        resume: Whether jobs with a checkpoint go on from it.
        first_number: `hydra.job.num` of the first.

    Returns:
        The status of each job as it now is, in their order.
    """
    folder = folder.absolute()
    running = [job for job in jobs if read_status(folder / job.name).state == "running"]
    for job in running:
        where = " ".join(f"{key} {value}" for key, value in read_status(folder / job.name).job.items())
        print(f"job {job.name}: at work elsewhere ({where}); left alone", file=sys.stderr)
    to_run = [job for job in jobs if job not in running and read_status(folder / job.name).state not in OVER]
    with asked_to_end([folder / job.name for job in to_run]):
        _Launch(folder, launcher, resume, first_number).run(to_run)
    return [read_status(folder / job.name) for job in jobs]


class _Launch:
    """Hands jobs to a launcher, again if that fails, as long as some of them have not begun."""

    def __init__(self, folder: Path, launcher: Launcher, resume: bool, first_number: int) -> None:
        self.folder = folder
        self.launcher = launcher
        self.resume = resume
        self.first_number = first_number
        self.tried_again: set[str] = set()

    def run(self, jobs: Sequence[Job]) -> None:
        batches = deque([list(jobs)] if jobs else [])
        while batches:
            batch = batches.popleft()
            before = {job.name: self.status(job) for job in batch}
            try:
                returns = self.launcher.launch([self.overrides(job) for job in batch], self.first_number)
            except Exception as error:
                batches.extend(self._after(error, batch, before))
                continue
            for job, returned in zip(batch, returns, strict=False):
                self._settle(job, before[job.name], returned)

    def status(self, job: Job) -> RunStatus:
        return read_status(self.folder / job.name)

    def overrides(self, job: Job) -> list[str]:
        """All that a job is composed with; with a checkpoint in its folder it goes on."""
        own = [f"hydra.sweep.dir={quoted(self.folder)}", f"hydra.sweep.subdir={quoted(job.name)}"]
        has_begun = any((self.folder / job.name / CHECKPOINTS).glob("*.ckpt"))
        is_again = (self.resume or job.name in self.tried_again) and has_begun
        return [*job.overrides, *own, *(["resume=true"] if is_again else [])]

    def _settle(self, job: Job, before: RunStatus, returned: JobReturn) -> None:
        """Mark a job failed that a launcher gave back as such, and that could not say so itself."""
        after = self.status(job)
        if returned.status == JobStatus.FAILED and (after.state == "stopped" or after == before):
            self._fail(job, returned._return_value)  # its property prints before it raises

    def _after(self, error: Exception, batch: list[Job], before: dict[str, RunStatus]) -> list[list[Job]]:
        """What is to be launched again after a launcher's own failure; the others are marked."""
        print(f"sweep: the launcher failed ({type(error).__name__}: {_first_line(error)})", file=sys.stderr)
        while any(self.status(job).state == "running" for job in batch):  # some launchers do not wait for the others
            time.sleep(POLL_S)
        waiting = [job for job in batch if self.status(job) == before[job.name]]
        vanished = [job for job in batch if self.status(job).state == "stopped" and job not in waiting]
        for job in vanished:  # where one worker is killed, joblib kills the others: each has one more try
            if isinstance(error, BrokenExecutor) and job.name not in self.tried_again:
                self.tried_again.add(job.name)
                waiting.append(job)
            else:
                self._fail(job, JobVanishedError(f"its process ended without a word ({_first_line(error)})"))
        if len(waiting) < len(batch) or vanished:
            return [waiting] if waiting else []
        if len(batch) > 1:
            return [[job] for job in batch]
        self._fail(batch[0], error)
        return []

    def _fail(self, job: Job, error: BaseException) -> None:
        status = self.status(job)
        config = getattr(self.launcher, "config", None)
        name = OmegaConf.select(config, "hydra.job.config_name") if config is not None else None
        program = status.program or (f"tiles-{name}" if name else "")
        is_mistake = getattr(type(error), "is_user_error", False) is True
        mark_failed(self.folder / job.name, error, is_mistake, program, status.choices)
        print(f"job {job.name}: failed: {type(error).__name__}: {_first_line(error)}", file=sys.stderr)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
