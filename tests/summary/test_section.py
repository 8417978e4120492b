from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.summary.runs import ReportError, find_runs
from tiles_ecg.summary.section import Section, sections, spans

Fabricate = Callable[..., Any]
CONTROL = Method("untrained", "linear", "control")


def read(*folders: Path) -> list[Section]:
    return sections(find_runs(folders)[0])


def test_folds_and_seeds_of_several_runs_are_put_together(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    for fold in range(5):
        for seed in range(2):
            run_folder(tmp_path / f"{fold}-{seed}", [fabricate(folds=[fold], seed=seed)])
    (section,) = read(tmp_path)
    (entry,) = section.entries
    assert entry.is_complete
    assert (entry.n_folds, entry.n_seeds, entry.n_examples) == (5, 2, 80)
    whole = fabricate(seed=1)
    of_seed = entry.predictions.seed == 1
    by_id = dict(zip(entry.predictions.example_id[of_seed], entry.predictions.score[of_seed, 1], strict=True))
    np.testing.assert_array_equal([by_id[name] for name in whole.example_id], whole.score[:, 1])


def test_two_protocols_of_one_task_are_two_sections(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "a", [fabricate()])
    run_folder(tmp_path / "b", [fabricate(protocol="ba9876543210")], about={"seed": 1})
    found = read(tmp_path)
    assert {section.hash for section in found} == {"0123456789ab", "ba9876543210"}


def test_the_same_fold_of_a_method_predicted_twice_otherwise_is_refused_with_both_folders(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "first", [fabricate()])
    run_folder(tmp_path / "second", [fabricate(quality=2.0, folds=[3])])
    with pytest.raises(ReportError, match=r"resnet8, linear predicts fold 3 of af with seed 0.*first and .*second"):
        read(tmp_path)


def test_a_control_that_two_runs_hold_alike_is_used_once(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    control = fabricate(CONTROL)
    shuffled = np.random.default_rng(0).permutation(len(control))
    names = ("example_id", "subject", "fold", "seed", "value", "score", "decision")
    again = replace(control, **{name: getattr(control, name)[shuffled] for name in names})
    again = replace(again, score=again.score + 1e-9)
    run_folder(tmp_path / "first", [control])
    run_folder(tmp_path / "second", [again])
    (section,) = read(tmp_path)
    assert len(section.entries[0].predictions) == len(control)
    assert any("second repeats folds 0-4 of" in note and "used once" in note for note in section.notes)


def test_missing_folds_are_flagged(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> None:
    run_folder(tmp_path / "some", [fabricate(folds=[0, 1, 2])])
    run_folder(tmp_path / "one", [fabricate(CONTROL, folds=[4])])
    (section,) = read(tmp_path)
    assert [(entry.is_complete, entry.notes) for entry in section.entries] == [
        (False, ("folds 0-2 of 5",)),
        (False, ("fold 4 of 5",)),
    ]


def test_a_seed_without_all_folds_stands_back_behind_those_that_have_them(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "whole", [fabricate(seed=0)])
    run_folder(tmp_path / "part", [fabricate(seed=1, folds=[0, 1])])
    (entry,) = read(tmp_path)[0].entries
    assert entry.is_complete
    assert set(entry.predictions.seed.tolist()) == {0}
    assert entry.notes == ("seed 1 has folds 0-1 of 5 only, and is left out",)


def test_encoders_come_before_controls_and_their_linear_probe_first(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    methods = [CONTROL, Method("resnet8", "k-NN"), Method("a", "k-NN", "control"), Method("resnet8", "linear")]
    run_folder(tmp_path, [fabricate(method) for method in methods])
    order = [entry.method.title for entry in read(tmp_path)[0].entries]
    assert order == ["resnet8, linear", "resnet8, k-NN", "a, k-NN", "untrained, linear"]


def test_one_name_for_two_encoder_files_is_said(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> None:
    run_folder(tmp_path / "a", [fabricate(folds=[0, 1])], encoders={"resnet8": {"path": "x", "step": 1, "digest": "d"}})
    run_folder(tmp_path / "b", [fabricate(folds=[2])], encoders={"resnet8": {"path": "y", "step": 1, "digest": "d"}})
    assert not read(tmp_path)[0].notes  # the same file, moved
    run_folder(tmp_path / "c", [fabricate(folds=[3, 4])], encoders={"resnet8": {"path": "x", "step": 2, "digest": "e"}})
    (note,) = read(tmp_path)[0].notes
    assert "resnet8 is x at step 1 in" in note
    assert "x at step 2 in" in note


def test_regressions_and_pairs_are_put_together_too(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    number = fabricate(kind="regression", task="age")
    run_folder(tmp_path / "age", [number])
    same = (np.arange(80) % 3 == 0).astype(np.int64)
    pairs: Predictions = replace(
        fabricate(task="who", protocol="bbbb"),
        kind="verification",
        classes=("s0", "s1"),
        metric="eer",
        value=same,
        score=same[:, None] + np.linspace(0, 2, 80)[:, None],
        decision=same,
        other_id=np.array([f"o{i}" for i in range(80)]),
        other_subject=np.array([f"t{i}" for i in range(80)]),
    )
    run_folder(tmp_path / "who", [pairs])
    age, who = read(tmp_path)
    assert age.entries[0].predictions.decision.shape == (0,)
    assert who.entries[0].predictions.other_id.shape == (80,)


def test_the_majority_of_a_regression_is_called_its_mean(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    majority = Method("majority", "none", "control")
    run_folder(tmp_path / "a", [fabricate(majority, kind="regression")])
    run_folder(tmp_path / "b", [fabricate(majority, protocol="ba9876543210")])
    names = {section.about["kind"]: section.entries[0].method.title for section in sections(find_runs([tmp_path])[0])}
    assert names == {"regression": "mean", "binary": "majority"}


@pytest.mark.parametrize(
    ("numbers", "text"), [([0], "0"), ([2, 0, 1], "0-2"), ([0, 1, 2, 4], "0-2, 4"), ([1, 3], "1, 3"), ([], "")]
)
def test_spans_of_numbers_are_written_short(numbers: list[int], text: str) -> None:
    assert spans(numbers) == text
