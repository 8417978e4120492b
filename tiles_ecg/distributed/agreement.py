"""Every process of a run works by the config of the first one, whoever started it."""

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError
from tiles_ecg.distributed.environment import check_devices

MISTAKE = 2
Made = TypeVar("Made")


class OtherProcessError(RuntimeError):
    """Another process of the run failed before the run began."""


def agree(trainer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The resolved config of rank 0, on every rank.

    Processes that torchrun or srun started have each composed a config of their own, with a date, a tag, or a sampler's
    draw of their own; those of our own launcher are handed the first one's. Those after the first fall silent.

    Args:
        trainer: Of this process; it knows who started it.
        config: What this process composed.

    Raises:
        ConfigError: If other processes were started than the config asks for, or its strategy starts them itself.
    """
    _check_strategy(trainer)
    check_devices(trainer)
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size == 1 or environment is None or not environment.creates_processes_externally:
        return config
    trainer.strategy.setup_environment()  # joins the processes; Lightning finds them joined
    if not trainer.is_global_zero:
        logging.getLogger("tiles_ecg").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
    agreed: dict[str, Any] = trainer.strategy.broadcast(config)
    return agreed


def _check_strategy(trainer: Any) -> None:
    """Refuse processes that would be forked or spawned in the middle of a run: they share what must not be shared."""
    from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError("trainer.strategy: processes that are forked or spawned are not served; give ddp")


def in_turn(trainer: Any, make: Callable[[], Made]) -> Made:
    """Have rank 0 make something, then the others; a failure of one ends all, and is told once.

    What is made once for all, such as a store that is not there yet, the others find made.

    Raises:
        Exception: What `make` raised here; on rank 0 also, of the same kind, what it raised elsewhere.
        SystemExit: On other ranks, with the status that rank 0 ends with.
    """
    from tiles_ecg.distributed.group import is_joined

    if trainer.world_size == 1 or not is_joined():
        return make()
    made: list[Made] = []
    for is_turn_of_first in (True, False):
        failure: Exception | None = None
        if trainer.is_global_zero == is_turn_of_first:
            try:
                made.append(make())
            except Exception as error:
                failure = error
        _end_together(trainer, failure)
    return made[0]


def _end_together(trainer: Any, failure: Exception | None) -> None:
    import torch.distributed

    is_mistake = getattr(type(failure), "is_user_error", False) is True
    told: list[tuple[bool, str] | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(told, (is_mistake, str(failure)) if failure is not None else None)
    failed = [(rank, *found) for rank, found in enumerate(told) if found is not None]
    if not failed:
        return
    torch.distributed.barrier()  # nobody leaves while another still listens
    rank, was_mistake, text = failed[0]
    if not trainer.is_global_zero:
        sys.exit(MISTAKE if was_mistake else 1)
    if failure is not None:
        raise failure
    raise (ConfigError if was_mistake else OtherProcessError)(f"process {rank} of {trainer.world_size}: {text}")


def as_config(config: dict[str, Any]) -> DictConfig:
    """A resolved config in plain types, as a config again."""
    cfg = OmegaConf.create(config)
    OmegaConf.set_struct(cfg, True)
    return cfg
