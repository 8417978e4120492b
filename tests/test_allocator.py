"""The allocator's setting: large blocks are used again instead of being faulted in anew."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from tiles_ecg.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(4 << 20, np.float32)  # 16 MiB, freed at once
before = faults()
for _ in range(20):
    np.ones(4 << 20, np.float32)
print(faults() - before)
"""


def faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc knows the setting")
def test_a_freed_block_is_used_again_without_page_faults() -> None:
    pages_of_a_block = (16 << 20) // 4096
    assert faults("keep") < pages_of_a_block  # 20 blocks


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc knows the setting")
def test_asking_says_whether_the_library_agreed() -> None:
    from tiles_ecg.allocator import keep_freed_memory

    assert keep_freed_memory() is True
