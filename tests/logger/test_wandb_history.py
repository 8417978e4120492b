"""The last step that the offline files of a W&B run hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from tiles_ecg.logger.wandb_history import last_step

PROGRAM = """
import os, sys, wandb
folder = sys.argv[1]
os.environ |= {"WANDB_CACHE_DIR": folder, "WANDB_DATA_DIR": folder}
run = wandb.init(dir=folder, id="abc", project="p", mode="offline", settings=wandb.Settings(silent=True))
for step in range(2000):
    run.log({"loss": 1.0, "text": "x" * 200}, step=step)
os.kill(os.getpid(), 9)
"""


def test_a_run_without_files_has_no_step(tmp_path: Path) -> None:
    assert last_step(tmp_path, "abc", tmp_path) == -1


@pytest.mark.slow
def test_the_files_of_a_killed_run_and_damaged_ones_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=False)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-abc.wandb")
    whole = file.read_bytes()
    reached = last_step(tmp_path, "abc", tmp_path)
    assert 0 < reached < 2000
    file.write_bytes(whole[: len(whole) // 2])
    half = last_step(tmp_path, "abc", tmp_path)
    assert 0.4 * reached < half < 0.6 * reached
    file.write_bytes(whole[: len(whole) // 4] + bytes(1000) + whole[len(whole) // 4 + 1000 :])
    assert 0 < last_step(tmp_path, "abc", tmp_path) <= reached
    assert last_step(tmp_path, "other", tmp_path) == -1
    assert last_step(tmp_path, "abc", file.parent) == -1
    file.write_bytes(b"no such file")
    assert last_step(tmp_path, "abc", tmp_path) == -1
