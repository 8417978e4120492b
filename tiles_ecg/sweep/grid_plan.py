"""The plan of a grid sweep, agreed with the one that is in its folder."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.console_resume_sweep import NOT_OF_THE_PLAN, identity
from tiles_ecg.sweep.jobs import Grammar, expand
from tiles_ecg.sweep.plan import Job, SweepError, SweepPlan, is_sweep, key_of, read_plan, refuse_names, without


def plan_grid(
    folder: Path, program: str, given: Sequence[str], sweeper: DictConfig, grammar: Grammar, resume: bool
) -> tuple[SweepPlan, list[Job]]:
    """The plan of the sweep, and those of its jobs that the command stands for; nothing is written.

    Args:
        folder: The sweep's, absolute.
        program: Which runs.
        given: Overrides of the command, Hydra's own included.
        sweeper: Its config, with `params` and `stages`.
        grammar: How overrides are read.
        resume: Whether the sweep of the folder is gone on with.

    Raises:
        SweepError: If the folder holds another sweep, jobs are not what they were, or the command names their folders.
    """
    refuse_names(given)
    kept = tuple(without(given, NOT_OF_THE_PLAN))
    before = read_plan(folder) if is_sweep(folder) else None
    if before is None:
        jobs = _expanded(kept, sweeper, grammar, folder)
        return SweepPlan(program, kept, tuple(jobs), datetime.now(UTC).isoformat(timespec="seconds")), jobs
    _refuse_another(folder, before, program, resume)
    if identity(kept) == identity(before.overrides):
        return before, list(before.jobs)
    jobs = _merged(_expanded(kept, sweeper, grammar, folder), before, lambda: _expanded(
        kept, sweeper, grammar, folder, taken=[job.name for job in before.jobs]), folder)  # fmt: skip
    names = {job.name for job in jobs}
    is_whole = names.issuperset(job.name for job in before.jobs)
    added = [job for job in jobs if job.name not in {old.name for old in before.jobs}]
    plan = SweepPlan(
        program, kept if is_whole else before.overrides, (*before.jobs, *added), before.created, before.search
    )
    return plan, jobs


def _expanded(
    overrides: Sequence[str], sweeper: DictConfig, grammar: Grammar, folder: Path, taken: Sequence[str] = ()
) -> list[Job]:
    settings: Any = OmegaConf.to_container(sweeper, resolve=False)
    hydras = [text for text in overrides if key_of(text).startswith(("hydra.", "hydra/"))]
    own = [text for text in overrides if text not in hydras]
    return expand(own, grammar, folder, settings.get("params"), settings.get("stages"), taken, hydras)


def sources_of(job: Job, jobs: Sequence[Job], folder: Path) -> list[Job]:
    """The jobs whose run folders a job of a later stage reads."""
    by_folder = {str(folder / other.name): other for other in jobs}
    values = [text.partition("=")[2].strip("[]'") for text in job.overrides]
    return [by_folder[value] for value in values if value in by_folder]


def _refuse_another(folder: Path, before: SweepPlan, program: str, resume: bool) -> None:
    if not resume:
        raise SweepError(
            f"hydra.sweep.dir = {folder}: holds a sweep already; give resume=true to go on with it, or another folder"
        )
    if before.program != program:
        raise SweepError(f"hydra.sweep.dir = {folder}: is a sweep of {before.program}; go on with it by that command")
    if before.search:
        raise SweepError(f"hydra.sweep.dir = {folder}: is a search; go on with it by hydra/sweeper=optuna")


def _merged(jobs: list[Job], before: SweepPlan, renamed: Callable[[], list[Job]], folder: Path) -> list[Job]:
    """Jobs by the names that they have in the plan; new ones by names that are free."""
    known = {_content(job): job for job in before.jobs}
    names = {job.name: job for job in before.jobs}
    merged = []
    for job, other in zip(jobs, renamed(), strict=True):
        same = known.get(_content(job))
        if same is None and job.name in names and names[job.name].varied == job.varied:
            was, now = set(names[job.name].overrides), set(job.overrides)
            raise SweepError(
                f"{folder}: job {job.name} was {' '.join(sorted(was - now)) or 'without that'}, is "
                f"{' '.join(sorted(now - was)) or 'without that'}; give what it was, or start another sweep"
            )
        merged.append(same or other)
    return merged


def _content(job: Job) -> tuple[str, ...]:
    return (job.stage, *sorted(job.overrides))
