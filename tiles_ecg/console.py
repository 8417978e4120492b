"""Console entry: flags and overrides -> a validated config -> the task. Mistakes end with a message and status 2.

Exit statuses: 0 done; 1 the task failed, with a traceback; 2 a mistake of the user, without one; 130 interrupted;
143 asked to end by a signal. Of a sweep: 0 if all jobs are over, 2 if all others failed by mistakes, else 1.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tiles_ecg.config import config_directory, register_resolvers, validate
from tiles_ecg.console_failure import end_with_failure
from tiles_ecg.console_flags import DRY_RUN, flags_first, program, read_flags
from tiles_ecg.console_overrides import VERSION_BASE, check_command, is_sweep_by_config
from tiles_ecg.console_resume import own_overrides, resolve_resume, wants_to_resume
from tiles_ecg.distributed.environment import refuse_sweep_from_outside

INTERRUPTED = 130

register_resolvers()  # on import: a launcher's worker process imports this file before it composes its job


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
        SystemExit: With status 2 after a mistake, 130 after an interruption, that of a sweep whose jobs are not all
            over, and what Hydra's own flags end with.
    """
    failure: Exception | None = None
    try:
        arguments = _checked(list(sys.argv[1:] if argv is None else argv), config_name)
        if arguments is None:
            return
        sys.argv[1:] = arguments
        entry = hydra.main(config_path=str(config_directory()), config_name=config_name, version_base=VERSION_BASE)
        entry(_job(task, config_name))()
    except _Escape as escape:
        failure = escape.error
    except Exception as error:
        failure = error
    except KeyboardInterrupt:
        print(f"{program()}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if failure is not None:  # out of the except clauses: its traceback is its own
        end_with_failure(failure)


def overrides() -> list[str]:
    """Overrides that the running job was started with, apart from `resume` and Hydra's own; for `command.json`."""
    return own_overrides(list(HydraConfig.get().overrides.task))


def choices() -> dict[str, str]:
    """Config groups of the running job and what was chosen in each, apart from Hydra's own."""
    if not HydraConfig.initialized():
        return {}
    chosen = HydraConfig.get().runtime.choices
    return {str(group): str(option) for group, option in chosen.items() if not str(group).startswith("hydra/")}


def _checked(argv: list[str], config_name: str) -> list[str] | None:
    """The arguments to hand to Hydra, after everything that can be checked was; None where nothing is to be run."""
    flags = read_flags(argv)
    if flags.shell_completion or flags.hydra_help or flags.experimental_rerun:
        return argv
    is_run = not (flags.help or flags.cfg or flags.info)
    is_dry = flags.dry_run
    argv = flags_first([word for word in argv if word != DRY_RUN])
    if is_run:
        is_sweep = flags.multirun or (wants_to_resume(argv) and is_sweep_by_config(config_name, flags.overrides))
        resumption = resolve_resume(argv, is_sweep, program=f"tiles-{config_name}")
        argv = resumption.argv
        if resumption.note:
            print(resumption.note, file=sys.stderr)
        flags = read_flags(argv)
    has_other_files = flags.config_dir or flags.config_path  # those are checked when the job starts
    if (is_run or flags.overrides) and not has_other_files:
        checked = check_command(flags.config_name or config_name, flags.overrides, flags.multirun, is_run)
        if is_run and checked.folder is not None:
            refuse_sweep_from_outside()
        if is_dry:
            from tiles_ecg.sweep.dry_run import tell

            tell(checked)
            return None
    return argv


def _job(task: Callable[[DictConfig], Any], config_name: str) -> Callable[[DictConfig], Any]:
    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            from tiles_ecg.sweep.job import run_job

            return run_job(task, cfg, f"tiles-{config_name}", choices())
        try:
            validate(cfg)
            return task(cfg)
        except Exception as error:
            raise _Escape(error) from None

    return job
