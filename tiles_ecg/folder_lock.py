"""Lock: one process at a time at work in a folder. It ends with the process, however that ends."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from tiles_ecg.config import ConfigError

LOCK_FILE = ".lock"


def this_process() -> dict[str, str]:
    """Where it runs: host, pid, Slurm job."""
    slurm = {key.lower(): os.environ[key] for key in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT") if key in os.environ}
    return {"host": socket.gethostname(), "pid": str(os.getpid()), **slurm}


@contextlib.contextmanager
def alone_in(folder: Path, key: str) -> Iterator[None]:
    """Hold the lock of a folder while the block lasts; a folder in which nothing was written is not left behind.

    Args:
        folder: It is made where it is not there.
        key: Of the config, that names it.

    Raises:
        ConfigError: If another process is at work in it.
    """
    lock = lock_folder(folder, key)
    try:
        yield
    finally:
        if os.listdir(folder) == [LOCK_FILE]:
            (folder / LOCK_FILE).unlink()
            folder.rmdir()
        if lock is not None:
            lock.close()


def lock_folder(folder: Path, key: str) -> IO[str] | None:
    """The lock, held until it is closed or the process ends; None where the system or file system has no locks.

    Args:
        folder: It is made where it is not there.
        key: Of the config, that names it.

    Raises:
        ConfigError: If another process is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        return None
    handle = (folder / LOCK_FILE).open("a+")
    for is_last in (*[False] * 20, True):  # someone may be looking at it, for an instant
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not is_last:
                time.sleep(0.05)
        except OSError:
            handle.close()
            return None
        else:
            _sign(handle)
            return handle
    with handle:
        handle.seek(0)
        where = handle.read()
    raise ConfigError(
        f"{key} = {folder}: another process is at work in it ({where}); wait for it, or give another folder"
    )


def is_locked(folder: Path, process: Mapping[str, str]) -> bool:
    """Whether some process holds the lock; where there are no locks, whether the one that says so may be there.

    Args:
        folder: Need not exist.
        process: What `this_process` told the one that says that it is at work.
    """
    try:
        import fcntl

        with (folder / LOCK_FILE).open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return _may_be_there(process)
    return False


def _sign(handle: IO[str]) -> None:
    """Say in the file who holds it."""
    with contextlib.suppress(OSError):  # a full disk does not unlock it
        os.ftruncate(handle.fileno(), 0)
        os.write(handle.fileno(), " ".join(f"{key} {value}" for key, value in this_process().items()).encode())


def _may_be_there(process: Mapping[str, str]) -> bool:
    """Whether a process of this host is there; one of another host is taken at its word."""
    if process.get("host") != socket.gethostname() or os.name == "nt":  # where a signal 0 would end it
        return True
    try:
        os.kill(int(process.get("pid", "0")), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
