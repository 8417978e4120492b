"""What a run is called in W&B: its name, group, job type and tags, from its folder and what was chosen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiles_ecg.config import ConfigError
from tiles_ecg.sweep.plan import is_sweep

TAGGED = ("objective", "encoder", "augmentation", "task")
"""Config groups whose choices are tags."""
DEEPEST_JOB = 3
"""Folders from a sweep's to that of a job, at most."""
LONGEST_TAG = 64
"""Characters that W&B accepts."""
LONGEST_PROJECT = 128
NOT_IN_PROJECTS = "/\\#?%:"


@dataclass(frozen=True)
class About:
    """What a run is called.

    Attributes:
        name: The run folder's place in its sweep; of a single run, the last two parts of the folder.
        group: The sweep's name; of a single run that is judged on a task, the protocol's hash; else none.
        job_type: `pretrain`, `finetune`, `probe`, `fusion` or `evaluate`.
        tags: `GROUP:CHOICE` for what was chosen, `protocol:HASH`, and the user's.
    """

    name: str
    group: str | None
    job_type: str
    tags: tuple[str, ...]


def about_run(folder: Path, choices: Mapping[str, str], tags: Sequence[str] = ()) -> About:
    """What the run of a folder is called.

    Args:
        folder: The run folder; `protocol.json` is in it where a task is judged.
        choices: Config groups and what was chosen in each.
        tags: The user's.
    """
    protocol = _protocol(folder)
    sweep = next((above for above in folder.absolute().parents[:DEEPEST_JOB] if is_sweep(above)), None)
    name = "/".join(folder.parts[-2:]) if sweep is None else folder.absolute().relative_to(sweep).as_posix()
    group = "/".join(sweep.parts[-2:]) if sweep is not None else protocol.get("hash")
    chosen = [f"{part}:{choices[part]}" for part in TAGGED if choices.get(part) not in (None, "None", "null")]
    judged = [f"protocol:{protocol['hash']}"] if protocol else []
    every = dict.fromkeys(tag[:LONGEST_TAG] for tag in (*chosen, *judged, *tags))
    return About(name, group, protocol.get("job", "pretrain"), tuple(every))


def check_project(project: str) -> None:
    """Refuse a project that W&B would refuse when the run begins.

    Raises:
        ConfigError: If its name is too long, or has a character that W&B does not take.
    """
    found = "".join(sorted(set(project) & set(NOT_IN_PROJECTS)))
    if found or not 0 < len(project) <= LONGEST_PROJECT:
        raise ConfigError(
            f"logger.wandb.project = {project!r}: W&B takes names of 1 to {LONGEST_PROJECT} characters without any of "
            f"{' '.join(NOT_IN_PROJECTS)}; a team is given as logger.wandb.entity"
        )


def _protocol(folder: Path) -> dict[str, str]:
    """What a run that is judged on a task wrote into its folder before it began; empty for another."""
    try:
        found = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
        return {key: str(found[key]) for key in ("hash", "job") if key in found}
    except (OSError, ValueError, TypeError):
        return {}
