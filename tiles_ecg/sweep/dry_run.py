"""`--dry-run`: the jobs that a command stands for, what would be done with each, and how many steps that takes."""

from collections import Counter
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.console_command import Checked
from tiles_ecg.run_record import OVER, RunStatus, read_status
from tiles_ecg.sweep.ending import shown
from tiles_ecg.sweep.plan import NOTHING_TO_SEARCH, Job, SweepError
from tiles_ecg.sweep.search_command import plan_before, read_asked


def tell(checked: Checked) -> None:
    """Print it; nothing is started nor written.

    Raises:
        SweepError: If it is a search that cannot be.
    """
    if checked.sweeper == "optuna":
        _tell_search(checked)
        return
    if checked.sweeper not in ("", "grid"):  # one of Hydra's own, which knows nothing of our folders
        print(f"{checked.sweeper}: {len(checked.jobs)} jobs; nothing was started")
        return
    steps = 0
    n_jobs = 0
    is_exact = True
    for job in checked.jobs:
        folder = checked.folder / job.name if checked.folder else _run_dir(checked.configs[job.name])
        status = read_status(folder)
        aim = _max_steps(checked.configs.get(job.name, next(iter(checked.configs.values()))))
        what, left = _plan(status, folder, aim, checked.resume)
        n_jobs += what not in ("over", "at work elsewhere")
        steps += left
        is_exact &= what != "goes on" or status.step is not None
        print(_line(job, folder, status, what, aim))
    count = f"{n_jobs} job{'s' if n_jobs != 1 else ''} to run"
    print(f"{count}{_in_all(steps, is_exact)}; nothing was started")


def _tell_search(checked: Checked) -> None:
    config = next(iter(checked.configs.values()))
    program, folder = f"tiles-{config.hydra.job.config_name}", checked.folder or Path()
    asked = read_asked(config, program)
    if not any(job.name for job in checked.jobs):  # they are named by what varies
        raise SweepError(NOTHING_TO_SEARCH)
    before = plan_before(folder, program, checked.resume)
    states = Counter(read_status(folder / job.name).state for job in (before.jobs if before else ()))
    there = f" ({', '.join(f'{number} {state}' for state, number in states.items())})" if states else ""
    left = max(0, asked.n_trials - sum(states[state] for state in OVER))
    steps = _in_all(left * _max_steps(config), is_exact=False)
    print(f"{checked.sweeper}: up to {asked.n_trials} trials in {shown(folder)}{there}{steps}; nothing was started")


def _plan(status: RunStatus, folder: Path, aim: int, resume: bool) -> tuple[str, int]:
    """What would be done with a job, and its steps."""
    if status.state in OVER:
        return "over", 0
    if status.state == "running":
        return "at work elsewhere", 0
    if resume and any((folder / "checkpoints").glob("*.ckpt")):
        return "goes on", max(0, aim - (status.step or 0))
    return "begins" if status.state == "planned" else "begins anew", aim


def _line(job: Job, folder: Path, status: RunStatus, what: str, aim: int) -> str:
    at = f" at step {status.step:,} of {aim:,}" if status.step is not None and aim else ""
    before = f" ({status.state}{at})" if status.state != "planned" else ""
    varied = " ".join(f"{key}={value}" for key, value in job.varied.items()) or "-"
    return f"{shown(folder)}  {varied}  {what}{before}"


def _run_dir(config: DictConfig) -> Path:
    return Path(str(config.hydra.run.dir)).absolute()


def _in_all(steps: int, is_exact: bool) -> str:
    """Of a run that was killed it is not known how far it had come."""
    return f", {'' if is_exact else 'at most '}{steps:,} steps in all" if steps else ""


def _max_steps(config: DictConfig) -> int:
    steps = OmegaConf.select(config, "trainer.max_steps")
    return steps if isinstance(steps, int) else 0
