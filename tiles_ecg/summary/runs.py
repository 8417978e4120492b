"""Runs: what judged runs left in their folders, found below any folder; what cannot be used is named, with a reason."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tiles_ecg.console_resume import CONFIG_FILE, PROTOCOL_FILE
from tiles_ecg.evaluation.predictions import Predictions, PredictionsError, load_predictions
from tiles_ecg.run_record import STATUS_FILE
from tiles_ecg.sweep.plan import SWEEP_FILE

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times as fast."""
RIGHT = "the folder of a sweep, of a run of tiles-train or tiles-evaluate, or one above it"
PREDICTIONS = "predictions"
OTHERS = frozenset({PREDICTIONS, "checkpoints", "embedding", "gallery", "tensorboard", "wandb", "__pycache__"})
"""Folders within a run's, which hold no runs."""


class ReportError(Exception):
    """No report can be made of these folders. The message names them, what is wrong, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Audit:
    """A check of the leak audit, as a run wrote it down: `outcome` is `passed`, `unknown` or `failed, but accepted`."""

    name: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Run:
    """A run that judged methods under one protocol.

    Attributes:
        path: Its folder.
        hash: Of the protocol.
        about: What the hash covers.
        notes: Of the protocol.
        audits: What the leak audit said.
        encoders: For each encoder, by name, where it comes from.
        command: That made the run; empty where unknown.
        predictions: One file each.
    """

    path: Path
    hash: str
    about: dict[str, Any]
    notes: tuple[str, ...]
    audits: tuple[Audit, ...]
    encoders: dict[str, dict[str, Any]]
    command: str
    predictions: tuple[Predictions, ...]


@dataclass(frozen=True)
class Setback:
    """A folder or a file that the report has to do without.

    Attributes:
        path: Which.
        reason: Such as `not finished: it holds no predictions`.
    """

    path: Path
    reason: str


def find_runs(paths: Sequence[Path], others: Collection[Path] = ()) -> tuple[list[Run], list[Setback]]:
    """Judged runs in and below some folders, in the order of their paths, each once.

    A run is known by `protocol.json`; one that was to judge a task but has not come to writing that, by its
    `config.yaml`. Pre-training runs are passed over.

    Args:
        paths: The folders.
        others: Those of them that hold something else to report, and need not hold a judged run.

    Raises:
        ReportError: If a path is not a folder, or there is nothing in it to report; or if all that was found in all of
            them cannot be used.
    """
    found: dict[Path, None] = {}
    for path in paths:
        require_folder(path)
        folders = list(_run_folders(path))
        if not folders and path not in others:
            raise ReportError(
                f"{path}: no run is in it (no {SWEEP_FILE}, {STATUS_FILE} or {PROTOCOL_FILE}); give {RIGHT}"
            )
        found |= dict.fromkeys(folder.resolve() for folder in folders)
    runs, setbacks = [], []
    for folder in found:
        run, trouble = _read(shown(folder))
        runs += [run] if run else []
        setbacks += trouble
    if not runs and not others:
        told = "\n".join(f"  {setback.path}: {setback.reason}" for setback in setbacks)
        raise ReportError(f"no run has predictions to report:\n{told}")
    return runs, setbacks


def require_folder(path: Path) -> None:
    """Refuse what is no folder.

    Raises:
        ReportError: If it is none.
    """
    if not path.is_dir():
        raise ReportError(f"{path}: {'a file' if path.exists() else 'no such folder'}; give {RIGHT}")


def shown(path: Path) -> Path:
    """Relative where it lies below the folder we are in."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        is_judged = PROTOCOL_FILE in files
        # what lies in a run's folder are parts of it: its controls, trained there
        below[:] = [] if is_judged else sorted(n for n in below if n not in OTHERS and not n.startswith("."))
        if is_judged or (CONFIG_FILE in files and _has_task(Path(folder) / CONFIG_FILE)):
            yield Path(folder)


def _has_task(config: Path) -> bool:
    try:
        return read_config(config).get("task") is not None
    except ValueError:
        return False


def read_config(path: Path) -> dict[str, Any]:
    """The resolved config of a run.

    Raises:
        ValueError: If the file is missing or damaged; the message says which.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError("it holds no config")
    return content


def _read(folder: Path) -> tuple[Run | None, list[Setback]]:
    """A run, unless it has no predictions that can be used, and what is wrong with it."""
    path = folder / PROTOCOL_FILE
    if not path.exists():
        return None, [Setback(folder, f"not finished: it holds no {PROTOCOL_FILE}")]
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file)
        known = _parsed(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return None, [Setback(path, f"damaged: {type(error).__name__}: {error}")]
    if content.get("finished") is False:
        return None, [Setback(folder, "not finished: it was stopped, or failed, or is still at work")]
    parts, setbacks = [], []
    for file_path in sorted((folder / PREDICTIONS).glob("*.npz")):
        try:
            part = load_predictions(file_path)
            _check(part, known["hash"], known["about"])
            parts.append(part)
        except PredictionsError as error:
            setbacks.append(Setback(file_path, f"damaged: {str(error).removeprefix(f'{file_path}: ')}"))
    if not parts:
        reason = "no predictions that can be read" if setbacks else "not finished: it holds no predictions"
        return None, [*setbacks, Setback(folder, reason)]
    return Run(path=folder, predictions=tuple(parts), **known), setbacks


def _parsed(content: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a `Run` from `protocol.json`; what every such file has is asked for, the rest may be missing."""
    about = dict(content["about"])
    for key in ("task", "kind", "metric", "folds", "subjects"):
        about[key]  # a KeyError names it
    return {
        "hash": str(content["hash"]),
        "about": about,
        "notes": tuple(map(str, content.get("notes") or ())),
        "audits": tuple(Audit(str(c["name"]), _outcome(c), str(c["detail"])) for c in content.get("checks") or ()),
        "encoders": {str(name): dict(facts) for name, facts in (content.get("encoders") or {}).items()},
        "command": str(content.get("command") or ""),
    }


def _outcome(check: dict[str, Any]) -> str:
    """A failed check is an accepted one: the run would not have finished otherwise."""
    if check.get("is_unknown"):
        return "unknown"
    return "passed" if check["passed"] else "failed, but accepted"


def _check(part: Predictions, hash_: str, about: dict[str, Any]) -> None:
    """Refuse predictions that do not belong to the protocol beside them, or hold nothing."""
    if part.protocol != hash_ or part.task != about["task"]:
        raise PredictionsError(
            f"of task {part.task} under protocol {part.protocol}, but {PROTOCOL_FILE} beside them is of "
            f"{about['task']} under {hash_}"
        )
    if len(part) == 0:
        raise PredictionsError("no example is predicted")
