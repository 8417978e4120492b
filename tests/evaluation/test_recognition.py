"""Re-identification: pairs among held-out people, against a loop."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tiles_ecg.evaluation.audit import LeakError
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.evaluation.recognition import recognise
from tiles_ecg.evaluation.verification import Cosine, WithinWhitening

ME = Method("mine", "k-NN")


def test_pairs_are_of_two_recordings_of_the_same_fold(make_plan: Any) -> None:
    x, plan = make_plan("verification", level="window")
    found = recognise(x, plan, Cosine(), ME)
    fold_of = {plan.target.example_id[e]: n for n, fold in enumerate(plan.folds) for e in fold.test}
    assert len(found) == sum(len(fold.test) * (len(fold.test) - 1) for fold in plan.folds)
    for first, second, fold in zip(found.example_id, found.other_id, found.fold, strict=True):
        assert first != second
        assert fold_of[first] == fold_of[second] == fold
    assert (found.value == (found.subject == found.other_subject)).all()


def test_similarities_are_cosines_after_standardising_by_the_training_people(make_plan: Any) -> None:
    x, plan = make_plan("verification", level="window")
    found = recognise(x, plan, Cosine(), ME)
    fold = plan.folds[0]
    mean, scale = x[fold.train].mean(0), x[fold.train].std(0)
    ids = list(plan.target.example_id)
    for row in np.flatnonzero(found.fold == 0)[:20]:
        a, b = ((x[ids.index(name[row])] - mean) / scale for name in (found.example_id, found.other_id))
        assert found.score[row, 0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-4)


@pytest.mark.parametrize("similarity", [Cosine(), WithinWhitening()])
def test_people_are_told_apart_by_what_is_theirs(make_plan: Any, similarity: Any) -> None:
    x, plan = make_plan("verification", level="window")
    found = recognise(x, plan, similarity, ME)
    same, other = found.score[found.value == 1, 0], found.score[found.value == 0, 0]
    assert np.mean(same[:, None] > other[None, :]) > 0.95
    assert found.decision[found.value == 1].mean() > 0.7 > 0.3 > found.decision[found.value == 0].mean()
    assert "the 8 people in its test fold" in found.notes[0]


def test_fitting_that_saw_the_test_people_is_found(make_plan: Any) -> None:
    x, plan = make_plan("verification", level="window")
    everyone = np.arange(len(plan.group))
    with pytest.raises(LeakError, match="saw the test fold"):
        recognise(x, plan, Cosine(), ME, [replace(fold, train=everyone) for fold in plan.folds])


def test_choosing_by_the_test_people_is_found(make_plan: Any) -> None:
    x, plan = make_plan("verification", level="window")
    leaking = [replace(fold, inner=((fold.train, fold.test),)) for fold in plan.folds]
    with pytest.raises(LeakError, match="saw the test fold"):
        recognise(x, plan, WithinWhitening(), ME, leaking)
