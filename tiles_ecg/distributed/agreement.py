"""Every process of a run works by the config of the first one, whoever started it."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def agree(trainer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The resolved config of rank 0, on every rank.

    Processes that torchrun or Slurm started have each composed a config of their own, with a date, a tag, or a
    sampler's draw of their own; those of our own launcher are handed the first one's.

    Args:
        trainer: Of this process; it knows who started it.
        config: What this process composed.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size == 1 or environment is None or not environment.creates_processes_externally:
        return config
    trainer.strategy.setup_environment()  # joins the processes; Lightning finds them joined
    agreed: dict[str, Any] = trainer.strategy.broadcast(config)
    return agreed


def as_config(config: dict[str, Any]) -> DictConfig:
    """A resolved config in plain types, as a config again."""
    cfg = OmegaConf.create(config)
    OmegaConf.set_struct(cfg, True)
    return cfg
