"""`resume=...` on a command line -> the folder of the run to go on with."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiles_ecg.config import ConfigError

CONFIG_FILE = "config.yaml"
COMMAND_FILE = "command.json"
PROTOCOL_FILE = "protocol.json"
CHECKPOINT = Path("checkpoints/last.ckpt")


@dataclass(frozen=True)
class Resumption:
    """A command line made definite.

    Attributes:
        argv: The arguments, with `hydra.run.dir` where a run goes on.
        note: A sentence for the user, or empty.
    """

    argv: list[str]
    note: str = ""


def resolve_resume(
    argv: Sequence[str], is_multirun: bool, outputs: Path = Path("outputs"), program: str = "tiles-train"
) -> Resumption:
    """Find the run or the sweep that `resume=true` or `resume=PATH` means.

    `true` is the run below `outputs` with the latest checkpoint among those that were started by the same overrides,
    in any order, apart from `resume` and Hydra's own; its folder becomes `hydra.run.dir`. With a path, that run's own
    overrides hold wherever the command gives no other.

    Args:
        argv: Arguments after the program's name: flags and overrides.
        is_multirun: Whether they ask for a sweep. The folder of one does so by itself.
        outputs: Where run folders are looked for.
        program: Whose sweeps may be meant.

    Raises:
        ConfigError: If the path is empty, or no folder of a run, or of a sweep.
    """
    from tiles_ecg.console_resume_sweep import resolve_sweep
    from tiles_ecg.sweep.plan import is_sweep

    given = _by_key(argv)
    wanted = _value(given.get("resume", "resume=false"))
    if not wanted:  # most likely of a shell's variable that is not set: a new run is not what was meant
        raise ConfigError("resume: names no folder; give the folder of a run or of a sweep, or true for the latest")
    if not wants_to_resume(argv):
        return Resumption(list(argv))
    is_any = is_on(wanted)
    if is_multirun or (not is_any and is_sweep(Path(wanted))):
        return resolve_sweep(argv, None if is_any else Path(wanted), outputs, program)
    if program != "tiles-train":
        raise ConfigError(f"resume = {wanted}: of {program} only a sweep is gone on with; repeat the command instead")
    if not is_any:
        return _resume_path(argv, given, Path(wanted))
    if "hydra.run.dir" in given:
        return Resumption(list(argv))
    found = latest_run(own_overrides(argv), outputs)
    if found is None:
        return Resumption(
            list(argv), f"resume: no run of this command below {outputs}/ has a checkpoint; starting anew"
        )
    return Resumption([*argv, _run_dir(found)], f"resume: going on in {found}")


def wants_to_resume(argv: Sequence[str]) -> bool:
    """Whether the arguments ask to go on with something."""
    return _value(_by_key(argv).get("resume", "")).lower() not in {"", "false", "null", "no", "off"}


def is_on(value: str) -> bool:
    """Whether a value of `resume` is a plain yes."""
    return value.strip("'\"").lower() in {"true", "yes", "on"}


def _resume_path(argv: Sequence[str], given: dict[str, str], folder: Path) -> Resumption:
    lacking = [str(name) for name in (CONFIG_FILE, CHECKPOINT) if not (folder / name).is_file()]
    if lacking:
        what = "has no " + " and no ".join(lacking) if folder.is_dir() else "there is no such folder"
        raise ConfigError(f"resume = {folder}: {what}; give the folder of a run below outputs/, or true for the latest")
    other = _value(given.get("hydra.run.dir", ""))
    if other and os.path.abspath(other) != os.path.abspath(folder):
        raise ConfigError(f"resume = {folder}: hydra.run.dir={other} is another folder; give only one of them")
    earlier = [text for text in read_command(folder) if _key(text) not in given]
    added = ["hydra.mode=RUN"] if any(_key(text) == "experiment" for text in earlier) else []  # it may be of a sweep
    added += [] if other else [_run_dir(folder)]
    return Resumption([*argv, *_not_own(earlier), *added], f"resume: going on in {folder}")


def latest_run(overrides: Sequence[str], outputs: Path) -> Path | None:
    """The run folder below `outputs` with these overrides whose checkpoint is the latest, or None."""
    wanted = _by_key(overrides)
    runs = [folder for folder in _run_folders(outputs) if _by_key(own_overrides(read_command(folder))) == wanted]
    return max(runs, key=lambda folder: (folder / CHECKPOINT).stat().st_mtime, default=None)


def own_overrides(argv: Sequence[str]) -> list[str]:
    """Overrides that say what a run is: without flags, `resume` and Hydra's own."""
    return _not_own([text for text in argv if "=" in text or text.startswith("~")])


def read_command(folder: Path) -> list[str]:
    """The overrides that a run was started with; empty where they were not kept."""
    try:
        found = json.loads((folder / COMMAND_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _run_folders(outputs: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(outputs):
        if COMMAND_FILE in files:
            folders.clear()  # a run holds no other runs
            if CONFIG_FILE in files and (Path(place) / CHECKPOINT).is_file():
                yield Path(place)


def _not_own(overrides: Sequence[str]) -> list[str]:
    return [text for text in overrides if not re.match(r"[+~]*(resume\b|hydra[./])", text) and not text.startswith("-")]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _by_key(overrides: Sequence[str]) -> dict[str, str]:
    """The last override of each key."""
    return {_key(text): text for text in overrides}


def _value(override: str) -> str:
    return override.partition("=")[2].strip("'\"")


def _run_dir(folder: Path) -> str:
    return f"hydra.run.dir={quoted(folder)}"


def quoted(value: str | Path) -> str:
    """A text as a value on a command line, quoted where Hydra's grammar needs it."""
    text = str(value)
    if re.fullmatch(r"[\w./+@-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
