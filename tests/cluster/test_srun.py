"""Processes that a real srun started: the gradient of one process, one run in one folder, no confusion in a script."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.run_record import read_status

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parents[1] / "objective" / "two_processes.py"
SRUN = ["srun", "--quiet", "--kill-on-bad-exit=1", "--ntasks=2", "--ntasks-per-node=2"]
BATCH = """#!/bin/sh
#SBATCH --ntasks-per-node=2
{command}
"""


def environment(slurm: Any) -> dict[str, str]:
    variables: dict[str, str] = slurm.environment()
    return variables | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}


def tiny(store: Path, folder: Path) -> list[str]:
    given = (
        "dataset.batch_size=16 dataset.val_share=0.34 encoder.widths=[8,16] encoder.strides=[2,4] trainer=ddp "
        "encoder.embedding_dim=32 trainer.accelerator=cpu trainer.max_steps=4 trainer.val_check_interval=2 "
        "trainer.log_every_n_steps=1 callback.online_probe.n_windows=20 callback.pictures=null logger=csv"
    )
    program = str(Path(sys.executable).with_name("tiles-train"))
    return [program, *given.split(), f"dataset.store={store}", f"hydra.run.dir={folder}"]


def test_two_processes_of_srun_give_the_gradient_of_one_on_the_global_batch(
    slurm: Any, tone_store: Path, tmp_path: Path
) -> None:
    for name, start in {"alone": [sys.executable], "srun": [*SRUN, sys.executable]}.items():
        n = "1" if name == "alone" else "2"
        command = [*start, str(PROGRAM), n, str(tone_store), str(tmp_path / f"{name}.pt")]
        variables = environment(slurm) if name == "srun" else os.environ | {"OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
    alone, shared = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("alone", "srun"))
    assert shared.keys() == alone.keys()
    for name, expected in alone.items():
        assert (shared[name] - expected).abs().max() <= 1e-6 * expected.abs().max(), name


def test_processes_of_srun_and_those_of_a_batch_script_train_the_same_run(
    slurm: Any, small_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    by_srun, by_script = (tiny(small_store, tmp_path / name) for name in ("srun", "script"))
    ended = subprocess.run(
        [*SRUN, *by_srun], env=environment(slurm), cwd=tmp_path / "work", capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    script = tmp_path / "job.sh"  # two tasks are asked for, but srun does not start them: the process starts the other
    script.write_text(BATCH.format(command=" ".join(f"'{word}'" for word in by_script)))
    output = tmp_path / "job.out"
    ended = subprocess.run(
        ["sbatch", "--wait", f"--output={output}", f"--chdir={tmp_path / 'work'}", str(script)],
        env=environment(slurm), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, output.read_text() if output.exists() else ended.stderr
    assert [read_status(tmp_path / name).state for name in ("srun", "script")] == ["finished", "finished"]
    metrics = [(tmp_path / name / "metrics.csv").read_text() for name in ("srun", "script")]
    assert metrics[0] == metrics[1]
    assert list((tmp_path / "work").glob("outputs/*/*")) == []
