"""sweep.json: the jobs of a sweep, with their folders' names and overrides, written before the first one starts."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

SWEEP_FILE = "sweep.json"
FORMAT_VERSION = 1
NOTHING_TO_SEARCH = (
    "hydra/sweeper = optuna: there is nothing to search in; give a key several values, such as "
    "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or objective.temperature=choice(0.05,0.1,0.2)"
)


class SweepError(Exception):
    """A sweep cannot be read or gone on with. The message names its file, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        name: Of its folder in the sweep's; readable, unique within the sweep, the same whenever the sweep is resumed.
        overrides: All that it is composed with, apart from Hydra's own and `resume`.
        varied: What tells it from the others: override key -> value, in the order of the command.
        stage: Of a sweep in stages; empty otherwise.
    """

    name: str
    overrides: tuple[str, ...]
    varied: dict[str, str] = field(default_factory=dict)
    stage: str = ""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is.

    Attributes:
        program: `tiles-train` or `tiles-evaluate`.
        overrides: Of the command, as typed, apart from `resume`, `hydra.run.dir` and `hydra.sweep.dir`.
        jobs: In the order in which they run. A search adds to them while it goes on.
        created: ISO 8601, UTC.
        search: Of a search: what it looks for (`monitor`, `direction`, `n_trials`, `study`, `storage`); else empty.
    """

    program: str
    overrides: tuple[str, ...]
    jobs: tuple[Job, ...]
    created: str
    search: dict[str, str] = field(default_factory=dict)


def as_typed(arguments: Sequence[str], config: DictConfig) -> list[str]:
    """Overrides of the command, Hydra's own included; what they interpolate is left for the jobs.

    Args:
        arguments: Those that are not Hydra's own.
        config: Of the sweep, Hydra's own included.
    """
    own: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    return [*arguments, *own]


def refuse_names(given: Sequence[str]) -> None:
    """Refuse a command that names the folders of the jobs itself.

    Raises:
        SweepError: If it does.
    """
    named = [text for text in given if key_of(text) == "hydra.sweep.subdir"]
    if named:
        raise SweepError(f"{named[0]}: folders of jobs are named by what differs between them; leave it out")


def write_plan(folder: Path, plan: SweepPlan) -> None:
    """Write `sweep.json` into the sweep's folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{SWEEP_FILE}.tmp"
    content = {"format_version": FORMAT_VERSION, **asdict(plan)}
    scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(scratch, folder / SWEEP_FILE)


def read_plan(folder: Path) -> SweepPlan:
    """Read `sweep.json` of a sweep's folder.

    Raises:
        SweepError: If it is missing or damaged.
    """
    path = folder / SWEEP_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        jobs = [
            Job(str(job["name"]), tuple(map(str, job["overrides"])), dict(job["varied"]), str(job["stage"]))
            for job in found["jobs"]
        ]
        return SweepPlan(
            str(found["program"]), tuple(map(str, found["overrides"])), tuple(jobs), str(found["created"]),
            dict(found["search"]),
        )  # fmt: skip
    except FileNotFoundError:
        raise SweepError(f"{path}: no such file; give the folder of a sweep, which a command with -m makes") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepError(f"{path}: damaged ({type(error).__name__}: {error}); start the sweep anew") from error


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / SWEEP_FILE).is_file()


def key_of(override: str) -> str:
    """`encoder` of `+encoder=resnet8`."""
    return override.partition("=")[0].lstrip("+~")


def without(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Overrides apart from those of some keys."""
    return [text for text in overrides if key_of(text) not in keys]
