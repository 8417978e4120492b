"""Run folders: which encoder file of a run is meant, and which stores its config names."""

from pathlib import Path
from typing import Any

import yaml

from tiles_ecg.console_resume import CONFIG_FILE

LONGEST_CHAIN = 20
"""Runs, each of which went on from the encoder of the one before."""


class RunFolderError(Exception):
    """A folder does not hold what a run leaves. The message names it, what is there, and what would be right."""

    is_user_error = True


def encoder_in(folder: Path) -> Path:
    """The encoder file of a run folder.

    Args:
        folder: A run's, with `config.yaml` and `checkpoints/`.

    Returns:
        `checkpoints/best.safetensors` of a run with a task, whose best step was chosen on validation subjects; else
        `checkpoints/last.safetensors`, which involves no choice.

    Raises:
        RunFolderError: If it is not there, or the config cannot be read.
    """
    config = run_config(folder)
    name = "best" if config.get("task") is not None else "last"
    file = folder / "checkpoints" / f"{name}.safetensors"
    if file.is_file():
        return file
    below = [str(path.relative_to(folder)) for path in _below(folder)]
    if below:
        some = f"{', '.join(below[:5])}{', ...' if len(below) > 5 else ''}"
        raise RunFolderError(f"{folder}: no checkpoints/{name}.safetensors, but {some}; give one of these by its path")
    inside = sorted(path.name for path in folder.iterdir())
    there = f"in it are {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}" if inside else "it is empty"
    raise RunFolderError(
        f"{folder}: no run folder with an encoder ({there}, no checkpoints/{name}.safetensors); give the folder of a "
        "run that has saved a checkpoint, or the path of a .ckpt or .safetensors"
    )


def _below(folder: Path) -> list[Path]:
    """Encoder files in a folder that may be a sweep's, a run's or its `checkpoints`."""
    patterns = ("*.safetensors", "checkpoints/*.safetensors", "*/checkpoints/last.safetensors")
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def run_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run; empty where there is none.

    Raises:
        RunFolderError: If it is there and cannot be read.
    """
    file = folder / CONFIG_FILE
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise RunFolderError(f"{file}: cannot be read ({reason}); give the path of a .ckpt or .safetensors") from error
    return config if isinstance(config, dict) else {}


def trained_on(file: Path, config: dict[str, Any] | None = None) -> tuple[str, ...]:
    """Paths of the stores that an encoder file's run names in its config, and the runs that it went on from.

    A relative path is looked for from the folders above the run, as the run was started in one of them; it stays as it
    is where it is not found. An earlier run that is gone, or whose config is, ends the chain.

    Args:
        file: Of the encoder; its run is the folder around `checkpoints`.
        config: Of the run; None takes the `config.yaml` there, if there is one.
    """
    found: list[str] = []
    earlier: Path | None = file
    for _ in range(LONGEST_CHAIN):
        if earlier is None:
            break
        run = earlier if earlier.is_dir() else earlier.parent.parent
        is_run = earlier.is_dir() or earlier.parent.name == "checkpoints"
        config = config or (_config_if_any(run) if is_run else {})
        named = _entry(config, "dataset", "store")
        stores = named if isinstance(named, list) else [named]
        found += [str(_located(store, run)) for store in stores if isinstance(store, str)]
        path = _entry(config, "encoder", "path")
        earlier, config = _located(path, run) if isinstance(path, str) else None, None
    return tuple(dict.fromkeys(found))


def _config_if_any(run: Path) -> dict[str, Any]:
    try:
        return run_config(run)
    except RunFolderError:
        return {}


def _located(path: str, run: Path) -> Path:
    given = Path(path)
    if not given.is_absolute():
        for folder in run.resolve().parents:
            if (folder / given).exists():
                return folder / given
    return given


def _entry(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config
