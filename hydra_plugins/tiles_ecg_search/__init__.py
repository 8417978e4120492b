"""The search as Hydra finds it: at every start, so that nothing heavy is imported here."""

from collections.abc import Mapping
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Looks for the best values of overrides by Optuna, trial by trial, in a study that survives it.

    Args:
        n_trials: Jobs in all, those of before a resumption included.
        n_jobs: How many are launched together.
        monitor: The metric of a trial.
        direction: Whether less or more of it is better: minimize | maximize.
        sampler: Which sampler, with its settings.
        pruner: Which pruner, with its settings.
        storage: A file, or the address of a database; None for a file in the sweep's folder.
        study: Its name in there; None for that of the sweep's folder.
        params: Override key -> values, as on a command line, which wins over them.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int,
        monitor: str,
        direction: str,
        sampler: DictConfig,
        pruner: DictConfig,
        storage: str | None = None,
        study: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Fix the sweep's folder, then have Hydra make the launcher."""
        from hydra.core.plugins import Plugins

        from tiles_ecg.sweep.launching import settle_folder

        settle_folder(config)
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Search; end the program with a status where jobs are not over."""
        from tiles_ecg.sweep.search_command import run_search

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        run_search(arguments, self.config, self.hydra_context.config_loader, self.launcher)
