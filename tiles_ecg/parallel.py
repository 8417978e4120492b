"""Jobs in parallel: their outcomes as they come, on the backend that joblib is told to use."""

import contextlib
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from joblib import Parallel, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import LokyBackend, get_active_backend

from tiles_ecg.source_part import Outcome, end_with
from tiles_ecg.store import StoreError


@contextlib.contextmanager
def outcomes_of(jobs: Iterable[Any], n_jobs: int | None) -> Iterator[Iterator[Outcome]]:
    """Run jobs; when the block ends early, so do the worker processes.

    A backend that cannot hand over one outcome at a time (`multiprocessing`, on which Ray's is built) gives them all at
    the end.

    Args:
        jobs: Calls made by `joblib.delayed`.
        n_jobs: Processes; None takes one a core, or what `joblib.parallel_config` says.

    Raises:
        StoreError: If a worker process was killed.
    """
    settings = contextlib.nullcontext() if n_jobs is None else parallel_config(n_jobs=n_jobs)
    with settings:
        backend, chosen = get_active_backend()
        is_chosen = chosen not in (None, 1)  # the caller set a backend or a number of jobs
        default = -1 if n_jobs is None and not is_chosen else None
        if not backend.supports_return_generator:
            yield iter(Parallel(n_jobs=default)(jobs))
            return
        # unlike a worker of Dask, one of loky is our child, and would wait for five minutes if we were killed
        workers = {"initializer": end_with, "initargs": (os.getpid(),)} if isinstance(backend, LokyBackend) else {}
        with _interrupt_held():  # what is blocked stays blocked in the processes that begin here
            outcomes = Parallel(n_jobs=default, return_as="generator_unordered", **workers)(jobs)
        try:
            yield outcomes
        except TerminatedWorkerError as error:
            raise StoreError(
                "a worker process was killed, most likely for want of memory; give fewer processes, such as n_jobs=1, "
                "and run the same command again: what was prepared so far is kept"
            ) from error
        finally:
            with warnings.catch_warnings():  # joblib's: that what was not waited for is cancelled
                warnings.filterwarnings("ignore", "[0-9]+ tasks which were still being processed")
                outcomes.close()


@contextlib.contextmanager
def _interrupt_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, where the system can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
