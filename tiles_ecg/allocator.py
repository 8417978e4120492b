"""Memory that a step frees is kept for the next one, where the C library lets us ask for it."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST_BLOCK = 32 << 20
"""Bytes; the most that glibc accepts, and twice the largest activation of the reference recipe."""


def keep_freed_memory() -> bool:
    """Ask glibc not to give the large blocks that it frees back to the system.

    By default it does, and the system hands out and clears new pages for every activation of every step: a sixth of
    a training step's CPU time (`benchmarks/README.md`). The peak of memory stays what it was.

    Returns:
        Whether the C library agreed; False on systems without glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such call
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
