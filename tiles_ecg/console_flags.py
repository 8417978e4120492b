"""Flags of a command line: Hydra's, and `--dry-run`; what is misplaced is explained."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from shlex import join

from hydra._internal.utils import get_args_parser

from tiles_ecg.config import ConfigError

DRY_RUN = "--dry-run"
EXCLUSIVE = ("--multirun", "--cfg", "--info", "--shell-completion")


def read_flags(argv: Sequence[str]) -> Namespace:
    """Flags and overrides; argparse itself ends the program for a flag without its value.

    Raises:
        ConfigError: If there is no such flag, or flags do not go together.
    """
    parser = get_args_parser()
    parser.add_argument(DRY_RUN, action="store_true")
    flags, rest = parser.parse_known_args(argv)
    known = [option for action in parser._actions for option in action.option_strings]
    problems = []
    for word in rest:
        key = word.lstrip("-")
        if word.startswith("-") and "=" in word:
            problems.append(f"{word}: overrides have no dashes; write {key}")
        elif word.startswith("-"):
            near = get_close_matches(word, known, n=1)
            problems.append(f"{word}: no such flag{f'; did you mean {near[0]}?' if near else '; see --help'}")
    if rest and not problems:
        given = [word for word in argv if word.startswith("-")]
        words = [word for word in argv if not word.startswith("-")]
        right = join([program(), *given, *words])
        problems.append(f"{rest[0]}: a flag stands between the overrides; put flags first: {right}")
    asked = [flag for flag in EXCLUSIVE if _is_given(flags, flag)]
    if len(asked) > 1:
        problems.append(f"{' '.join(asked)}: these exclude each other; give one of them")
    if flags.dry_run and [flag for flag in asked if flag != "--multirun"]:
        problems.append(f"{DRY_RUN} {asked[0]}: these exclude each other; give one of them")
    if flags.resolve and not flags.cfg:
        problems.append("--resolve: goes with --cfg only; write --cfg job --resolve")
    if problems:
        raise ConfigError(problems)
    return flags


def flags_first(argv: Sequence[str]) -> list[str]:
    """The arguments, with `-m` before the overrides, so that more of those can follow."""
    first = [word for word in argv if word in ("-m", "--multirun")]
    return [*first, *(word for word in argv if word not in first)]


def _is_given(flags: Namespace, flag: str) -> bool:
    return bool(getattr(flags, flag.lstrip("-").replace("-", "_")))


def program() -> str:
    """The name that this program was started by."""
    return os.path.basename(sys.argv[0])
