"""Which folder `resume=...` means."""

import json
import os
from pathlib import Path

import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import own_overrides, resolve_resume


def make_run(folder: Path, command: list[str], age_s: float = 0.0, is_whole: bool = True) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "command.json").write_text(json.dumps(command))
    if is_whole:
        checkpoint = folder / "checkpoints" / "last.ckpt"
        checkpoint.touch()
        os.utime(checkpoint, (1e9 - age_s, 1e9 - age_s))
    return folder


@pytest.mark.parametrize("argv", [[], ["resume=false"], ["seed=1", "resume=null"]])
def test_without_a_wish_to_resume_the_arguments_stay(argv: list[str], tmp_path: Path) -> None:
    assert resolve_resume(argv, is_multirun=False, outputs=tmp_path).argv == argv


def test_true_is_the_latest_run_of_the_same_overrides_in_any_order(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "1", ["seed=1", "encoder=resnet10"], age_s=100)
    right = make_run(tmp_path / "b" / "2", ["encoder=resnet10", "seed=1"], age_s=50)
    make_run(tmp_path / "c" / "3", ["seed=2", "encoder=resnet10"])
    make_run(tmp_path / "d" / "4", ["seed=1"])
    found = resolve_resume(["seed=1", "encoder=resnet10", "resume=true"], is_multirun=False, outputs=tmp_path)
    assert found.argv == ["seed=1", "encoder=resnet10", "resume=true", f"hydra.run.dir={right}"]
    assert found.note == f"resume: going on in {right}"


def test_hydras_own_overrides_and_flags_do_not_make_another_command(tmp_path: Path) -> None:
    right = make_run(tmp_path / "a", ["seed=1", "resume=true", "hydra.job.name=x"])
    argv = ["--run", "seed=1", "hydra/job_logging=none", "resume=true"]
    assert resolve_resume(argv, is_multirun=False, outputs=tmp_path).argv[-1] == f"hydra.run.dir={right}"


def test_a_run_without_a_checkpoint_is_not_gone_on_with(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [], is_whole=False)
    found = resolve_resume(["resume=true"], is_multirun=False, outputs=tmp_path)
    assert found.argv == ["resume=true"]
    assert found.note == f"resume: no run of this command below {tmp_path}/ has a checkpoint; starting anew"


def test_of_a_repeated_override_the_last_one_counts(tmp_path: Path) -> None:
    right = make_run(tmp_path / "a", ["seed=2"])
    found = resolve_resume(["seed=1", "seed=2", "resume=true"], is_multirun=False, outputs=tmp_path)
    assert found.argv[-1] == f"hydra.run.dir={right}"


def test_an_unreadable_command_file_matches_nothing_but_the_bare_command(tmp_path: Path) -> None:
    (make_run(tmp_path / "a", []) / "command.json").write_text("{")
    assert "hydra.run.dir" not in str(resolve_resume(["seed=1", "resume=true"], False, tmp_path).argv)


def test_a_folder_given_by_hand_is_kept(tmp_path: Path) -> None:
    argv = ["resume=true", "hydra.run.dir=mine"]
    assert resolve_resume(argv, is_multirun=False, outputs=tmp_path).argv == argv


def test_a_path_brings_the_overrides_of_its_run_where_the_command_gives_no_other(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", ["encoder=resnet10", "trainer.max_steps=10"])
    found = resolve_resume([f"resume={run}", "trainer.max_steps=20"], is_multirun=False)
    assert found.argv == [f"resume={run}", "trainer.max_steps=20", "encoder=resnet10", f"hydra.run.dir={run}"]


def test_a_path_with_marks_of_hydras_grammar_is_quoted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "seed=1,it's", [])
    from hydra.core.override_parser.overrides_parser import OverridesParser

    text = resolve_resume([f"resume='{run}'"], is_multirun=False).argv[-1]
    assert OverridesParser.create().parse_override(text).value() == str(run)


@pytest.mark.parametrize("text", ["resume=", "resume=''"])
@pytest.mark.parametrize("is_multirun", [False, True])
def test_an_empty_path_is_refused_and_no_new_run_begun(tmp_path: Path, text: str, is_multirun: bool) -> None:
    with pytest.raises(ConfigError, match="resume: names no folder"):
        resolve_resume([text], is_multirun, tmp_path)


def test_a_path_that_is_no_run_folder_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config.yaml and no checkpoints/last.ckpt; give the folder of a run"):
        resolve_resume([f"resume={tmp_path}"], is_multirun=False)
    with pytest.raises(ConfigError, match="nowhere: there is no such folder"):
        resolve_resume(["resume=nowhere"], is_multirun=False)


def test_a_path_and_another_run_folder_contradict(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", [])
    with pytest.raises(ConfigError, match=r"hydra.run.dir=other is another folder; give only one"):
        resolve_resume([f"resume={run}", "hydra.run.dir=other"], is_multirun=False)


def test_own_overrides_are_those_that_say_what_a_run_is() -> None:
    argv = ["-m", "seed=1", "~callback.progress", "+a=b", "hydra.run.dir=x", "hydra/launcher=joblib", "resume=true"]
    assert own_overrides(argv) == ["seed=1", "~callback.progress", "+a=b"]
