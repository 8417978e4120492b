"""A sweep that is asked to end: its worker processes are asked too, and are waited for while they save."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from tiles_ecg.run_record import RunPreempted, RunStatus, read_status

PREEMPTED = 143
GRACE_S = 60.0
"""So long may a job take to save a checkpoint. A second signal does not wait."""


@contextlib.contextmanager
def asked_to_end(folders: Sequence[Path], grace_s: float = GRACE_S) -> Iterator[None]:
    """Within the block, SIGTERM and Ctrl-C reach the jobs that processes of ours run, which then save a checkpoint.

    Jobs in this very process are told by their own handlers; those that other machines run go on.

    Args:
        folders: Run folders of the jobs.
        grace_s: How long to wait for them, s.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked
        if not is_asked:
            is_asked = True
            _pass_on(folders, grace_s)
        raise KeyboardInterrupt if number == signal.SIGINT else RunPreempted(PREEMPTED)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(folders: Sequence[Path], grace_s: float) -> None:
    """Ask the processes of running jobs to end, and wait until they have."""
    asked = [folder for folder in folders if _ask(read_status(folder))]
    until = time.monotonic() + grace_s
    while time.monotonic() < until and any(read_status(folder).state == "running" for folder in asked):
        time.sleep(0.2)


def _ask(status: RunStatus) -> bool:
    """Send SIGTERM to the process of a job, if it is one of ours: on this host, of this group, not this one."""
    pid = int(status.job.get("pid", "0"))
    if status.state != "running" or status.job.get("host") != socket.gethostname() or pid in (0, os.getpid()):
        return False
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == os.getpgrp():
            os.kill(pid, signal.SIGTERM)
            return True
    return False
