"""tiles-evaluate, in this process: what it leaves, what it agrees with, and what it refuses."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tiles_ecg import console
from tiles_ecg.console_failure import MISTAKE
from tiles_ecg.console_resume import quoted
from tiles_ecg.evaluate import evaluate, result_lines
from tiles_ecg.evaluation.predictions import load_predictions
from tiles_ecg.evaluation.run import EvaluationRun
from tiles_ecg.run_record import read_status
from tiles_ecg.store import Store

Run = Callable[..., Path]
SMALL = (  # what 6 subjects allow, and no control that is trained
    "task=synthetic_stress",
    "protocol.folds=3",
    "protocol.inner_folds=2",
    "controls.scratch_steps=0",
    "label_efficiency.draws=1",
    "report=false",
    "logger=none",
)
NETWORK = ("encoder.widths=[8,16]", "encoder.strides=[2,4]", "encoder.embedding_dim=32")


@pytest.fixture
def tiles_evaluate(small_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `tiles-evaluate` on the small store; its arguments are the run folder's name and overrides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-evaluate"])

    def run(name: str, *overrides: str) -> Path:
        given = {text.partition("=")[0] for text in overrides}
        network = () if "encoder" in given else NETWORK
        defaults = [f"dataset.store={small_store}", *SMALL, *network, f"hydra.run.dir={quoted(tmp_path / name)}"]
        console.run(evaluate, "evaluate", [*(t for t in defaults if t.partition("=")[0] not in given), *overrides])
        return tmp_path / name

    return run


@pytest.fixture
def refused(tiles_evaluate: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `tiles-evaluate` with these overrides says before it ends with status 2, leaving nothing behind."""

    def say(*overrides: str) -> str:
        with pytest.raises(SystemExit) as end:
            tiles_evaluate("refused", *overrides)
        assert end.value.code == MISTAKE
        assert not list(tmp_path.glob("refused/*"))
        return capsys.readouterr().err

    return say


def methods(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "predictions").glob("*.npz")}


def test_without_an_encoder_the_controls_are_judged(tiles_evaluate: Run) -> None:
    folder = tiles_evaluate("run", "label_efficiency.subjects=[]")
    assert methods(folder) == {"majority_none", "heart-rate-and-HRV_linear", "untrained_linear", "untrained_k-NN"}
    about = json.loads((folder / "protocol.json").read_text())
    assert about["finished"]
    assert {check["name"] for check in about["checks"]} == {"subjects", "overlap", "duplicates"}
    assert {load_predictions(path).protocol for path in folder.glob("predictions/*")} == {about["hash"]}
    assert "task=synthetic_stress" in about["command"]


def test_an_encoder_is_judged_beside_its_untrained_twin(tiles_evaluate: Run, tiles_train: Run) -> None:
    trained = tiles_train("trained")
    folder = tiles_evaluate(
        "run", f"encoders=[{trained}]", "audit.accept=[pretraining]", "label_efficiency.subjects=[3]"
    )
    expected = {f"{name}_{head}" for name in ("trained", "untrained") for head in ("linear", "k-NN")}
    expected |= {"majority_none", "heart-rate-and-HRV_linear", "heart-rate-and-HRV_linear_3-subjects_draw-0"}
    expected |= {f"{name}_linear_3-subjects_draw-0" for name in ("trained", "untrained")}
    assert methods(folder) == expected
    about = json.loads((folder / "protocol.json").read_text())
    assert about["encoders"]["trained"]["step"] == 10
    assert about["accepted"] == ["pretraining"]
    pretraining = [check for check in about["checks"] if check["name"] == "pretraining"]
    assert [check["passed"] for check in pretraining] == [False]


def test_every_window_is_judged_on_once_by_every_method(tiles_evaluate: Run, small_store: Path) -> None:
    folder = tiles_evaluate("run", "label_efficiency.subjects=[]")
    n_known = int((Store(small_store).label("stress").value >= 0).sum())
    for path in folder.glob("predictions/*"):
        assert len(set(load_predictions(path).example_id)) == len(load_predictions(path)) == n_known


def test_several_draws_of_untrained_weights_are_told_apart_by_their_seed(tiles_evaluate: Run) -> None:
    folder = tiles_evaluate("run", "controls.untrained_seeds=2", "label_efficiency.subjects=[]")
    first, second = (load_predictions(folder / f"predictions/untrained_linear{end}.npz") for end in ("", "_seed-1"))
    assert set(first.seed) == {0}
    assert set(second.seed) == {1}
    assert not np.array_equal(first.score, second.score)


def test_the_untrained_control_can_be_left_out_and_is_then_told_to_be_missing(tiles_evaluate: Run) -> None:
    folder = tiles_evaluate("run", "controls.untrained_seeds=0", "label_efficiency.subjects=[]", "report=true")
    assert methods(folder) == {"majority_none", "heart-rate-and-HRV_linear"}
    (row,) = [line for line in (folder / "report.md").read_text().splitlines() if line.startswith("| untrained |")]
    assert "not run" in row


def test_an_encoder_option_and_named_paths_stand_side_by_side(tiles_evaluate: Run, tiles_train: Run) -> None:
    trained = tiles_train("trained")
    folder = tiles_evaluate(
        "run",
        "encoder=pretrained",
        f"encoder.path={trained}",
        f"encoders={{again:{trained}/checkpoints/last.ckpt}}",
        "audit.accept=[pretraining]",
        "label_efficiency.subjects=[]",
    )
    assert {"trained_linear", "again_linear"} <= methods(folder)
    one, other = (load_predictions(folder / f"predictions/{name}_linear.npz") for name in ("trained", "again"))
    np.testing.assert_array_equal(one.score, other.score)


def test_pre_training_on_what_is_judged_on_ends_the_run(refused: Callable[..., str], tiles_train: Run) -> None:
    trained = tiles_train("trained")
    message = refused(f"encoders=[{trained}]")
    assert "pretraining: trained" in message
    assert "audit.accept=[pretraining]" in message


def test_no_task_at_all_is_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tiles-evaluate"])
    with pytest.raises(SystemExit):
        console.run(evaluate, "evaluate", [f"hydra.run.dir={tmp_path / 'run'}"])
    assert "Give task=NAME" in capsys.readouterr().err


def test_a_second_evaluation_in_a_folder_is_refused(tiles_evaluate: Run, capsys: pytest.CaptureFixture[str]) -> None:
    tiles_evaluate("run", "label_efficiency.subjects=[]")
    with pytest.raises(SystemExit):
        tiles_evaluate("run", "label_efficiency.subjects=[]")
    assert "holds an evaluation already" in capsys.readouterr().err


def test_the_status_says_how_it_ended_and_what_came_out(tiles_evaluate: Run) -> None:
    folder = tiles_evaluate("run", "label_efficiency.subjects=[]")
    status = read_status(folder)
    assert (status.state, status.program, status.attempt) == ("finished", "tiles-evaluate", 1)
    assert status.metrics["test/auroc/majority"] == 0.5
    assert status.choices["task"] == "synthetic_stress"
    assert set(status.metrics) == {
        f"test/auroc/{name}" for name in ("majority", "heart rate and HRV/linear", "untrained/linear", "untrained/k-NN")
    }


def test_an_evaluation_that_failed_is_made_anew_in_its_folder_by_the_same_command_only(
    tiles_evaluate: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = EvaluationRun.judge
    few = "label_efficiency.subjects=[]"

    def judge(self: EvaluationRun, candidate: Any) -> None:
        whole(self, candidate)
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(EvaluationRun, "judge", judge)
    with pytest.raises(ZeroDivisionError):
        tiles_evaluate("run", few)
    folder = tmp_path / "run"
    assert (read_status(folder).state, read_status(folder).error) == ("failed", "ZeroDivisionError: by nothing")
    (folder / "predictions" / "left_linear.npz").write_bytes(b"of the attempt before")
    monkeypatch.setattr(EvaluationRun, "judge", whole)
    with pytest.raises(SystemExit):
        tiles_evaluate("run", few, "protocol.seed=1")
    assert "holds an evaluation already" in capsys.readouterr().err
    assert (folder / "predictions" / "left_linear.npz").exists()
    tiles_evaluate("run", few)
    assert (read_status(folder).state, read_status(folder).attempt) == ("finished", 2)
    assert methods(folder) == {"majority_none", "heart-rate-and-HRV_linear", "untrained_linear", "untrained_k-NN"}


@pytest.mark.slow
def test_wandb_and_tensorboard_show_the_numbers_and_the_map(
    tiles_evaluate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tiles_evaluate("run", "label_efficiency.subjects=[]", "logger=evaluate", "logger.wandb.tags=[mine]")
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json"]
    told = subprocess.run([*command, "--summary", str(file)], capture_output=True, text=True, check=True).stdout
    found = json.loads(told)
    assert (found["exit_code"], found["summary"]["state"]) == (0, "finished")
    assert found["summary"]["test/auroc/majority"] == 0.5
    assert found["summary"]["tables/results"]["nrows"] == len((folder / "results.csv").read_text().splitlines()) - 1
    assert found["summary"]["pictures/embedding_map/untrained"]["width"] == 880
    about = json.loads((folder / "protocol.json").read_text())
    assert {"task:synthetic_stress", f"protocol:{about['hash']}", "mine"} <= set(found["tags"])
    assert found["config"]["protocol_hash"] == about["hash"]
    records = subprocess.run([*command, str(file)], capture_output=True, text=True, check=True).stdout
    assert '"job_type":"evaluate"' in records
    assert (folder / "pictures" / "embedding_map_untrained.png").exists()
    assert list(folder.glob("tensorboard/events*"))


def test_the_screen_shows_the_metric_that_decides_with_its_interval(tmp_path: Path) -> None:
    text = """task,encoder,head,metric,training_subjects,value,low,high
t,mine,linear,auroc,,0.9,0.85,0.94
t,mine,linear,f1,,0.1,0.1,0.1
t,mine,linear,auroc,3,0.7,0.6,0.8
t,majority,none,auroc,,0.5,,
"""
    (tmp_path / "results.csv").write_text(text)
    assert result_lines(tmp_path / "results.csv", "auroc").splitlines() == [
        "                auroc   95 % interval over subjects",
        "mine, linear    0.900   0.850 to 0.940",
        "majority        0.500   no interval",
    ]


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def test_an_encoder_file_that_would_run_code_is_refused_and_runs_nothing(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    assert "evil.ckpt" in refused(f"encoders=[{tmp_path / 'evil.ckpt'}]")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task=null", "choose one of cinc2017_af"),
        ("task=synthetic_stres", "synthetic_stress"),
        ("protocol.folds=1", "protocol.folds = 1"),
        ("protocol.folds=7", "at most protocol.folds=6"),
        ("task.label=strss", "stress"),
        ("dataset.window_s=10", "dataset.window_s=15"),
        ("dataset.min_quality=0.9999999", "no window is that good"),
        ("encoders=[nowhere/at/all]", "nowhere/at/all"),
        ("encoders=[a/x,b/x]", "two would be called x"),
        ("encoders={majority:a}", "too like the name of another encoder or control"),
        ("encoders={a:3}", "encoders.a = 3: give a run folder"),
        ("controls.scratch_steps=-1", "controls.scratch_steps = -1"),
        ("audit.accept=[everything]", "audit.accept"),
        ("encodrs=[a]", "encoders"),
    ],
)
def test_a_mistake_is_answered_by_key(refused: Callable[..., str], override: str, message: str) -> None:
    assert message in refused(override)


def test_an_encoder_whose_embedding_is_not_finite_is_named(small_store: Path) -> None:
    from tiles_ecg.dataset.windows import Windows
    from tiles_ecg.evaluation.embedding import embed
    from tiles_ecg.task.target import TaskError

    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(2) / 0

    with pytest.raises(TaskError, match="broken: its embedding is NaN or infinite for 5 of 5 windows"):
        embed(Broken(), Windows([small_store]), np.arange(5), "broken", show_progress=False)


def test_a_collapsed_encoder_is_judged_and_told_of(tiles_evaluate: Run, tiles_train: Run, tmp_path: Path) -> None:
    source = tiles_train("trained") / "checkpoints/last.safetensors"
    with safe_open(source, "pt") as file:
        weights = {name: torch.zeros_like(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        save_file(weights, tmp_path / "flat.safetensors", file.metadata())
    folder = tiles_evaluate(
        "run", f"encoders=[{tmp_path}/flat.safetensors]", "audit.accept=[pretraining]", "label_efficiency.subjects=[]"
    )
    for path in folder.glob("predictions/*"):
        assert any("the same for all windows" in note for note in load_predictions(path).notes) == ("flat" in path.name)


@pytest.mark.slow
def test_the_network_is_trained_from_scratch_and_reported(tiles_evaluate: Run, tiles_train: Run) -> None:
    trained = tiles_train("trained")
    folder = tiles_evaluate(
        "0-task=a,seed=0",  # as a sweep names its folders
        f"encoders=[{trained}]",
        "audit.accept=[pretraining]",
        "label_efficiency.subjects=[]",
        "controls.scratch_steps=4",
        "report=true",
    )
    folds = [load_predictions(path) for path in folder.glob("predictions/from-scratch_*")]
    assert sorted(int(part.fold[0]) for part in folds) == [0, 1, 2]
    assert {part.method.role for part in folds} == {"control"}
    page = (folder / "report.html").read_text()
    for row in ("trained, linear", "untrained, linear", "majority", "heart rate and HRV", "from scratch"):
        assert row in page
    assert "not run" not in (folder / "report.md").read_text()
