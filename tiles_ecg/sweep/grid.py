"""The grid sweep: its plan, agreed with the one in its folder, then its jobs, stage by stage."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import wants_to_resume
from tiles_ecg.folder_lock import alone_in
from tiles_ecg.run_record import RunStatus, mark_failed, read_status
from tiles_ecg.sweep.ending import end_of_sweep
from tiles_ecg.sweep.grid_plan import plan_grid, sources_of
from tiles_ecg.sweep.jobs import Grammar
from tiles_ecg.sweep.launching import launch
from tiles_ecg.sweep.plan import Job, SweepError, SweepPlan, as_typed, write_plan


def run_grid(arguments: Sequence[str], config: DictConfig, loader: ConfigLoader, launcher: Launcher) -> None:
    """Plan, run and sum up a sweep.

    Args:
        arguments: Overrides of the command, without Hydra's own.
        config: Hydra's, of the sweep, with its folder settled.
        loader: Hydra's, which knows the config groups.
        launcher: Set up by Hydra.

    Raises:
        SystemExit: Where jobs are not over: 2 if all of them failed by the user's mistakes, else 1. With status 2 where
            another process is at work on the sweep.
    """
    folder = Path(config.hydra.sweep.dir)
    program = f"tiles-{config.hydra.job.config_name}"
    try:
        with alone_in(folder, "hydra.sweep.dir"):
            status = _run(program, folder, arguments, config, loader, launcher)
    except (ConfigError, SweepError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        status = 2
    if status:
        sys.exit(status)


def _run(
    program: str, folder: Path, arguments: Sequence[str], config: DictConfig, loader: ConfigLoader, launcher: Launcher
) -> int:
    resume = wants_to_resume(arguments)
    given = as_typed(arguments, config)
    plan, jobs = plan_grid(folder, program, given, config.hydra.sweeper, grammar_of(loader), resume)
    write_plan(folder, plan)
    OmegaConf.save(config, folder / "multirun.yaml")
    numbers = {job.name: number for number, job in enumerate(plan.jobs)}
    try:
        for stage in dict.fromkeys(job.stage for job in jobs):
            ready = _ready([job for job in jobs if job.stage == stage], plan, folder)
            if ready:
                launch(ready, folder, launcher, resume, numbers[ready[0].name])
    except (KeyboardInterrupt, SystemExit):  # asked to end: what has not begun stays planned
        end_of_sweep(program, folder, jobs)
        raise
    return end_of_sweep(program, folder, jobs)


def grammar_of(loader: ConfigLoader) -> Grammar:
    """How overrides are read, by what Hydra knows of the config."""
    parser = OverridesParser.create(config_loader=loader)
    return Grammar(lambda texts: parser.parse_overrides(list(texts)), lambda key: bool(loader.get_group_options(key)))


def _ready(jobs: Sequence[Job], plan: SweepPlan, folder: Path) -> list[Job]:
    """Jobs whose earlier stage is over; of the others, those that it has failed are marked."""
    ready = []
    for job in jobs:
        statuses = {source.name: read_status(folder / source.name) for source in sources_of(job, plan.jobs, folder)}
        lacking = {name: status for name, status in statuses.items() if status.state != "finished"}
        if not lacking:
            ready.append(job)
            continue
        _tell(job, lacking, folder)
    return ready


def _tell(job: Job, lacking: Mapping[str, RunStatus], folder: Path) -> None:
    name, status = next(iter(lacking.items()))
    state = "failed" if status.state == "failed" else f"is {status.state}"
    error = SweepError(
        f"job {job.name} goes on from job {name}, which {state}"
        f"{f' ({status.error})' if status.error else ''}; once that is finished, resume=true runs this one"
    )
    print(f"sweep: {error}", file=sys.stderr)
    if status.state == "failed" and read_status(folder / job.name).state != "running":
        mark_failed(folder / job.name, error, status.is_mistake, status.program, {})
