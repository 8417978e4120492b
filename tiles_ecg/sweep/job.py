"""One job of a sweep, in whichever process runs it: its failure is its own, and it leaves the process as it was."""

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from tiles_ecg.config import validate
from tiles_ecg.console_failure import cause_of, is_mistake, message
from tiles_ecg.distributed.environment import is_first_process
from tiles_ecg.run_record import OVER, RunRecord, mark_failed, read_status

SIGNALS = (signal.SIGINT, signal.SIGTERM, *(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2")
                                            if hasattr(signal, name)))  # fmt: skip
_watching: list[int] = []


class JobFailedError(CompactHydraException):
    """A job of a sweep failed. It crosses the border between processes with its text alone."""


def run_job(task: Callable[[DictConfig], Any], cfg: DictConfig, program: str, choices: Mapping[str, str]) -> Any:
    """Run a task on a checked config, and see to it that the job's folder says what became of it.

    Args:
        task: Takes the validated config.
        cfg: Of the job.
        program: `tiles-train` or another.
        choices: Config groups of the job and what was chosen.

    Raises:
        JobFailedError: If the task fails.
    """
    _end_with_parent()
    folder = Path(HydraConfig.get().runtime.output_dir)
    name = folder.name
    print(f"job {name}: begins", file=sys.stderr)
    try:
        with _as_it_was():
            validate(cfg)
            result = task(cfg)
    except Exception as error:
        if is_first_process() and read_status(folder).state not in (*OVER, "running"):
            mark_failed(folder, error, is_mistake(error), program, choices)
        print(f"job {name}: failed: {type(cause_of(error)).__name__}: {cause_of(error)}", file=sys.stderr)
        shown = message(error) if is_mistake(error) else "".join(traceback.format_exception(error))
        if not is_mistake(error):
            print(shown, end="", file=sys.stderr)
        raise JobFailedError(shown) from None
    if is_first_process() and read_status(folder).state == "planned":  # a task that keeps no record of its own
        with RunRecord(folder, program, choices):
            pass
    print(f"job {name}: {read_status(folder).state}", file=sys.stderr)
    return result


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Put environment and signal handlers back: the next job of the process begins like the first."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        for number, handler in handlers.items():
            with contextlib.suppress(ValueError, TypeError):  # not in the main thread; not made in Python
                signal.signal(number, handler)


def _end_with_parent() -> None:
    """In a worker process of joblib, end soon after the parent; a terminal's Ctrl-C is left to that."""
    if _watching or not multiprocessing.current_process().name.startswith("LokyProcess"):
        return
    from tiles_ecg.source_part import end_with

    _watching.append(os.getppid())
    end_with(os.getppid())
