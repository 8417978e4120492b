"""Which folder `resume=...` of a sweep means, and with which overrides."""

from pathlib import Path

import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import resolve_resume
from tiles_ecg.sweep.plan import SweepPlan, write_plan


def make_sweep(folder: Path, *overrides: str, program: str = "tiles-train", created: int = 0) -> Path:
    write_plan(folder, SweepPlan(program, overrides, (), f"2026-01-01T00:00:{created:02d}+00:00"))
    return folder


def test_true_is_the_latest_sweep_of_the_same_overrides_wherever_it_ran(tmp_path: Path) -> None:
    make_sweep(tmp_path / "a", "seed=0,1", "encoder=resnet10", created=1)
    right = make_sweep(tmp_path / "b" / "c", "encoder=resnet10", "seed=0,1", "hydra/launcher=joblib", created=5)
    make_sweep(tmp_path / "d", "seed=0,1", "encoder=resnet10", program="tiles-evaluate", created=9)
    make_sweep(tmp_path / "e", "seed=0,1", created=9)
    make_sweep(tmp_path / "f", "seed=0,1", "encoder=resnet10", "hydra/sweeper=optuna", created=9)
    argv = ["-m", "seed=0,1", "encoder=resnet10", "resume=true"]
    found = resolve_resume(argv, is_multirun=True, outputs=tmp_path)
    assert found.argv == [*argv, f"hydra.sweep.dir={right}"]


def test_a_folder_brings_its_overrides_where_the_command_gives_no_other(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "a", "seed=0,1", "encoder=resnet10", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    found = resolve_resume([f"resume={folder}", "seed=0,1,2"], is_multirun=False)
    assert found.argv == [
        "-m", "resume=true", "seed=0,1,2", "encoder=resnet10", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        f"hydra.sweep.dir={folder}",
    ]  # fmt: skip
    assert found.note == f"resume: going on in {folder}"


def test_another_launcher_leaves_the_settings_of_the_first_behind(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "a", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    found = resolve_resume(["-m", f"resume={folder}", "hydra/launcher=basic"], is_multirun=True)
    assert found.argv == ["-m", "resume=true", "hydra/launcher=basic", "seed=0,1", f"hydra.sweep.dir={folder}"]


def test_a_folder_given_by_hand_is_kept(tmp_path: Path) -> None:
    argv = ["-m", "seed=1,2", "resume=true", "hydra.sweep.dir=DIR"]
    assert resolve_resume(argv, is_multirun=True, outputs=tmp_path).argv == argv


def test_contradictions_are_told(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "a", "seed=0,1")
    with pytest.raises(ConfigError, match=r"hydra.sweep.dir=other is another folder; give only one of them"):
        resolve_resume([f"resume={folder}", "hydra.sweep.dir=other"], is_multirun=True)
    with pytest.raises(ConfigError, match=r"is a sweep of tiles-train; go on with it by that command"):
        resolve_resume([f"resume={folder}"], is_multirun=True, program="tiles-evaluate")
    with pytest.raises(ConfigError, match=r"of tiles-evaluate only a sweep is gone on with; repeat the command"):
        resolve_resume(["resume=true"], is_multirun=False, program="tiles-evaluate")


def test_a_run_of_a_preset_that_is_gone_on_with_alone_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "config.yaml").touch()
    (tmp_path / "command.json").write_text('["experiment=encoder_size", "seed=0"]')
    assert "hydra.mode=RUN" in resolve_resume([f"resume={tmp_path}"], is_multirun=False).argv
