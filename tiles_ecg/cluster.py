"""Preparation on the machines of a Dask cluster: the cluster is reached, its workers checked, and given back."""

import contextlib
import importlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from joblib import parallel_config
from joblib.parallel import get_active_backend

from tiles_ecg.assembly import package_version
from tiles_ecg.config import ConfigError
from tiles_ecg.store import StoreError

REACH_S = 10.0
"""So long is a scheduler, and then a first worker, waited for."""
WATCH_S = 5.0
KEPT = "what was prepared so far is kept"
HOW = (
    "`dask scheduler` starts one, and `dask worker tcp://HOST:8786 --nworkers 8 --nthreads 1` the workers of a machine"
)


@contextlib.contextmanager
def working_on(scheduler: str | None, n_jobs: int | None = None) -> Iterator[None]:
    """Within the block, joblib works on the cluster of Dask with this scheduler.

    Args:
        scheduler: Its address, such as `tcp://host:8786`; None: this machine, as joblib does by itself.
        n_jobs: Processes that were asked for.

    Raises:
        ConfigError: If the cluster cannot be reached, or the number of processes is not for it to choose.
        StoreError: If the cluster is lost meanwhile.
    """
    if scheduler is None:
        yield
        return
    if n_jobs is not None:
        raise ConfigError(f"n_jobs = {n_jobs}: with dask={scheduler}, its workers decide; leave n_jobs out")
    if not re.fullmatch(r"(\w+://)?\S+:\d+", scheduler):
        raise ConfigError(f"dask = {scheduler}: not an address; write tcp://HOST:8786; {HOW}")
    with _client(scheduler) as client, parallel_config(backend=_backend(client)), _watched(client, scheduler):
        yield


def settle_workers(plan: Path) -> None:
    """Have each worker of Dask, and those that join later, work in this folder; see that it is the same there.

    Relative paths then mean the same everywhere. On other backends nothing is done.

    Args:
        plan: A file beside the parts to be, which each worker has to find and read as it is read here.

    Raises:
        ConfigError: If a worker lacks this package or its version, or does not see the folder.
    """
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    if client is None:
        return

    class SameFolder(_distributed().WorkerPlugin):  # type: ignore[misc]
        name = "tiles_ecg-same-folder"

        def setup(self, worker: Any) -> None:
            settle(*given)

    given = (os.getcwd(), str(plan.resolve()), plan.read_text(), package_version())
    try:
        client.register_plugin(SameFolder())
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"dask = {client.scheduler.address}: a worker has no module {error.name}; install tiles_ecg there as here"
        ) from error
    except RuntimeError as error:
        raise ConfigError(f"dask = {client.scheduler.address}: {error}") from error


def settle(folder: str, plan: str, text: str, version: str) -> None:
    """Go into a folder, in a worker's process.

    Raises:
        RuntimeError: If the worker cannot do the same as the command would.
    """
    worker = f"the worker at {socket.gethostname()} (pid {os.getpid()})"
    if package_version() != version:
        raise RuntimeError(f"{worker} has tiles_ecg {package_version()}, this command {version}; install the same")
    with contextlib.suppress(OSError):
        if Path(plan).read_text() == text:
            os.chdir(folder)
            return
    raise RuntimeError(
        f"{worker} does not see {Path(plan).parent}, or cannot go into {folder}; workers need the folders of the raw "
        "files, of the store and of the command under the same names"
    )


@contextlib.contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        distributed = _distributed()
    except ImportError:
        raise ConfigError(f"dask = {scheduler}: Dask is not installed; pip install 'tiles_ecg[dask]'") from None
    try:
        client = distributed.Client(scheduler, timeout=REACH_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"dask = {scheduler}: no scheduler of Dask answers there ({reason}); {HOW}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=REACH_S)
        except TimeoutError:
            raise ConfigError(
                f"dask = {scheduler}: has no workers; start some: dask worker {scheduler} --nworkers 8 --nthreads 1"
            ) from None
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is gone
                client.unregister_worker_plugin("tiles_ecg-same-folder")


def _backend(client: Any) -> Any:
    """joblib's backend for Dask, without two surprises of joblib 1.6.

    It calls nobody back for a task that Dask gives up, and waits for it for ever; and where the cluster has a single
    thread at that moment, it works in this process instead.
    """
    from joblib._dask import DaskDistributedBackend

    class ToldOf(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done.exception()) if done.exception() else None)
            return future

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(super().effective_n_jobs(n_jobs)))

        def retrieve_result_callback(self, out: Any) -> Any:
            with cluster_explained():
                return super().retrieve_result_callback(out)

    return ToldOf(client=client, wait_for_workers_timeout=REACH_S)


@contextlib.contextmanager
def cluster_explained() -> Iterator[None]:
    """Turn what Dask says of a source that it gave up, or of a lost scheduler, into a `StoreError`."""
    distributed = _distributed()
    try:
        yield
    except distributed.KilledWorker as error:
        raise StoreError(
            f"{error.allowed_failures + 1} workers of Dask died at the same source, most likely for want of memory; "
            f"start fewer workers a machine and run the same command again: {KEPT}"
        ) from error
    except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
        raise StoreError(
            f"the cluster of Dask was lost ({' '.join(str(error).split())}); start it and run the same command again: "
            f"{KEPT}"
        ) from error


@contextlib.contextmanager
def _watched(client: Any, scheduler: str) -> Iterator[None]:
    """Tell when no worker is left: Dask waits for one, without a word."""
    is_over = threading.Event()

    def watch() -> None:
        had_some = True
        while not is_over.wait(WATCH_S):
            with contextlib.suppress(Exception):
                has_some = bool(client.scheduler_info()["workers"])
                if had_some and not has_some:
                    print(f"no worker is left at {scheduler}; waiting for one to join", file=sys.stderr)
                had_some = has_some

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _distributed() -> Any:
    """The module, on its first use: the other commands, and preparation on one machine, need not have it."""
    return importlib.import_module("distributed")
