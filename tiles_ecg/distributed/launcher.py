"""Starts the other processes of a run from the first one's resolved config, so that Hydra runs once."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from tiles_ecg.resumption import Checkpointed


class ConfigFileLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher, whose children read a file instead of the command line.

    Args:
        replaced: The launcher that the strategy chose.
        orders: What `tiles_ecg.distributed.worker` is to do: resolved config and checkpoint, in plain types.
    """

    def __init__(self, replaced: _SubprocessScriptLauncher, orders: dict[str, Any]) -> None:
        super().__init__(replaced.cluster_environment, replaced.num_processes, replaced.num_nodes)
        self.orders = orders

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        environment = self.cluster_environment
        shared = os.environ | {
            "MASTER_ADDR": environment.main_address,
            "MASTER_PORT": str(environment.main_port),
            "NODE_RANK": str(environment.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(self.orders, file)
        self.orders_file = Path(file.name)
        for rank in range(1, self.num_processes):
            command = [sys.executable, "-m", "tiles_ecg.distributed.worker", file.name]
            self.procs.append(subprocess.Popen(command, env=shared | {"LOCAL_RANK": str(rank)}))


def start_processes_by_config(
    trainer: Any, config: dict[str, Any], datamodule: Any, resumed: Checkpointed | None
) -> None:
    """Have a trainer that would start processes by this command line start them by its config."""
    replaced = trainer.strategy.launcher
    is_ours = trainer.world_size > 1 and isinstance(replaced, _SubprocessScriptLauncher)
    if not is_ours or replaced.cluster_environment.creates_processes_externally:
        return
    config = config | {"dataset": config["dataset"] | {"store": [str(path) for path in datamodule.paths]}}
    orders = {"config": config, "checkpoint": [str(resumed.path), resumed.step] if resumed else None}
    trainer.strategy._launcher = ConfigFileLauncher(replaced, orders)


def end_processes(trainer: Any) -> None:
    """Leave the other processes' group, so that the next job begins its own, and wait until they have ended."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for process in getattr(trainer.strategy.launcher, "procs", []):
        process.wait()
