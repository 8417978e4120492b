"""The jobs of a sweep as Slurm jobs: what each asks for, and how they are submitted, through submitit."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from tiles_ecg.config import ConfigError
from tiles_ecg.slurm_queue import Submitted, ask_queue, collect, is_over
from tiles_ecg.slurm_settings import Demand, SlurmSettings

RECORD = "submitted.json"
"""In the folder of submitit: which Slurm job each job of the sweep was last submitted as."""


def run_jobs(
    settings: SlurmSettings,
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first_number: int,
) -> list[JobReturn]:
    """Submit jobs, wait for all of them, and say how each ended, in their order.

    A job that an earlier command submitted for the same folder, and that is queued or runs still, is not submitted
    again: it is waited for. Jobs that ask for the same are one array.

    Args:
        settings: Of the launcher.
        context: Of Hydra; composes the jobs.
        task: What each job runs.
        config: Of the sweep.
        job_overrides: Of each job.
        first_number: Of the first job, as `hydra.job.num`.

    Raises:
        ConfigError: If Slurm is not here, or refuses the jobs.
    """
    _check_slurm_is_here()
    jobs: list[Submitted] = []
    for number, overrides in enumerate(job_overrides, first_number):
        cfg = _composed(context, config, overrides, number)
        jobs.append(Submitted("", settings.demand(cfg), overrides, cfg))
    known = _still_at_work(settings, jobs)
    jobs = [replace(job, slurm_id=known.get(job.subdir, "")) for job in jobs]
    if known:
        are = "is" if len(known) == 1 else "are"
        _say(f"{len(known)} submitted before {are} waited for: {' '.join(sorted(known.values()))}")
    runner = _runner(context, task, config)
    for demand in dict.fromkeys(job.demand for job in jobs if not job.slurm_id):
        places = [at for at, job in enumerate(jobs) if job.demand == demand and not job.slurm_id]
        alike = [jobs[at] for at in places]
        names = _submit(settings, runner, alike)
        for at, name in zip(places, names, strict=True):
            jobs[at] = replace(jobs[at], slurm_id=name)
        _record(settings, [jobs[at] for at in places])
        _tell(settings, demand, names)
    return collect(jobs, settings.submitit_folder, _say)


def _composed(context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int) -> DictConfig:
    """The config of one job, Hydra's own included."""
    cfg = context.config_loader.load_sweep_config(config, list(overrides))
    with read_write(cfg), open_dict(cfg.hydra.job):
        cfg.hydra.job.num = number
    return cfg


def _check_slurm_is_here() -> None:
    if not all(find_spec(name) for name in ("submitit", "hydra_plugins.hydra_submitit_launcher")):
        raise ConfigError("hydra/launcher = slurm: submitit is not installed; pip install 'tiles_ecg[slurm]'")
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher = slurm: there is no sbatch on this machine; run the command where jobs are submitted, "
            "such as the login node, or take hydra/launcher=joblib"
        )


def _runner(context: HydraContext, task: TaskFunction, config: DictConfig) -> Any:
    """What composes and runs one job on its node, and is handed on when it is requeued: hydra-submitit-launcher's."""
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

    runner = SlurmLauncher()
    runner.setup(hydra_context=context, task_function=task, config=config)
    return runner


def _submit(settings: SlurmSettings, runner: Any, jobs: Sequence[Submitted]) -> list[str]:
    """Submit jobs that ask for the same; their Slurm ids."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.AutoExecutor(
        cluster="slurm", folder=settings.submitit_folder, slurm_max_num_timeout=settings.max_num_timeout
    )
    executor.update_parameters(**settings.for_submitit(jobs[0].demand))
    state = Singleton.get_state()
    arguments = [
        (
            list(job.overrides),
            "hydra.sweep.dir",
            int(job.config.hydra.job.num),
            f"job {job.config.hydra.job.num}",
            state,
        )
        for job in jobs
    ]
    own = {key: os.environ[key] for key in ("SLURM_CONF",) if key in os.environ}
    try:
        with submitit.helpers.clean_env():  # of an allocation in which the command is typed
            os.environ.update(own)
            submitted = executor.map_array(runner, *zip(*arguments, strict=True))
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        raise ConfigError(f"hydra/launcher = slurm: sbatch refused the jobs: {_short(error)}") from error
    return [str(job.job_id) for job in submitted]


def _short(error: BaseException) -> str:
    """What sbatch said, without submitit's way to tell of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("sbatch:")]
    return " ".join(said or lines[-3:])


def _record_file(settings: SlurmSettings) -> Path:
    from submitit.core.utils import JobPaths

    return JobPaths.get_first_id_independent_folder(settings.submitit_folder) / RECORD


def _read_record(settings: SlurmSettings) -> dict[str, str]:
    try:
        return dict(json.loads(_record_file(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _record(settings: SlurmSettings, submitted: Iterable[Submitted]) -> None:
    """Remember as which Slurm jobs the jobs of a sweep were submitted."""
    new = {job.subdir: job.slurm_id for job in submitted}
    path = _record_file(settings)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    scratch.write_text(json.dumps(_read_record(settings) | new, indent=1), encoding="utf-8")
    os.replace(scratch, path)


def _still_at_work(settings: SlurmSettings, jobs: Sequence[Submitted]) -> dict[str, str]:
    """Slurm ids of jobs that were submitted before and have not ended, by folder."""
    wanted = {job.subdir for job in jobs}
    before = {subdir: name for subdir, name in _read_record(settings).items() if subdir in wanted}
    if not before:
        return {}
    states = ask_queue()
    if states is None:
        raise ConfigError(
            "hydra/launcher = slurm: squeue does not answer, so that what runs still is not known; try later"
        )
    return {subdir: name for subdir, name in before.items() if not is_over(states.get(name))}


def _tell(settings: SlurmSettings, demand: Demand, names: Sequence[str]) -> None:
    main = names[0].partition("_")[0]
    one = f"{'job' if len(names) == 1 else f'{len(names)} jobs'} as {main}"
    gpus = f"{demand.gpus_per_node} GPU" if demand.gpus_per_node else settings.gres or "no GPU"
    where = Path(settings.submitit_folder).parent
    nodes = "a node" if demand.nodes == 1 else f"{demand.nodes} nodes"
    tasks = "a process" if demand.tasks_per_node == 1 else f"{demand.tasks_per_node} processes"
    _say(
        f"{one}: {nodes}, {tasks} and {gpus} on it; logs in {where}\n"
        f"slurm: they go on without this command; squeue -j {main} shows them, scancel {main} ends them"
    )


def _say(text: str) -> None:
    print(f"slurm: {text}", file=sys.stderr, flush=True)
