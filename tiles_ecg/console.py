"""Console entry: flags and overrides -> a validated config -> the task. Mistakes end with a message and status 2.

Exit statuses: 0 done; 1 the task failed, with a traceback; 2 a mistake of the user, without one; 130 interrupted.
"""

import functools
import os
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from tiles_ecg.config import ConfigError, config_directory, register_resolvers, validate
from tiles_ecg.console_overrides import VERSION_BASE, check_command
from tiles_ecg.console_resume import own_overrides, resolve_resume

MISTAKE = 2
INTERRUPTED = 130

register_resolvers()  # on import: a launcher's worker process imports this file before it composes its job


class JobFailedError(CompactHydraException):
    """A job of a sweep failed; Hydra prints it without the frames of its own."""


class _Escape(BaseException):
    """Carries the task's exception past Hydra, which would cut its traceback."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run(task: Callable[[DictConfig], Any], config_name: str, argv: Sequence[str] | None = None) -> None:
    """Compose and check the config that a command line asks for, then hand it to the task.

    Nothing that a `_target_` names is imported before everything is checked, for a sweep all its jobs. An exception
    whose class has `is_user_error = True` is a mistake of the user: its message is shown without a traceback, unless
    the environment has HYDRA_FULL_ERROR=1.

    Args:
        task: Takes the validated config. A function of a module, which lends its name to `hydra.job.name`.
        config_name: Root config in `conf/`.
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption, and what Hydra's own flags end with.
    """
    failures: list[Exception] = []
    failure: Exception | None = None
    try:
        sys.argv[1:] = _checked(list(sys.argv[1:] if argv is None else argv), config_name)
        entry = hydra.main(config_path=str(config_directory()), config_name=config_name, version_base=VERSION_BASE)
        entry(_job(task, failures))()
    except _Escape as escape:
        failure = escape.error
    except Exception as error:
        failure = error
    except KeyboardInterrupt:
        print(f"{_program()}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as end:  # how Hydra ends a sweep with failed jobs
        if end.code == 1 and failures and all(map(_is_mistake, failures)):
            sys.exit(MISTAKE)
        raise
    if failure is not None:  # out of the except clauses: its traceback is its own
        _fail(failure)


def overrides() -> list[str]:
    """Overrides that the running job was started with, apart from `resume` and Hydra's own; for `command.json`."""
    return own_overrides(list(HydraConfig.get().overrides.task))


def choices() -> dict[str, str]:
    """Config groups of the running job and what was chosen in each, apart from Hydra's own."""
    if not HydraConfig.initialized():
        return {}
    chosen = HydraConfig.get().runtime.choices
    return {str(group): str(option) for group, option in chosen.items() if not str(group).startswith("hydra/")}


def _checked(argv: list[str], config_name: str) -> list[str]:
    """The arguments to hand to Hydra, after everything that can be checked was."""
    flags = _flags(argv)
    if flags.shell_completion or flags.hydra_help or flags.experimental_rerun:
        return argv
    is_run = not (flags.help or flags.cfg or flags.info)
    if is_run:
        resumption = resolve_resume(argv, flags.multirun)
        argv = resumption.argv
        if resumption.note:
            print(resumption.note, file=sys.stderr)
        flags = _flags(argv)
    has_other_files = flags.config_dir or flags.config_path  # those are checked when the job starts
    if (is_run or flags.overrides) and not has_other_files:
        check_command(flags.config_name or config_name, flags.overrides, flags.multirun, is_run)
    return argv


def _flags(argv: Sequence[str]) -> Namespace:
    """Hydra's flags and the overrides; argparse itself ends the program for a flag without its value."""
    parser = get_args_parser()
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
        right = " ".join([_program(), *given, *words])
        problems.append(f"{rest[0]}: a flag stands between the overrides; put flags first: {right}")
    asked = [flag for flag in ("--multirun", "--cfg", "--info", "--shell-completion") if _is_given(flags, flag)]
    if len(asked) > 1:
        problems.append(f"{' '.join(asked)}: these exclude each other; give one of them")
    if flags.resolve and not flags.cfg:
        problems.append("--resolve: goes with --cfg only; write --cfg job --resolve")
    if problems:
        raise ConfigError(problems)
    return flags


def _is_given(flags: Namespace, flag: str) -> bool:
    return bool(getattr(flags, flag.lstrip("-").replace("-", "_")))


def _job(task: Callable[[DictConfig], Any], failures: list[Exception]) -> Callable[[DictConfig], Any]:
    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        try:
            validate(cfg)
            return task(cfg)
        except Exception as error:
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                raise _Escape(error) from None
            failures.append(error)
            name = f"job {HydraConfig.get().job.num} ({HydraConfig.get().job.override_dirname})"
            print(f"{_program()}: {name} failed: {type(_cause(error)).__name__}: {_cause(error)}", file=sys.stderr)
            shown = _message(error) if _is_mistake(error) else "".join(traceback.format_exception(error))
            raise JobFailedError(shown) from None

    return job


def _fail(error: Exception) -> NoReturn:
    """End with a message for a mistake; raise anything else as it came."""
    if not _is_mistake(error):
        raise error
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    print(f"{_program()}: {_message(error)}", file=sys.stderr)
    sys.exit(MISTAKE)


def _cause(error: BaseException) -> BaseException:
    """What a component raised, without Hydra's wrapping."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_mistake(error: BaseException) -> bool:
    """Whether an exception is the user's: by its class, or raised by a component that checks its arguments."""
    cause = _cause(error)
    return getattr(type(cause), "is_user_error", False) is True or (cause is not error and _is_argument_check(cause))


def _is_argument_check(error: BaseException) -> bool:
    """Whether a component's own `__init__`, or what that calls of ours, refused a value or a file that it names."""
    frames = traceback.extract_tb(error.__traceback__)
    started = [number for number, frame in enumerate(frames) if frame.name in {"__init__", "__post_init__"}]
    ours = Path(__file__).parent
    is_own = bool(started) and all(Path(frame.filename).is_relative_to(ours) for frame in frames[started[0] :])
    return isinstance(error, ValueError | FileNotFoundError) and is_own


def _message(error: BaseException) -> str:
    """The exception's own message, led by the key of the component that raised it."""
    key = re.search(r"full_key: (\S+)", str(error)) if isinstance(error, InstantiationException) else None
    text = str(_cause(error))
    return f"{key[1]}: {text}" if key and _is_argument_check(_cause(error)) else text


def _program() -> str:
    return os.path.basename(sys.argv[0])
