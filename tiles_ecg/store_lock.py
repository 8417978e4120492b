"""Lock: one `tiles-prepare` a store at a time."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tiles_ecg.config import ConfigError
from tiles_ecg.source_part import DISK_FULL

log = logging.getLogger(__name__)


@contextlib.contextmanager
def hold_lock(store: Path) -> Iterator[None]:
    """Hold the lock of a store, a hidden file beside it; whoever comes second waits.

    It ends with the process, however that ends. Where a system or file system has no locks, two at once repeat each
    other's work, but spoil nothing.

    Raises:
        ConfigError: If no file can be made there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    path = store.with_name(f".{store.name}.lock")
    is_ours, has_told = False, False
    while not is_ours:
        handle = _open_lock(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not has_told:
                log.info("%s is being prepared by another process; waiting for it", store)
            has_told = True
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            break
        is_ours = _is_still(handle, path)  # else the process that held it has removed it since
        if not is_ours:
            handle.close()
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_lock(path: Path) -> IO[str]:
    try:
        return path.open("w")
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise ConfigError(
            [f"store: no file can be made in {path.parent} ({error.strerror}); choose another folder"]
        ) from None


def _is_still(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
