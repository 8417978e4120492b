"""Starts the other processes of a run from the first one's resolved config, so that Hydra runs once."""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from tiles_ecg.distributed.group import POLL_S, break_off, is_lost_connection, leave
from tiles_ecg.distributed.proof import ProvenAgreement
from tiles_ecg.distributed.watch import Watch
from tiles_ecg.resumption import Checkpointed
from tiles_ecg.run_record import State

FOLDER = ".processes"
"""In the run folder, while other processes are at work: what they are to do, and what they say."""
ORDERS, READY, PORT, OUTPUT = "orders.json", "ready", "port", "output"
WORKER = ("-m", "tiles_ecg.distributed.worker")
GRACE_S = 5.0
"""Between asking a process to end, and ending it."""
PATIENCE_S = 60.0
"""How long the first process waits for the others when all is done: they do the same, and log and judge nothing."""
LAST_LINES = 12
SET_BY_LAUNCH = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK", "OMP_NUM_THREADS")
"""Variables that a run sets in this process, and that would mislead the next one of a sweep."""


class ProcessError(RuntimeError):
    """Another process of the run ended before its time. The message has its last lines."""


class ConfigFileLauncher(_SubprocessScriptLauncher):
    """Lightning's launcher, whose children read a file instead of the command line.

    Lightning's own watches its children too, but answers the death of one by killing this process: nothing would be
    recorded. Here this process goes on when all have started, and fails with what the child said last.

    Args:
        replaced: The launcher that the strategy chose.
        orders: What `tiles_ecg.distributed.worker` is to do, in plain types.
        folder: Where orders and output are kept while the processes live.
        program: Arguments of Python; the file of orders follows them.
    """

    def __init__(
        self, replaced: _SubprocessScriptLauncher, orders: dict[str, Any], folder: Path, program: Sequence[str] = WORKER
    ) -> None:
        super().__init__(replaced.cluster_environment, replaced.num_processes, replaced.num_nodes)
        self.orders = orders
        self.folder = folder.absolute()
        self.program = program

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other processes, wait until each stands where this one does, then call a function.

        Raises:
            ProcessError: If another process ended.
        """
        with _environment_kept():
            try:
                self._call_children_scripts()
                self._wait_until_ready()
                _set_num_threads_if_needed(self.num_processes)
                with self._watch(trainer):
                    return function(*args, **kwargs)
            except RuntimeError as error:
                if not is_lost_connection(error):
                    raise
                lost = self._lost(GRACE_S)
                if lost is None:
                    raise
                raise lost from None

    def _call_children_scripts(self) -> None:
        self._check_can_spawn_children()
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
        self.folder.mkdir(parents=True)
        orders = self.folder / ORDERS
        orders.write_text(json.dumps(self.orders | {"parent": os.getpid()}), encoding="utf-8")
        shared = os.environ | {
            "MASTER_ADDR": self.cluster_environment.main_address,
            "NODE_RANK": str(self.cluster_environment.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }
        for rank in range(1, self.num_processes):
            command = [sys.executable, "-P", *self.program, str(orders)]
            with self._output(rank).open("w") as output:
                self.procs.append(
                    subprocess.Popen(
                        command,
                        env=shared | {"LOCAL_RANK": str(rank)},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                    )
                )

    def _wait_until_ready(self) -> None:
        """Wait until all have built their parts, then tell them the port: it was free a moment ago."""
        for rank, process in enumerate(self.procs, 1):
            while not (self.folder / f"{READY}-{rank}").exists():
                if process.poll() is not None:
                    raise self._failure(rank, process.returncode)
                lost = self._lost(0.0)
                if lost is not None:
                    raise lost
                time.sleep(POLL_S)
        _write_whole(self.folder / PORT, str(self.cluster_environment.main_port))

    def _watch(self, trainer: Any) -> contextlib.AbstractContextManager[Any]:
        """On GPUs: NCCL does not notice that a process has ended, and would wait for half an hour."""
        if trainer.strategy.root_device.type != "cuda":
            return contextlib.nullcontext()
        return Watch(lambda: self._lost(0.0) is not None, (break_off, self._give_up), GRACE_S, 1.0)

    def _give_up(self) -> None:
        print(f"tiles-train: {self._lost(0.0)}\ntiles-train: ended; go on with resume=true", file=sys.stderr)
        os._exit(1)

    def _lost(self, patience_s: float) -> ProcessError | None:
        """What ended a process that did not end well, if one does within some seconds."""
        until = time.monotonic() + patience_s
        while True:
            for rank, process in enumerate(self.procs, 1):
                if process.poll():
                    return self._failure(rank, process.returncode)
            if time.monotonic() >= until:
                return None
            time.sleep(POLL_S)

    def _failure(self, rank: int, status: int) -> ProcessError:
        lines = self._output(rank).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = f"ended with status {status}"
        if status < 0:
            how = f"was killed ({signal.Signals(-status).name})"
            if -status == signal.SIGKILL:
                how += ", perhaps for want of memory"
        said = "".join(f"\n    {line}" for line in lines[-LAST_LINES:]) or " without a word"
        return ProcessError(f"process {rank} of {self.num_processes} {how}:{said}")

    def _output(self, rank: int) -> Path:
        return self.folder / f"{OUTPUT}-{rank}"

    def end(self, patience_s: float) -> None:
        """Wait until all other processes have ended; ask those to end that do not, then end them."""
        for signum, wait_s in ((None, patience_s), (signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
            for process in self.procs:
                if signum is not None and process.poll() is None:
                    process.send_signal(signum)
            until = time.monotonic() + wait_s
            for process in self.procs:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
            if all(process.poll() is not None for process in self.procs):
                break
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Put back what a run changes in this process, for the next one of a sweep."""
    before = {name: os.environ.get(name) for name in SET_BY_LAUNCH}
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        torch.set_num_threads(n_threads)


def _write_whole(path: Path, text: str) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(text)
    os.replace(scratch, path)


def join(orders: Path) -> None:
    """Say, in a process that the launcher started, that it is ready, and wait to be told where to meet."""
    (orders.parent / f"{READY}-{os.environ['LOCAL_RANK']}").touch()
    port = orders.parent / PORT
    while not port.exists():  # this process ends with its parent
        time.sleep(POLL_S)
    os.environ["MASTER_PORT"] = port.read_text()


def start_processes_by_config(
    trainer: Any, config: dict[str, Any], datamodule: Any, resumed: Checkpointed | None
) -> None:
    """Have a trainer that would start processes by this command line start them by its config.

    Whoever starts them, they are to prove that they agree.
    """
    if trainer.world_size == 1:
        return
    stores = datamodule.windows.stores
    trainer.callbacks.append(ProvenAgreement(config, [s.digest for s in stores], resumed.step if resumed else 0))
    replaced = trainer.strategy.launcher
    if replaced is None or replaced.cluster_environment.creates_processes_externally:
        return
    config = config | {"dataset": config["dataset"] | {"store": [str(store.path) for store in stores]}}
    orders = {"config": config, "checkpoint": [str(resumed.path), resumed.step] if resumed else None}
    trainer.strategy._launcher = ConfigFileLauncher(replaced, orders, Path(config["run_dir"]) / FOLDER)


def end_processes(trainer: Any, state: State) -> None:
    """Leave the other processes' group, so that the next job begins its own, and see that they have ended.

    Args:
        trainer: Whose processes they are.
        state: How the run ended here.
    """
    launcher = trainer.strategy.launcher
    is_ours = isinstance(launcher, ConfigFileLauncher)
    is_orderly = state in ("finished", "pruned", "preempted")
    patience_s = math.inf if state == "finished" and not trainer.is_global_zero else PATIENCE_S
    try:
        leave(is_orderly, patience_s, lambda: is_ours and any(p.poll() is not None for p in launcher.procs))
    finally:
        if is_ours:
            launcher.end(GRACE_S)
