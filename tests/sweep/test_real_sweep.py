"""Sweeps that really train: in one process, side by side by joblib, in stages."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tiles_ecg import console, train
from tiles_ecg.run_record import read_status
from tiles_ecg.sweep.plan import read_plan

TinyTrain = Callable[..., Path]
TINY = (
    "dataset.batch_size=16", "encoder.widths=[8,16]", "encoder.strides=[2,4]", "encoder.embedding_dim=32",
    "trainer.accelerator=cpu", "trainer.log_every_n_steps=50", "logger=csv",
)  # fmt: skip
PRETRAIN = (*TINY, "dataset.val_share=0.34", "callback.online_probe=null", "callback.pictures=null")


def states(folder: Path) -> list[str]:
    return [read_status(folder / job.name).state for job in read_plan(folder).jobs]


def test_the_second_job_of_a_process_trains_as_if_it_were_the_only_one(tiles_train: TinyTrain, tmp_path: Path) -> None:
    short = ("trainer.max_steps=4", "callback.pictures=null")
    alone = tiles_train("alone", "seed=1", *short)
    tiles_train("none", "hydra.mode=MULTIRUN", "seed=0,1", f"hydra.sweep.dir={tmp_path / 'S'}", *short)
    assert states(tmp_path / "S") == ["finished", "finished"]
    assert (tmp_path / "S" / "seed=1" / "metrics.csv").read_text() == (alone / "metrics.csv").read_text()
    assert read_status(tmp_path / "S" / "seed=1").step == 4
    assert json.loads((tmp_path / "S" / "seed=1" / "command.json").read_text()).count("seed=1") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_pretrain_finetune_goes_from_recordings_to_judged_folds(
    small_store: Path, other_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-train"])
    own = "+hydra.sweeper.stages.pretrain"
    argv = (
        "experiment=pretrain_finetune", "task=synthetic_stress", f"dataset.store={small_store}", "protocol.folds=3",
        "dataset.fold=0,1", "seed=0,1", *TINY, "trainer.max_steps=4", "callback.pictures=null", "hydra.sweep.dir=S",
        f"{own}.dataset.store={other_store}", f"{own}.dataset.val_share=0.34", f"{own}.callback.online_probe=null",
    )  # fmt: skip
    console.run(train.train, "train", argv)
    assert states(tmp_path / "S") == ["finished"] * 6
    for seed in (0, 1):
        config = (tmp_path / "S" / f"finetune-dataset.fold=1,seed={seed}" / "config.yaml").read_text()
        assert f"path: {tmp_path / 'S' / f'pretrain-seed={seed}'}" in config
        assert (tmp_path / "S" / f"finetune-dataset.fold=1,seed={seed}" / "protocol.json").is_file()


def started(folder: Path, store: Path, *overrides: str) -> subprocess.Popen[str]:
    """A sweep of three jobs over two worker processes, at the moment when both have saved a checkpoint."""
    program = "from tiles_ecg import train; train.main()"
    argv = ["-m", "seed=0,1,2", f"dataset.store={store}", *PRETRAIN, "callback.checkpoint.every_n_train_steps=5",
            "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={folder}", *overrides]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *argv], cwd=folder.parent, env=environment, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and len(list(folder.glob("*/checkpoints/last.ckpt"))) < 2:
        time.sleep(0.1)
    return process


def pids(folder: Path) -> list[int]:
    return [int(read_status(run).job["pid"]) for run in sorted(folder.glob("seed=[01]"))]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def gone(found: list[int]) -> bool:
    """Whether processes have ended, or do so within a few seconds."""
    for _ in range(100):
        if not any(map(is_alive, found)):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_joblib_finishes_all_jobs_though_a_worker_is_killed(small_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed")
    process = started(tmp_path / "S", small_store, "trainer.max_steps=150")
    os.kill(pids(tmp_path / "S")[0], signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert states(tmp_path / "S") == ["finished"] * 3
    assert "the launcher failed (TerminatedWorkerError" in err
    assert read_status(tmp_path / "S" / "seed=0").attempt == 2
    assert "training:" not in err  # no bars that write over each other


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_joblib_leaves_no_process_behind_and_every_job_saves(
    small_store: Path, tmp_path: Path, number: int, status: int
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed")
    process = started(tmp_path / "S", small_store, "trainer.max_steps=100000")
    workers = pids(tmp_path / "S")
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == status, err
    assert states(tmp_path / "S") == ["preempted", "preempted", "planned"]
    assert gone(workers)


@pytest.mark.slow
def test_the_workers_of_a_sweep_that_is_killed_end_with_it(small_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed")
    process = started(tmp_path / "S", small_store, "trainer.max_steps=100000")
    workers = pids(tmp_path / "S")
    process.kill()
    process.communicate()
    assert gone(workers)
    assert states(tmp_path / "S") == ["stopped", "stopped", "planned"]
