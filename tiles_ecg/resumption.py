"""Whether a run can go on from what lies in its folder, and from which step."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import CHECKPOINT, CONFIG_FILE
from tiles_ecg.requeue import is_restarted

log = logging.getLogger(__name__)

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

    A damaged `last.ckpt` is kept as `damaged.ckpt`, and `previous.ckpt` takes its place. A job that Slurm has started
    again goes on, whatever its config says.

    Args:
        run_dir: The run folder.
        config: Resolved; `resume` in it says whether to go on.
        trainer: Whose ranks agree.

    Raises:
        ConfigError: If a new run would overwrite another, no checkpoint is whole, or they are of another network.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size == 1 or environment is None or not environment.creates_processes_externally:
        return _found(run_dir, config)
    found: Checkpointed | None = None
    failure: Exception | None = None
    if trainer.is_global_zero:
        try:
            found = _found(run_dir, config)
        except Exception as error:
            failure = error
    path, step, told = trainer.strategy.broadcast(
        (str(found.path) if found else None, found.step if found else 0, str(failure) if failure else None)
    )
    if failure is not None:
        raise failure
    if told is not None:
        raise ConfigError(told)
    return Checkpointed(Path(path), step) if path is not None else None


def _found(run_dir: Path, config: dict[str, Any]) -> Checkpointed | None:
    from tiles_ecg.checkpoint_file import PREVIOUS

    last = run_dir / CHECKPOINT
    if not last.exists() and not last.with_name(PREVIOUS).exists():
        return None
    if not config["resume"] and not is_restarted():
        raise ConfigError(
            f"hydra.run.dir = {run_dir}: holds a run already ({CHECKPOINT}); "
            "give resume=true to go on with it, or another folder"
        )
    before = yaml.safe_load((run_dir / CONFIG_FILE).read_text()) if (run_dir / CONFIG_FILE).exists() else config
    changed = [key for key in KEPT_ON_RESUME if _at(before, key) != _at(config, key)]
    if changed:
        named = ", ".join(f"{key} was {_at(before, key)}, is {_at(config, key)}" for key in changed)
        raise ConfigError(f"resume = {run_dir}: its checkpoint is of something else ({named}); leave that as it was")
    return _whole(run_dir, last)


def _whole(run_dir: Path, last: Path) -> Checkpointed:
    """`last.ckpt`, put into order if it is damaged or missing."""
    from tiles_ecg.checkpoint_file import PREVIOUS, CheckpointError, DamagedCheckpointError

    previous = last.with_name(PREVIOUS)
    try:
        found = _step(last) if last.exists() else None
        reason = "is missing"
    except DamagedCheckpointError as error:
        found, reason = None, f"is {str(error).removeprefix(f'{last}: ')}"
    except CheckpointError as error:
        raise ConfigError(f"resume = {run_dir}: {error}") from error
    if found is not None:
        return Checkpointed(last, found)
    if not previous.exists():
        raise ConfigError(f"resume = {run_dir}: {CHECKPOINT} {reason}; remove it to begin anew")
    try:
        step = _step(previous)
    except CheckpointError as error:
        raise ConfigError(
            f"resume = {run_dir}: {CHECKPOINT} {reason}, and of the one before: {error}; remove both to begin anew"
        ) from error
    _put_in_order(last, previous, reason, step)
    return Checkpointed(last, step)


def _put_in_order(last: Path, previous: Path, reason: str, step: int) -> None:
    from tiles_ecg.checkpoint_file import DAMAGED, put_beside

    was, kept = f"{last}{_step_of_encoder(last)} {reason}", ""
    if last.exists():
        put_beside(last, last.with_name(DAMAGED))
        kept = f" and is kept as {DAMAGED}"
    log.warning("%s%s: going on from %s of step %s", was, kept, previous, f"{step:,}")
    put_beside(previous, last)


def _step(path: Path) -> int:
    from tiles_ecg.checkpoint_file import read_checkpoint

    return int(read_checkpoint(path)["global_step"])


def _step_of_encoder(last: Path) -> str:
    """Of which step a checkpoint that cannot be read was, as the file beside it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(last.with_suffix(".safetensors"), "pt") as file:
            return f" of step {int((file.metadata() or {})['step']):,}"
    except (OSError, SafetensorError, KeyError, ValueError):
        return ""


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config
