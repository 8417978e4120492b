"""Whether a run can go on from what lies in its folder, and from which step."""

import os
import pickle
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


def step_to_go_on_from(run_dir: Path, resume: bool | str, config: dict[str, Any]) -> int | None:
    """The step of the folder's checkpoint if the run is to go on from it; None for a new run.

    Raises:
        ConfigError: If a new run would overwrite another, the checkpoint is damaged, or it is of another network.
    """
    import torch

    path = run_dir / CHECKPOINT
    if not path.exists():
        return None
    if not resume:
        if int(os.environ.get("LOCAL_RANK", "0")):
            return None
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
        return int(torch.load(path, weights_only=True, mmap=True, map_location="cpu")["global_step"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, OSError, ValueError) as error:
        raise ConfigError(
            f"resume = {run_dir}: {CHECKPOINT} is damaged ({type(error).__name__}); remove it to begin anew"
        ) from error


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config
