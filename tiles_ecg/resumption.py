"""Whether a run can go on from what lies in its folder, and from which step."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import CHECKPOINT, CONFIG_FILE

KEPT_ON_RESUME = (
    "encoder",
    "projector",
    "task",
    "objective._target_",
    "objective.head",
    "objective.streams",
    "objective.is_frozen",
    "objective.layer_decay",
    "optimizer._target_",
    "scheduler._target_",
)
"""What a checkpoint holds the state of."""


@dataclass(frozen=True)
class Checkpointed:
    """Where a run goes on.

    Attributes:
        path: Of the checkpoint.
        step: At which it was written.
    """

    path: Path
    step: int


def checkpoint_to_go_on_from(run_dir: Path, config: dict[str, Any], trainer: Any) -> Checkpointed | None:
    """The checkpoint of the folder that the run is to go on from, the same on every rank; None for a new run.

    Args:
        run_dir: The run folder.
        config: Resolved; `resume` in it says whether to go on.
        trainer: Whose ranks agree.

    Raises:
        ConfigError: If a new run would overwrite another, the checkpoint is damaged, or it is of another network.
    """
    return _found(run_dir, config)


def _found(run_dir: Path, config: dict[str, Any]) -> Checkpointed | None:
    import torch

    path = run_dir / CHECKPOINT
    if not path.exists():
        return None
    if not config["resume"]:
        raise ConfigError(
            f"hydra.run.dir = {run_dir}: holds a run already ({CHECKPOINT}); "
            "give resume=true to go on with it, or another folder"
        )
    before = yaml.safe_load((run_dir / CONFIG_FILE).read_text()) if (run_dir / CONFIG_FILE).exists() else config
    changed = [key for key in KEPT_ON_RESUME if _at(before, key) != _at(config, key)]
    if changed:
        named = ", ".join(f"{key} was {_at(before, key)}, is {_at(config, key)}" for key in changed)
        raise ConfigError(f"resume = {run_dir}: its checkpoint is of something else ({named}); leave that as it was")
    try:
        step = int(torch.load(path, weights_only=True, mmap=True, map_location="cpu")["global_step"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, OSError, ValueError) as error:
        raise ConfigError(
            f"resume = {run_dir}: {CHECKPOINT} is damaged ({type(error).__name__}); remove it to begin anew"
        ) from error
    return Checkpointed(path, step)


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config
