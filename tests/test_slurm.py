"""The launcher hydra/launcher=slurm where there is no Slurm, or one that refuses; tests/cluster has a real one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tiles_ecg.slurm

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'tiles_ecg[slurm]'")
SWEEP = ("hydra/launcher=slurm", "seed=0,1")


@pytest.fixture
def sweep(tiles_train: Callable[..., Path], tmp_path: Path) -> Callable[..., int]:
    """Runs a sweep in this process; its exit status."""

    def run(*overrides: str) -> int:
        try:
            tiles_train("unused", *SWEEP, f"hydra.sweep.dir={tmp_path}/sweep", *overrides, "-m")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


@pytest.fixture
def slurm_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts programs of Slurm on the path: name -> lines of shell."""

    def programs(**scripts: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in {"srun": "exit 1", **scripts}.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return programs


def test_without_slurm_the_command_says_where_to_type_it(
    sweep: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tiles_ecg.slurm.shutil, "which", lambda name: None)
    assert sweep() == 2
    assert "tiles-train: hydra/launcher = slurm: there is no sbatch on this machine" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()] == []


def test_without_submitit_the_extra_is_named(
    sweep: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles_ecg.slurm, "find_spec", lambda name: None)
    assert sweep() == 2
    assert "pip install 'tiles_ecg[slurm]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.launcher.timeout_min=2", "hydra.launcher.timeout_min = 2 min: a checkpoint is asked for 120 s before"),
        ("trainer.devices=auto", "trainer.devices = auto: a job has to ask Slurm for a number"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_submitted(
    override: str, message: str, sweep: Callable[..., int], slurm_that: Callable[..., None], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    slurm_that(sbatch=f"touch {tmp_path}/submitted; exit 1")
    assert sweep(override) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "submitted").exists()


def test_what_sbatch_says_is_passed_on(
    sweep: Callable[..., int], slurm_that: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    slurm_that(sbatch="echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1")
    assert sweep("hydra.launcher.partition=nowhere", "+hydra.launcher.additional_parameters.begin='now+1hour'") == 2
    assert (
        "tiles-train: hydra/launcher = slurm: sbatch refused the jobs: "
        "sbatch: error: invalid partition specified: nowhere\n" in capsys.readouterr().err
    )


def test_jobs_that_were_submitted_before_are_not_submitted_again(
    sweep: Callable[..., int], slurm_that: Callable[..., None], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Seed 0 is queued still when the sweep is gone on with, seed 1 was lost: it alone is submitted."""
    for name, value in {"LOOK_S": 0.05, "ASK_S": (0.1, 0.1), "GRACE_S": 0.1}.items():
        monkeypatch.setattr(tiles_ecg.slurm_queue, name, value)
    slurm_that(
        sbatch=f"echo \"$(cat $1)\" >> {tmp_path}/scripts; echo 'Submitted batch job 5'",
        squeue=f"cat {tmp_path}/queue",
    )
    (tmp_path / "queue").write_text("5_0|CANCELLED\n")
    assert sweep() == 1
    assert "--array=0-1" in (tmp_path / "scripts").read_text()
    told = capsys.readouterr().err
    assert "Slurm job 5_0 ended without a result (CANCELLED)" in told
    assert "Slurm job 5_1 ended without a result (no longer in the queue)" in told
    (tmp_path / "scripts").unlink()
    (tmp_path / "queue").write_text("5_0|PENDING\n")
    slurm_that(sbatch=f"echo \"$(cat $1)\" >> {tmp_path}/scripts; echo '5_0|FAILED' > {tmp_path}/queue; echo job 6")
    assert sweep("resume=true") == 1
    told = capsys.readouterr().err
    assert "slurm: 1 submitted before is waited for: 5_0" in told
    assert "slurm: job as 6: a node, a process and no GPU on it" in told
    assert "--array" not in (tmp_path / "scripts").read_text()


def test_hydra_finds_the_launcher_and_imports_nothing_heavy_for_it() -> None:
    program = (
        "import sys; from hydra.core.plugins import Plugins; from hydra.plugins.launcher import Launcher\n"
        "found = {kind.__module__ + '.' + kind.__name__ for kind in Plugins.instance().discover(Launcher)}\n"
        "assert 'hydra_plugins.tiles_ecg_slurm.SlurmLauncher' in found, found\n"
        "assert not {'torch', 'submitit', 'lightning', 'tiles_ecg.slurm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
