"""tiles-train objective=finetune, probe and fusion, in this process: it learns, cannot see the test side, goes on."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from sklearn.metrics import roc_auc_score

from tiles_ecg import console, train
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.evaluation.predictions import Predictions, joined, load_predictions
from tiles_ecg.objective.finetune import FineTune

Run = Callable[..., Path]


class PowerCut(Exception):
    """What interrupts a run in these tests."""


def predictions(folder: Path) -> Predictions:
    (path,) = (folder / "predictions").glob("*.npz")
    return load_predictions(path)


def column(folder: Path, name: str) -> dict[int, float]:
    rows = csv.DictReader((folder / "metrics.csv").open())
    return {int(row["step"]): float(row[name]) for row in rows if row[name]}


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)  # type: ignore[no-any-return]


def plain(state: Any) -> str:
    """A state as text, every digit of its numbers."""
    return json.dumps(state, default=lambda tensor: [str(tensor.dtype), tensor.tolist()])


def test_on_separable_windows_fine_tuning_ends_far_above_chance_on_people_not_trained_on(finetune: Run) -> None:
    found = predictions(finetune("run", "trainer.max_steps=40", "trainer.val_check_interval=10"))
    assert roc_auc_score(found.value, found.score[:, 1]) > 0.95
    assert (found.decision == found.value).mean() > 0.85
    assert (found.method.encoder, found.method.head, found.method.role) == ("from scratch", "fine-tuned", "control")


def test_a_frozen_encoder_does_not_change_and_neither_dropout_nor_batch_statistics_act(
    finetune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, torch.Tensor] = {}
    embedded: list[bool] = []
    build, step = FineTune.build_for, FineTune.training_step

    def build_for(self: FineTune, datamodule: Any) -> None:
        build(self, datamodule)
        before.update({key: value.clone() for key, value in self.encoder.state_dict().items()})

    def training_step(self: FineTune, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.is_frozen:
            alone = torch.cat([self.embed(window[None]) for window in batch.signal])
            embedded.append(self.training and torch.equal(self.embed(batch.signal), self.embed(batch.signal)))
            torch.testing.assert_close(self.embed(batch.signal), alone)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(FineTune, "build_for", build_for)
    monkeypatch.setattr(FineTune, "training_step", training_step)
    for name, objective, changes in (("frozen", "probe", False), ("trained", "finetune", True)):
        after = checkpoint(finetune(name, f"objective={objective}", "encoder.dropout=0.5"))["state_dict"]
        changed = {key for key, value in before.items() if not torch.equal(after[f"encoder.{key}"], value)}
        assert any("running_mean" in key for key in before)
        assert any("num_batches_tracked" in key for key in before)
        assert changed == (set(before) if changes else set())
    assert embedded == [True] * 12


def test_a_frozen_probe_learns(finetune: Run) -> None:
    found = predictions(finetune("run", "objective=probe", "trainer.max_steps=30", "optimizer.lr=3e-2"))
    assert roc_auc_score(found.value, found.score[:, 1]) > 0.8
    assert (found.method.encoder, found.method.head) == ("untrained", "linear (trained)")


def test_what_is_judged_are_the_weights_that_validation_chose(finetune: Run) -> None:
    folder = finetune("run", "trainer.max_steps=16", "optimizer.lr=2e-2")
    best = checkpoint(folder, "best")
    chosen = column(folder, "val/selection")
    assert best["global_step"] == max(chosen, key=lambda step: (chosen[step], -step)) + 1
    objective, datamodule = rebuilt(folder)
    objective.load_state_dict(best["state_dict"])
    datamodule.open_test()
    with torch.no_grad():
        expected = objective.eval().predict_step(datamodule.gather(datamodule.test_rows)).numpy()
    found = predictions(folder)
    np.testing.assert_allclose(found.score, expected, atol=1e-6)
    assert f"fold 0, seed 0: judged as it was after step {best['global_step']}" in found.notes[-1]
    assert column(folder, "test/auroc") == {16: pytest.approx(roc_auc_score(found.value, expected[:, 1]))}


def rebuilt(folder: Path) -> tuple[FineTune, TaskDataModule]:
    """Objective and data module of a run, from the config that it kept."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    objective = instantiate(config["objective"], _convert_="all")
    datamodule = instantiate(config["dataset"], _convert_="all")
    objective.build_for(datamodule)
    return objective, datamodule


def test_the_task_decides_who_is_on_which_side_and_no_person_is_on_two(finetune: Run) -> None:
    _, data = rebuilt(finetune("run", "trainer.max_steps=1"))
    sides = [set(data.windows.subject[rows].tolist()) for rows in (data.train_rows, data.val_rows, data.test_rows)]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))


def test_a_run_that_looks_at_the_test_side_while_it_chooses_ends(
    finetune: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def validation_step(self: FineTune, batch: Any, batch_idx: int) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        data.gather(data.test_rows)

    monkeypatch.setattr(FineTune, "validation_step", validation_step)
    with pytest.raises(SystemExit) as end:
        finetune("run")
    assert end.value.code == 2
    assert (
        "40 windows of the test side of fold 0 were asked for before everything was chosen" in capsys.readouterr().err
    )


CROPPED = ("augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "encoder.dropout=0.1")
STOPPED = ("callback.early_stopping.patience=2", "callback.early_stopping.min_delta=10.0", "trainer.max_steps=40")


@pytest.mark.parametrize(
    "options",
    [
        CROPPED,
        ("objective=probe", *CROPPED[:2]),
        (*CROPPED, *STOPPED),
        ("+trainer.accumulate_grad_batches=2", "trainer.max_steps=10"),
    ],
    ids=["finetune", "probe", "early stopping", "accumulated"],
)
def test_an_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(
    finetune: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    whole = finetune("whole", *options)
    step = FineTune.training_step

    def training_step(self: FineTune, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 8:
            raise PowerCut
        return step(self, batch, batch_idx)

    monkeypatch.setattr(FineTune, "training_step", training_step)
    with pytest.raises(PowerCut):
        finetune("cut", *options)
    assert json.loads((whole / ".." / "cut" / "protocol.json").read_text())["finished"] is False
    monkeypatch.setattr(FineTune, "training_step", step)
    cut = finetune("cut", *options, "resume=true")
    if "trainer.max_steps=40" in options:
        assert checkpoint(whole)["global_step"] == 12
    for name in ("last", "best"):
        ours, theirs = checkpoint(cut, name), checkpoint(whole, name)
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "global_step"):
            assert plain(ours[part]) == plain(theirs[part])
    assert (cut / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert np.array_equal(predictions(cut).score, predictions(whole).score)


def test_a_damaged_best_checkpoint_is_told_where_it_is_needed(
    finetune: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finetune("run")
    best = folder / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:-1000])
    with pytest.raises(SystemExit) as end:
        finetune("run", "resume=true")
    assert end.value.code == 2
    assert re.search(
        r"best.ckpt: damaged \(.*\): the weights that val/selection chose are lost; train again in another folder",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize("stop", [(), ("callback.early_stopping.patience=1", "callback.early_stopping.min_delta=10.0")])
def test_a_finished_run_resumed_writes_the_same(finetune: Run, stop: tuple[str, ...]) -> None:
    folder = finetune("run", *stop)
    before = predictions(folder), (folder / "metrics.csv").read_text(), checkpoint(folder)["global_step"]
    assert before[2] == (8 if stop else 12)
    (folder / "predictions" / "from-scratch_fine-tuned_fold-0.npz").unlink()
    finetune("run", *stop, "resume=true")
    assert np.array_equal(predictions(folder).score, before[0].score)
    assert (folder / "metrics.csv").read_text() == before[1]
    assert checkpoint(folder)["global_step"] == before[2]
    assert json.loads((folder / "protocol.json").read_text())["finished"] is True


def test_folds_and_seeds_are_a_multirun_whose_predictions_go_together(finetune: Run, tmp_path: Path) -> None:
    finetune("run", "dataset.fold=0,1", "seed=3", "trainer.max_steps=2", "hydra.sweep.dir=sweep", "-m")
    found = [load_predictions(path) for path in sorted((tmp_path / "sweep").rglob("predictions/*.npz"))]
    together = joined(found)
    assert sorted(set(together.fold.tolist())) == [0, 1]
    assert set(together.seed.tolist()) == {3}
    assert len(set(together.example_id.tolist())) == len(together) == 80


KINDS = {
    "regression": ("task=synthetic_heart_rate", "task.label=pitch", "task.level=recording", "task.metric=ccc"),
    "multilabel": ("task=synthetic_beats", "task.label=parts"),
    "verification": ("task=synthetic_person",),
    "subject": ("task.label=place", "task.classes=[indoors,outdoors]", "task.level=subject"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_is_trained_chosen_and_judged(finetune: Run, kind: str) -> None:
    folder = finetune("run", *KINDS[kind])
    found = predictions(folder)
    assert len(found)
    assert np.isfinite(found.score).all()
    assert found.kind == {"subject": "binary"}.get(kind, kind)
    assert list(column(folder, "val/selection")) == [3, 7, 11]


def test_another_stream_that_knows_the_answer_helps_and_may_be_missing(finetune: Run) -> None:
    folder = finetune("run", "objective=fusion", "objective.streams=[hint,place]", "trainer.max_steps=30")
    found = predictions(folder)
    assert roc_auc_score(found.value, found.score[:, 1]) > 0.95
    assert (found.method.encoder, found.method.head) == ("from scratch", "fusion")


def test_heart_rate_is_a_stream_of_every_store(finetune: Run) -> None:
    assert len(predictions(finetune("run", "objective=fusion", "trainer.max_steps=2"))) == 40


def test_few_labels_are_those_of_few_subjects_and_below_four_the_last_step_is_judged(finetune: Run) -> None:
    folder = finetune("run", "dataset.n_subjects=2", "dataset.draw=1", "trainer.max_steps=3")
    found = predictions(folder)
    assert (found.method.n_subjects, found.method.draw) == (2, 1)
    assert not (folder / "checkpoints" / "best.ckpt").exists()
    assert found.notes[0].startswith("2 of the 8 training subjects of fold 0 have labels (draw 1)")
    assert found.notes[-1] == "fold 0, seed 0: judged as it was after its last step, 3"
    np.testing.assert_array_equal(found.decision, found.score[:, 1] >= 0.5)


def test_the_run_folder_and_the_checkpoint_say_by_which_protocol(finetune: Run) -> None:
    folder = finetune("run", "trainer.max_steps=2", "logger=default", "logger.tensorboard=null")
    protocol = json.loads((folder / "protocol.json").read_text())
    assert {"hash", "about", "notes", "checks", "encoders", "command"} <= set(protocol)
    assert protocol["hash"] == predictions(folder).protocol == checkpoint(folder)["protocol"]["hash"]
    assert "objective=finetune task=synthetic_stress task.name=tone" in protocol["command"]
    assert [check["name"] for check in protocol["checks"] if check["passed"]] == ["subjects", "overlap", "duplicates"]
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    wandb = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--summary", "--json", str(file)]
    about = json.loads(subprocess.run(wandb, capture_output=True, text=True, check=True).stdout)
    assert about["config"]["protocol_hash"] == protocol["hash"]
    records = [*wandb[:3], "--json", str(file)]
    told = subprocess.run(records, capture_output=True, text=True, check=True).stdout
    assert f'"{protocol["hash"]}"' in told
    assert '"finetune"' in told


def test_an_encoder_pre_trained_on_the_recordings_that_are_judged_on_is_refused_unless_accepted(
    finetune: Run, tiles_train: Run, tone_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("dataset.store=" + str(tone_store), "dataset.window_s=2.0", "augmentation=crop", "trainer.max_steps=2")
    tiles_train("first", *same, "augmentation.steps.crop.crop_s=1.5", "callback.online_probe=null")
    pretrained = ("encoder=pretrained", "encoder.path=first", "trainer.max_steps=2")
    with pytest.raises(SystemExit) as end:
        finetune("run", *pretrained)
    assert end.value.code == 2
    assert "first saw these recordings, without labels, in pre-training" in capsys.readouterr().err
    folder = finetune("run", *pretrained, "audit.accept=[pretraining]")
    found = predictions(folder)
    assert (found.method.encoder, found.method.head, found.method.role) == ("first", "fine-tuned", "encoder")
    assert json.loads((folder / "protocol.json").read_text())["accepted"] == ["pretraining"]
    assert finetune("probe", *pretrained, "objective=probe", "audit.accept=[pretraining]").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("dataset.fold=5",), "dataset.fold = 5: the protocol has 3 folds; choose 0 to 2"),
        (
            ("objective=fusion", "objective.streams=[hnt]"),
            "objective.streams = hnt: no store has this label; did you mean",
        ),
        (("objective=fusion", "objective.streams=[tone]"), "objective.streams = tone: it is what is predicted"),
        (("objective=fusion", "objective.streams=[]"), "no streams to fuse with; give objective.streams=[heart_rate]"),
        (("objective.streams=[hint]",), "a linear head reads the ECG alone; give objective=fusion"),
        (("objective=probe", "task=synthetic_person"), "choose objective=finetune, or tiles-evaluate"),
        (("dataset=windows",), "fine-tuning needs a task's windows; give dataset=task"),
        (("objective.layer_decay=1.5",), "objective.layer_decay = 1.5: out of range"),
        (("callback.checkpoint.monitor=val/aurok",), "did you mean val/auroc?"),
        (
            ("objective=simclr", "augmentation=crop", "augmentation.steps.crop.crop_s=1.5"),
            "task = tone: SimCLR learns without labels and would not use it; give objective=finetune, probe or fusion",
        ),
        (("protocol.folds=30",), "protocol.folds = 30: tone has 12 subjects"),
    ],
)
def test_a_mistake_ends_with_one_message_and_no_folder(
    finetune: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        finetune("run", *overrides)
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert message in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_without_a_task_those_there_are_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        console.run(train.train, "train", ["objective=finetune"])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "task = null: fine-tuning needs to know what is predicted; give task=NAME, one of cinc2017_af, " in told


def test_a_run_cannot_be_resumed_on_another_fold(finetune: Run, capsys: pytest.CaptureFixture[str]) -> None:
    finetune("run", "trainer.max_steps=2")
    with pytest.raises(SystemExit) as end:
        finetune("run", "trainer.max_steps=4", "dataset.fold=1", "resume=true")
    assert end.value.code == 2
    assert "the run was trained on other subjects (fold was 0, is 1)" in capsys.readouterr().err


def test_augmentations_of_the_user_win_over_none(finetune: Run) -> None:
    folder = finetune("run", "augmentation=crop", "augmentation.steps.crop.crop_s=1.5", "trainer.max_steps=1")
    assert list(yaml.safe_load((folder / "config.yaml").read_text())["augmentation"]["steps"]) == ["crop"]
