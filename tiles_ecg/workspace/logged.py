"""What runs really logged: names and kinds, from metrics.csv, the W&B files and the pictures of their folders."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tiles_ecg.workspace.description import DashboardError, JobType

Kind = Literal["number", "image", "table"]
STEP = "trainer/global_step"
MEDIA: Mapping[str, Kind] = {"image-file": "image", "images/separated": "image", "table-file": "table"}
"""By `_type` in W&B's history."""
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""How W&B writes such numbers."""
MARKS = ("status.json", "metrics.csv", "protocol.json")
"""A folder with one of these is a run's."""


@dataclass(frozen=True)
class Logged:
    """What one run logged.

    Attributes:
        folder: Of the run.
        job_type: What it is.
        kinds: What is logged under each key.
        summed_up: Numbers that stand in its summary alone.
        has_wandb: Whether W&B was among its loggers, so that every image and table is known.
    """

    folder: Path
    job_type: str
    kinds: Mapping[str, Kind]
    has_wandb: bool
    summed_up: frozenset[str] = frozenset()


def find_logged(paths: Sequence[Path]) -> list[Logged]:
    """What the runs in or below some folders logged.

    Raises:
        DashboardError: If a folder is not there, or no run is in it.
    """
    runs = []
    for path in paths:
        if not path.is_dir():
            raise DashboardError(f"{path}: no such folder; give run folders, or folders above them")
        folders = [path] if _is_run(path) else sorted({found.parent for mark in MARKS for found in path.rglob(mark)})
        found = [run for run in map(_logged, folders) if run.kinds]
        if not found:
            raise DashboardError(f"{path}: no run that logged anything is in it; give the folder of one")
        runs += found
    return runs


def _is_run(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in MARKS)


def _logged(folder: Path) -> Logged:
    kinds: dict[str, Kind] = dict.fromkeys(_columns(folder / "metrics.csv"), "number")
    summary: dict[str, Kind] = {}
    files = [file for file in sorted((folder / "wandb").glob("*run-*/run-*.wandb")) if not file.parent.is_symlink()]
    job_type = _job_type(folder)
    if not files:
        kinds |= _pictures(folder / "pictures")
    for file in files:
        for record in _records(file):
            job_type = record.get("run", {}).get("job_type") or job_type
            kinds |= _kinds(record.get("history", {}).get("item", {}))
            summary |= _kinds(record.get("summary", {}).get("update", {}))
    return Logged(folder, job_type, kinds, bool(files), frozenset(summary) - set(kinds))


def _pictures(folder: Path) -> dict[str, Kind]:
    """Pictures as loggers would name them; the maps of an evaluation, one an encoder, have a name of two parts."""
    names = (found.stem.replace("embedding_map_", "embedding_map/") for found in sorted(folder.glob("*.png")))
    return dict.fromkeys((f"pictures/{name}" for name in names), "image")


def _columns(path: Path) -> list[str]:
    """Metrics in a CSV; its steps are what W&B calls `trainer/global_step`."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    return [STEP if name == "step" else name for name in names if name]


def _records(file: Path) -> Iterator[dict[str, Any]]:
    """Records of a W&B file, by W&B's own reader (`wandb leet inspect`, the way its documentation names)."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise DashboardError(f"{file}: W&B cannot read it ({error.stderr.strip()}); remove that folder") from error
    for line in ended.stdout.splitlines():
        yield json.loads(line)


def _kinds(item: Mapping[str, Any]) -> dict[str, Kind]:
    """Keys of a row of the history; what an image or table consists of is written as `KEY.size` and such."""
    media = {name.removesuffix("._type"): kind for name, kind in item.items() if name.endswith("._type")}
    inner = tuple(f"{name}." for name in media)
    found: dict[str, Kind] = {name: MEDIA[kind] for name, kind in media.items() if kind in MEDIA}
    for name, value in item.items():
        is_number = isinstance(value, int | float) or value in NOT_FINITE
        if is_number and not name.startswith("_") and not (inner and name.startswith(inner)):
            found[name] = "number"
    return found


def _job_type(folder: Path) -> str:
    """As a run without W&B files says."""
    if _read(folder / "status.json").get("program") == "tiles-evaluate":
        return "evaluate"
    job = _read(folder / "protocol.json").get("job")
    return str(job) if job in get_args(JobType) else "pretrain"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
