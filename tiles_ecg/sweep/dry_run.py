"""`--dry-run`: the jobs that a command stands for, what would be done with each, and how many steps that takes."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.console_command import Checked
from tiles_ecg.run_record import OVER, RunStatus, read_status
from tiles_ecg.sweep.ending import shown
from tiles_ecg.sweep.plan import Job


def tell(checked: Checked) -> None:
    """Print it; nothing is started nor written."""
    if checked.sweeper not in ("", "grid"):
        _tell_search(checked)
        return
    steps = 0
    n_jobs = 0
    for job in checked.jobs:
        folder = checked.folder / job.name if checked.folder else _run_dir(checked.configs[job.name])
        status = read_status(folder)
        aim = _max_steps(checked.configs.get(job.name, next(iter(checked.configs.values()))))
        what, left = _plan(status, folder, aim, checked.resume)
        n_jobs += what not in ("over", "at work elsewhere")
        steps += left
        print(_line(job, folder, status, what, aim))
    count = f"{n_jobs} job{'s' if n_jobs != 1 else ''} to run"
    print(f"{count}{f', {steps:,} steps in all' if steps else ''}; nothing was started")


def _tell_search(checked: Checked) -> None:
    config = next(iter(checked.configs.values()))
    n_trials = OmegaConf.select(config, "hydra.sweeper.n_trials") or len(checked.jobs)
    aim = _max_steps(config)
    steps = f", at most {n_trials * aim:,} steps in all" if aim else ""
    print(
        f"{checked.sweeper}: up to {n_trials} trials in {shown(checked.folder or Path())}{steps}; nothing was started"
    )


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


def _max_steps(config: DictConfig) -> int:
    steps = OmegaConf.select(config, "trainer.max_steps")
    return steps if isinstance(steps, int) else 0
