"""Sweeps on a real Slurm: jobs that finish, are cancelled, requeued, told that their time is up, or have two tasks."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.run_record import read_status

TINY = (
    "dataset.batch_size=16",
    "dataset.val_share=0.34",
    "encoder.widths=[8,16]",
    "encoder.strides=[2,4]",
    "encoder.embedding_dim=32",
    "trainer.accelerator=cpu",
    "trainer.val_check_interval=50",
    "trainer.log_every_n_steps=10",
    "callback.checkpoint.every_n_train_steps=20",
    "callback.online_probe.n_windows=40",
    "logger=csv",
)
LAUNCHER = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1")
STEPS = 150
"""Some seconds, so that there is time to meddle with a job."""


@contextmanager
def sweeping(slurm: Any, folder: Path, store: Path, *overrides: str) -> Iterator["subprocess.Popen[str]"]:
    """A sweep by the command, which is ended with the block if it has not ended before."""
    program = "from tiles_ecg.train import main; main()"
    words = [*TINY, *LAUNCHER, f"dataset.store={store}", f"hydra.sweep.dir={folder}", *overrides]
    with subprocess.Popen(
        [sys.executable, "-c", program, "-m", *words], cwd=folder.parent, text=True, stderr=subprocess.PIPE,
        env={**slurm.environment(), "WANDB_MODE": "offline"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def submitted(slurm: Any, folder: Path, command: "subprocess.Popen[str]") -> dict[str, str]:
    """The Slurm job of each job of the sweep, when all are submitted."""
    record = folder / ".submitit" / "submitted.json"
    slurm.wait_until(lambda: record.exists() or command.poll() is not None, "the jobs to be submitted")
    assert command.stderr is not None
    assert record.exists(), command.stderr.read()
    found: dict[str, str] = json.loads(record.read_text())
    return found


def meddled(slurm: Any, array: str, runs: list[Path], meddling: dict[int, list[str]]) -> bool:
    """Do to each job what is to be done when it has its first checkpoint; whether nothing is left to do."""
    for number in list(meddling):
        if (runs[number] / "checkpoints/last.ckpt").exists():
            slurm.command(*meddling.pop(number), f"{array}_{number}")
    return not meddling


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_sweep_survives_what_happens_to_its_jobs(
    slurm: Any, small_store: Path, tmp_path: Path, tiles_train: Callable[..., Path]
) -> None:
    """Four jobs: left alone, cancelled, requeued by an administrator, told by Slurm that its time is nearly up."""
    folder = tmp_path / "sweep"
    with sweeping(slurm, folder, small_store, f"trainer.max_steps={STEPS}", "seed=0,1,2,3") as command:
        assert command.stderr is not None
        runs = [folder / f"seed={seed}" for seed in range(4)]
        array = submitted(slurm, folder, command)["seed=0"].partition("_")[0]
        meddling = {1: ["scancel"], 2: ["scontrol", "requeue"], 3: ["scancel", "--signal=USR2"]}
        slurm.wait_until(lambda: meddled(slurm, array, runs, meddling), f"checkpoints in {folder}")
        for requeued in (f"{array}_2", f"{array}_3"):
            slurm.start_now(requeued)
        _, told = command.communicate(timeout=150)
    assert command.returncode == 1, told
    states = [read_status(run) for run in runs]
    assert [status.state for status in states] == ["finished", "preempted", "finished", "finished"], told
    assert [status.attempt for status in states] == [1, 1, 2, 2]
    assert [status.job["slurm_restart_count"] for status in states[2:]] == ["1", "1"]
    assert f"{array}_1 (seed=1) failed: Slurm job {array}_1 ended without a result (CANCELLED)" in told
    assert re.search(rf"4 jobs as {array}: a node, a process and no GPU on it; logs in .*\.submitit", told)
    for seed in (2, 3):
        whole = tiles_train(f"whole-{seed}", *TINY, f"trainer.max_steps={STEPS}", f"seed={seed}")
        one, other = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (whole, runs[seed]))
        assert one["global_step"] == other["global_step"] == STEPS
        for name, value in one["state_dict"].items():
            torch.testing.assert_close(other["state_dict"][name], value, rtol=0, atol=0)
        assert rows(whole) == rows(runs[seed])


@pytest.mark.slow
def test_a_command_that_was_killed_waits_again_for_its_job_of_two_processes(
    slurm: Any, small_store: Path, tmp_path: Path
) -> None:
    folder, later = tmp_path / "sweep", "+hydra.launcher.additional_parameters.begin='now+1hour'"
    two = ("trainer=ddp", "trainer.max_steps=10", "trainer.val_check_interval=5", "seed=0", later)
    with sweeping(slurm, folder, small_store, *two) as command:
        ((name, job),) = submitted(slurm, folder, command).items()
        command.kill()
    assert slurm.states()[job] == "PENDING"
    with sweeping(slurm, folder, small_store, *two, "resume=true") as command:
        assert command.stderr is not None
        told = next(line for line in command.stderr if "waited for" in line)
        assert told == f"slurm: 1 submitted before is waited for: {job}\n"
        slurm.start_now(job)
        _, told = command.communicate(timeout=150)
    assert command.returncode == 0, told
    assert list(slurm.states()).count(job) == 1
    status = read_status(folder / name)
    assert (status.state, status.attempt, status.step) == ("finished", 1, 10)
    logs = {path.name for path in (folder / ".submitit" / job).glob("*_log.err")}
    assert logs == {f"{job}_0_log.err", f"{job}_1_log.err"}
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [".submitit", name]
