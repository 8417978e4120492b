"""hydra/launcher=slurm. Hydra imports this file at every start of every command, so that it imports nothing more."""

import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Runs the jobs of a sweep as Slurm jobs, and waits for them; see `tiles_ecg.slurm`.

    Args:
        settings: As in `conf/hydra/launcher/slurm.yaml`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs are composed from and what they run; Hydra calls it before `launch`."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit jobs and wait until all have ended; one that is lost comes back as failed, the others as they are.

        Raises:
            SystemExit: With status 2, if no job can be submitted; the reason is shown.
        """
        from tiles_ecg.config import ConfigError
        from tiles_ecg.slurm import run_jobs
        from tiles_ecg.slurm_settings import SlurmSettings

        try:
            settings = SlurmSettings.of(self.settings)
            return run_jobs(settings, self.context, self.task, self.config, job_overrides, initial_job_idx)
        except ConfigError as error:  # of the whole sweep; a sweeper would take it for the failure of a job
            print(f"tiles-{self.config.hydra.job.config_name}: {error}", file=sys.stderr)
            sys.exit(2)
