"""What the launcher is told, and what each job asks Slurm for: where it is left open, as the job's trainer says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError


@dataclass(frozen=True)
class Demand:
    """What a job asks Slurm for: nodes, and on each of them tasks (processes) and GPUs; None is nothing asked for."""

    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int | None = None

    @property
    def n_tasks(self) -> int:
        """Processes on all nodes together."""
        return self.nodes * self.tasks_per_node


@dataclass(frozen=True)
class SlurmSettings:
    """The keys of `conf/hydra/launcher/slurm.yaml`, which says what they are."""

    submitit_folder: str
    name: str
    timeout_min: int
    signal_delay_s: int
    max_num_timeout: int
    array_parallelism: int
    nodes: int | None = None
    tasks_per_node: int | None = None
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    comment: str | None = None
    stderr_to_stdout: bool = False
    setup: Sequence[str] = ()
    additional_parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "SlurmSettings":
        """Settings as Hydra hands them over.

        Raises:
            ConfigError: If one is of the wrong type, or the time is too short for a checkpoint at its end.
        """
        plain: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }
        counts = ("timeout_min", "signal_delay_s", "max_num_timeout", "array_parallelism", "nodes", "tasks_per_node")
        problems = [
            f"hydra.launcher.{key} = {plain[key]}: a whole number is wanted"
            for key in (*counts, "gpus_per_node", "cpus_per_task")
            if plain.get(key) is not None and (isinstance(plain[key], bool) or not isinstance(plain[key], int))
        ]
        if problems:
            raise ConfigError(problems)
        found = cls(**plain)
        if found.timeout_min * 60 <= 2 * found.signal_delay_s:  # else a job may be told to end before it has begun
            raise ConfigError(
                f"hydra.launcher.timeout_min = {found.timeout_min} min: a checkpoint is asked for "
                f"{found.signal_delay_s} s before the end (hydra.launcher.signal_delay_s), which leaves the job too "
                f"little; give at least {2 * found.signal_delay_s // 60 + 1} min, or a smaller signal_delay_s"
            )
        return found

    def demand(self, cfg: DictConfig) -> Demand:
        """What a job with this config asks for, where the settings leave it to the trainer.

        Raises:
            ConfigError: If the trainer's number of devices is not one, or settings and trainer differ.
        """
        trainer = OmegaConf.select(cfg, "trainer")
        if trainer is None:
            return Demand(self.nodes or 1, self.tasks_per_node or 1, self.gpus_per_node)
        devices = number_of_devices(trainer.get("devices", 1))
        nodes = int(trainer.get("num_nodes", 1))
        for key, given, wanted in (("tasks_per_node", self.tasks_per_node, devices), ("nodes", self.nodes, nodes)):
            if given not in (None, wanted):
                of_trainer = "devices" if key == "tasks_per_node" else "num_nodes"
                raise ConfigError(
                    f"hydra.launcher.{key} = {given}: trainer.{of_trainer} = {wanted}; leave {key} out, it follows"
                )
        gpus = self.gpus_per_node
        if gpus is None and self.gres is None and trainer.get("accelerator") in ("gpu", "cuda"):
            gpus = devices
        return Demand(nodes, devices, gpus)

    def for_submitit(self, demand: Demand) -> dict[str, Any]:
        """The parameters of submitit's executor for jobs with this demand."""
        names = ("partition", "account", "qos", "constraint", "exclude", "gres", "comment")
        of_slurm = {f"slurm_{name}": getattr(self, name) for name in names}
        parameters = {
            "name": self.name,
            "timeout_min": self.timeout_min,
            "nodes": demand.nodes,
            "tasks_per_node": demand.tasks_per_node,
            "gpus_per_node": demand.gpus_per_node,
            "cpus_per_task": self.cpus_per_task,
            "mem_gb": self.mem_gb,
            "stderr_to_stdout": self.stderr_to_stdout,
            "slurm_signal_delay_s": self.signal_delay_s,
            "slurm_array_parallelism": self.array_parallelism,
            "slurm_setup": [*self._of_cpus(), *self.setup],
            "slurm_additional_parameters": {"requeue": True, **self.additional_parameters},
            **of_slurm,
        }
        return {key: value for key, value in parameters.items() if value is not None}

    def _of_cpus(self) -> list[str]:
        """Lines before `srun`, which since Slurm 22.05 no longer takes over the number of CPUs, and threads by it."""
        if self.cpus_per_task is None:
            return []
        return [f"export {name}={self.cpus_per_task}" for name in ("SRUN_CPUS_PER_TASK", "OMP_NUM_THREADS")]


def number_of_devices(devices: Any) -> int:
    """The number that `trainer.devices` stands for: 2, "2", [0, 1] and "0,1" are two.

    Raises:
        ConfigError: If it is left to the machine, which is not known before the job runs.
    """
    if OmegaConf.is_list(devices) or isinstance(devices, list | tuple):
        return len(devices)
    words = str(devices).split(",")
    if len(words) > 1:
        return len([word for word in words if word.strip()])
    if not words[0].strip().isdigit() or int(words[0]) < 1:
        raise ConfigError(
            f"trainer.devices = {devices}: a job has to ask Slurm for a number; give trainer.devices=1, or as many as "
            "the GPUs of a node that it is to use"
        )
    return int(words[0])
