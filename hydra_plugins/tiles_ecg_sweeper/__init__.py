"""The grid sweeper as Hydra finds it: at every start, so that nothing heavy is imported here."""

from collections.abc import Mapping
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs every combination of the values that a command gives, and can go on with what it began.

    Args:
        params: Override key -> values, as on a command line, which wins over them.
        stages: Stage -> params of its own; stages run one after the other.
    """

    def __init__(
        self, params: Mapping[str, Any] | None = None, stages: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.params = params
        self.stages = stages
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
        """Run the jobs that the overrides stand for; end the program with a status where some are not over."""
        from tiles_ecg.sweep.grid import run_grid

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        run_grid(arguments, self.config, self.hydra_context.config_loader, self.launcher)
