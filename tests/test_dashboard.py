import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tiles_ecg import console
from tiles_ecg.dashboard import PROJECT, main
from tiles_ecg.evaluate import evaluate
from tiles_ecg.workspace.comparison import Comparison, compare
from tiles_ecg.workspace.description import read_dashboard
from tiles_ecg.workspace.logged import find_logged


def status_of(*arguments: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code


DRAWN = "callback.pictures={n_mapped:20}"  # over what the fixtures leave out


def of_run(folder: Path, job_type: str) -> tuple[Comparison, list[str]]:
    """What the shipped description and a real run say of each other; and the sections of its job type."""
    runs = find_logged([folder])
    assert [(run.job_type, run.has_wandb) for run in runs] == [(job_type, True)]
    dashboard = read_dashboard()
    found = compare(dashboard, runs)
    others = [section.name for section in dashboard.sections if job_type not in section.job_types]
    assert [line.split(":")[0] for line in found.unchecked] == others
    return found, [section.name for section in dashboard.sections if section.name not in others]


@pytest.mark.slow
def test_the_shipped_description_shows_what_pre_training_logs_and_nothing_else(
    tiles_train: Callable[..., Path],
) -> None:
    found, sections = of_run(tiles_train("run", "logger=default", "trainer.max_steps=4", DRAWN), "pretrain")
    assert (found.empty, found.unseen) == ((), ())
    assert sections == ["Pre-training", "Speed"]


@pytest.mark.slow
def test_the_shipped_description_shows_what_fine_tuning_logs_and_nothing_else(finetune: Callable[..., Path]) -> None:
    found, sections = of_run(finetune("run", "logger=default", "trainer.max_steps=4", DRAWN), "finetune")
    assert (found.empty, found.unseen) == ((), ())
    assert sections == ["Fine-tuning", "Speed"]


@pytest.mark.slow
def test_the_shipped_description_shows_what_an_evaluation_logs_and_nothing_else(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("sys.argv", ["tiles-evaluate"])
    few = ("protocol.folds=3", "protocol.inner_folds=2", "controls.scratch_steps=0", "label_efficiency.subjects=[]")
    tiny = ("encoder.widths=[8,16]", "encoder.strides=[2,4]", "encoder.embedding_dim=32", "report=false")
    given = (f"dataset.store={small_store}", "task=synthetic_stress", f"hydra.run.dir={tmp_path / 'run'}")
    console.run(evaluate, "evaluate", [*given, *few, *tiny, "logger=evaluate"])
    found, sections = of_run(tmp_path / "run", "evaluate")
    assert (found.empty, found.unseen) == ((), ())
    assert sections == ["Evaluation"]
    assert status_of("show", "--runs", str(tmp_path / "run")) == 0
    assert "pictures/embedding_map/untrained" in capsys.readouterr().out


def write_run(folder: Path, columns: str) -> Path:
    folder.mkdir()
    (folder / "metrics.csv").write_text(f"{columns}\n")
    return folder


def test_check_names_what_is_empty_and_what_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description = tmp_path / "mine.yaml"
    panels = "[{type: line, title: Loss, keys: [train/loss]}, {type: line, title: Rank, keys: [val/rank]}]"
    description.write_text(f"name: n\nsections: [{{name: One, job_types: [pretrain], panels: {panels}}}]\n")
    run = write_run(tmp_path / "run", "step,train/loss,val/ranks")
    assert status_of("check", str(run), "--description", str(description)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "empty: One / Rank: no pretrain run logs val/rank; did you mean val/ranks?",
        "not shown: val/ranks (number, logged by pretrain) is in no panel",
        "2 panels, 3 keys of 1 run: 1 empty",
    ]


def test_a_key_that_is_not_shown_is_no_failure(tmp_path: Path) -> None:
    description = tmp_path / "mine.yaml"
    panels = "[{type: line, title: Loss, keys: [train/loss]}]"
    description.write_text(f"name: n\nsections: [{{name: One, job_types: [pretrain], panels: {panels}}}]\n")
    run = write_run(tmp_path / "run", "step,train/loss,val/loss")
    assert status_of("check", str(run), "--description", str(description)) == 0


def test_show_prints_what_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    assert status_of("show", "--entity", "team") == 0
    view = json.loads(capsys.readouterr().out)
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    assert (view["entity"], view["project"]) == ("team", PROJECT)
    assert [section["name"] for section in sections] == [section.name for section in read_dashboard().sections]


def test_panels_without_a_name_to_show_are_left_out_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    assert status_of("show") == 0
    assert (
        "left out: Evaluation / Embedding maps: W&B needs the names of pictures; give --runs" in capsys.readouterr().err
    )


def test_the_project_is_that_of_the_logger() -> None:
    import yaml

    from tiles_ecg.config import config_directory

    assert yaml.safe_load((config_directory() / "logger" / "wandb.yaml").read_text())["project"] == PROJECT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required"),
        (["chek"], "invalid choice: 'chek'"),
        (["check"], "the following arguments are required: FOLDER"),
        (["check", "nowhere"], "nowhere: no such folder; give run folders, or folders above them"),
        (["check", "empty"], "empty: no run that logged anything is in it"),
        (["show", "--description", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["push"], "the following arguments are required: --entity"),
        (["push", "--entity", "team"], "push: there is no API key; run `wandb login`, or see it with: tiles-dashboard"),
    ],
)
def test_a_mistake_is_answered_in_a_line_with_status_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "empty").mkdir()
    assert status_of(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert error.startswith("tiles-dashboard")
