"""Who started this process, and whether others beside it: torchrun, Slurm's srun, or nobody."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tiles_ecg.config import ConfigError


@dataclass(frozen=True)
class Started:
    """The processes that one command was started as.

    Attributes:
        by: What started them.
        n_processes: How many, on all nodes.
        rank: Of this one.
    """

    by: Literal["torchrun", "srun"]
    n_processes: int
    rank: int


def started_from_outside(environment: Mapping[str, str] = os.environ) -> Started | None:
    """The processes that this one was started with; None where it was started alone.

    A shell inside an allocation of Slurm, or a batch script, sees the allocation's number of tasks, but is one process:
    only srun starts several, as a step.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return Started("torchrun", int(environment["WORLD_SIZE"]), int(environment["RANK"]))
    n_tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment and n_tasks > 1:
        return Started("srun", n_tasks, int(environment["SLURM_PROCID"]))
    return None


def is_first_process() -> bool:
    """Whether this process speaks for those that were started with it."""
    started = started_from_outside()
    return started is None or started.rank == 0


def cluster_plugins() -> list[Any]:
    """What a Trainer is to be told of its cluster, where it would misread Slurm's variables or requeue by itself.

    Raises:
        ConfigError: If srun was not told what Lightning must know.
    """
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    started = started_from_outside()
    if started is not None and started.by == "srun":
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ConfigError(
                f"srun: started {started.n_processes} processes without saying how many a node; give srun "
                "--ntasks-per-node=N, the number of trainer.devices"
            )
        return [SLURMEnvironment(auto_requeue=False)]
    return [LightningEnvironment()] if started is None and "SLURM_JOB_ID" in os.environ else []


def check_devices(trainer: Any) -> None:
    """Compare the processes that were started with those that a config asks for.

    Raises:
        ConfigError: If they are not as many, or if nobody starts those of other nodes.
    """
    started = started_from_outside()
    devices, nodes = trainer.num_devices, trainer.num_nodes
    asked = f"trainer.devices = {devices}, trainer.num_nodes = {nodes}"
    if started is not None and started.n_processes != devices * nodes:
        raise ConfigError(
            f"{asked}: {started.by} started {started.n_processes} processes; give trainer=ddp with as many devices a "
            f"node, or start one process without {started.by}"
        )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if started is None and nodes > 1 and not (environment and environment.creates_processes_externally):
        raise ConfigError(
            f"{asked}: this process cannot start those of other nodes; use torchrun on each node, srun, or "
            "hydra/launcher=slurm"
        )


def refuse_sweep_from_outside() -> None:
    """Refuse to sweep in several processes at once: each would choose the jobs by itself.

    Raises:
        ConfigError: If several were started.
    """
    started = started_from_outside()
    if started is not None and started.n_processes > 1:
        raise ConfigError(
            f"a sweep: {started.by} started {started.n_processes} processes of it; start one, without {started.by}: it "
            "starts those of each job (trainer=ddp), or has Slurm start them (hydra/launcher=slurm)"
        )
