"""`resume=...` of a sweep -> its folder, and the overrides that it was begun with."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import Resumption, quoted
from tiles_ecg.sweep.plan import SWEEP_FILE, SweepError, SweepPlan, is_sweep, key_of, read_plan

NOT_OF_THE_PLAN = ("resume", "hydra.run.dir", "hydra.sweep.dir", "hydra.mode")
"""Overrides of a command that say nothing of what its sweep is."""
LAUNCHER = ("hydra/launcher", "hydra.launcher")


def resolve_sweep(argv: Sequence[str], folder: Path | None, outputs: Path, program: str) -> Resumption:
    """A command line made definite.

    Args:
        argv: Arguments after the program's name.
        folder: Of the sweep; None stands for `resume=true`.
        outputs: Where sweeps are looked for.
        program: Whose.

    Raises:
        ConfigError: If the folder is not that of a sweep.
        SweepError: If its plan is damaged.
    """
    given = {key_of(text): text for text in argv if "=" in text or text.startswith("~")}
    if folder is not None:
        return _in_folder(argv, given, folder, program)
    if "hydra.sweep.dir" in given:
        return Resumption(list(argv))
    found = latest_sweep(list(given.values()), outputs, program)
    if found is None:
        return Resumption(list(argv), f"resume: no sweep of this command below {outputs}/; starting anew")
    return Resumption([*argv, _sweep_dir(found)], f"resume: going on in {found}")


def latest_sweep(overrides: Sequence[str], outputs: Path, program: str) -> Path | None:
    """The folder of the sweep below `outputs` with these overrides, in any order, that was begun last, or None."""
    wanted = identity(overrides)
    found = [
        (plan.created, (folder / SWEEP_FILE).stat().st_mtime, folder)
        for folder, plan in _sweeps(outputs)
        if plan.program == program and identity(plan.overrides) == wanted
    ]
    return max(found)[-1] if found else None


def identity(overrides: Sequence[str]) -> dict[str, str]:
    """What makes a sweep the one it is, in any order: without `resume`, folders and the launcher."""
    by_key = {key_of(text): text for text in overrides if key_of(text) not in NOT_OF_THE_PLAN}
    is_hydras = re.compile(r"hydra[./](?!sweeper)")
    return {key: text for key, text in by_key.items() if not is_hydras.match(key)}


def _in_folder(argv: Sequence[str], given: dict[str, str], folder: Path, program: str) -> Resumption:
    if not is_sweep(folder):
        what = f"has no {SWEEP_FILE}" if folder.is_dir() else "there is no such folder"
        hint = "; a single run is gone on with without -m" if (folder / "config.yaml").is_file() else ""
        raise ConfigError(f"resume = {folder}: {what}; give the folder of a sweep, or true for the latest{hint}")
    other = given.get("hydra.sweep.dir", "").partition("=")[2].strip("'\"")
    if other and os.path.abspath(other) != os.path.abspath(folder):
        raise ConfigError(f"resume = {folder}: hydra.sweep.dir={other} is another folder; give only one of them")
    plan = read_plan(folder)
    if plan.program != program:
        raise ConfigError(f"resume = {folder}: is a sweep of {plan.program}; go on with it by that command")
    is_relaunched = "hydra/launcher" in given
    earlier = [
        text
        for text in plan.overrides
        if key_of(text) not in given and not (is_relaunched and key_of(text).startswith(LAUNCHER))
    ]
    flags = [] if {"-m", "--multirun"} & set(argv) else ["-m"]
    own = ["resume=true" if key_of(text) == "resume" else text for text in argv]
    added = [] if other else [_sweep_dir(folder)]
    return Resumption([*flags, *own, *earlier, *added], f"resume: going on in {folder}")


def _sweeps(outputs: Path) -> Iterator[tuple[Path, SweepPlan]]:
    for place, folders, files in os.walk(outputs):
        if SWEEP_FILE in files:
            folders.clear()  # a sweep holds no other sweeps
            try:
                yield Path(place), read_plan(Path(place))
            except SweepError:  # a damaged one is nobody's
                continue


def _sweep_dir(folder: Path) -> str:
    return f"hydra.sweep.dir={quoted(folder)}"
