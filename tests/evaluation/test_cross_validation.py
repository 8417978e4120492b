"""Nested cross-validation against plain scikit-learn; and fitting or choosing by the test fold is found."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tiles_ecg.evaluation import cross_validation
from tiles_ecg.evaluation.audit import LeakError
from tiles_ecg.evaluation.controls import majority
from tiles_ecg.evaluation.cross_validation import cross_validate, decide, thresholds
from tiles_ecg.evaluation.head import Predictor
from tiles_ecg.evaluation.linear import PENALTIES, LinearProbe
from tiles_ecg.evaluation.neighbours import NearestNeighbours
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.protocol import Plan

ME = Method("mine", "linear")


def windows(plan: Plan, examples: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(plan.target.example, examples))


def pooled(plan: Plan, output: NDArray[Any], at: NDArray[np.int64], examples: NDArray[np.int64]) -> NDArray[Any]:
    return np.array([output[plan.target.example[at] == e].mean(0) for e in examples])


def by_scikit_learn(x: NDArray[np.float32], plan: Plan) -> tuple[NDArray[Any], NDArray[Any]]:
    """Truth and score of all examples, by nested loops of scikit-learn's own parts."""
    target = plan.target
    is_number = target.kind == "regression"
    truth, scores = [], []
    for fold in plan.folds:
        worth = []
        for penalty in PENALTIES:
            known, said = [], []
            for train, validation in fold.inner:
                known.append(target.value[validation])
                said.append(predicted(x, plan, train, validation, penalty))
            a, b = np.concatenate(known), np.concatenate(said)
            worth.append(-mean_absolute_error(a, b) if is_number else roc_auc_score(a, b))
        best = PENALTIES[int(np.argmax(worth))]
        truth.append(target.value[fold.test])
        scores.append(predicted(x, plan, fold.train, fold.test, best))
    return np.concatenate(truth), np.concatenate(scores)


def predicted(
    x: NDArray[np.float32], plan: Plan, train: NDArray[np.int64], new: NDArray[np.int64], penalty: float
) -> NDArray[Any]:
    target = plan.target
    at, to = windows(plan, train), windows(plan, new)
    value = target.value[target.example[at]]
    if target.kind == "regression":
        centre, spread = value.mean(), value.std()
        model = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(at))).fit(x[at], (value - centre) / spread)
        output = model.predict(x[to]) * spread + centre
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (penalty * len(at)), max_iter=2000))
        output = model.fit(x[at], value).predict_proba(x[to])[:, 1]
    return pooled(plan, output, to, new)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_numbers_are_those_of_plain_scikit_learn(make_plan: Any, kind: str) -> None:
    x, plan = make_plan(kind)
    found = cross_validate(x, plan, LinearProbe(kind), ME)  # type: ignore[arg-type]
    truth, score = by_scikit_learn(x, plan)
    np.testing.assert_array_equal(found.value, truth)
    np.testing.assert_allclose(found.score[:, -1], score, atol=2e-3)
    if kind == "binary":
        assert roc_auc_score(truth, found.score[:, 1]) == pytest.approx(roc_auc_score(truth, score), abs=2e-3)
        assert roc_auc_score(truth, score) > 0.8


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("head", [LinearProbe, NearestNeighbours])
def test_every_example_is_predicted_once_by_every_head(make_plan: Any, kind: Any, head: Any) -> None:
    x, plan = make_plan(kind)
    found = cross_validate(x, plan, head(kind), ME)
    assert sorted(found.example_id) == sorted(plan.target.example_id)
    assert found.score.shape == (80, plan.target.n_outputs)
    assert np.isfinite(found.score).all()
    assert (found.fold == [next(i for i, f in enumerate(plan.folds) if plan.target.example_id.index(e) in f.test)
                           for e in found.example_id]).all()  # fmt: skip
    assert any("chosen in the folds" in note for note in found.notes)


def test_labels_without_a_signal_are_not_predicted(make_plan: Any) -> None:
    x, plan = make_plan(n_subjects=200, signal=0.0)
    x = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    found = cross_validate(x, plan, LinearProbe("binary"), ME)
    assert 0.35 < roc_auc_score(found.value, found.score[:, 1]) < 0.65


def test_a_normalisation_by_all_windows_is_found(make_plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, plan = make_plan()
    true_fit = cross_validation._fit

    def careless(hidden: Any, value: Any, target: Any, head: Any, examples: Any, settings: Any) -> Predictor:
        return true_fit(hidden - hidden.mean(0), value, target, head, examples, settings)

    cross_validate(x, plan, NearestNeighbours("binary"), ME)
    monkeypatch.setattr(cross_validation, "_fit", careless)
    with pytest.raises(LeakError, match="saw the test fold"):
        cross_validate(x, plan, NearestNeighbours("binary"), ME)


def test_a_setting_chosen_on_the_test_fold_is_found(make_plan: Any) -> None:
    """Inner folds that hold the test fold: it is blanked out, so that nothing can be chosen by it."""
    x, plan = make_plan()
    leaking = [replace(fold, inner=((fold.train, fold.test),)) for fold in plan.folds]
    with pytest.raises(LeakError, match="saw the test fold"):
        cross_validate(x, plan, LinearProbe("binary"), ME, leaking)


def test_training_on_the_test_fold_is_found(make_plan: Any) -> None:
    x, plan = make_plan()
    everyone = np.arange(80)
    leaking = [replace(fold, train=everyone) for fold in plan.folds]
    with pytest.raises(LeakError, match="what linear was fitted on saw the test fold"):
        cross_validate(x, plan, LinearProbe("binary"), ME, leaking)


def test_the_threshold_is_where_sensitivity_and_specificity_are_best_together() -> None:
    value = np.array([0, 0, 0, 0, 1, 0, 1, 1])
    score = np.array([0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7])
    cut = thresholds("binary", value, np.stack([1 - score, score], axis=1))[1]
    gains = {c: np.mean(score[value == 1] >= c) + np.mean(score[value == 0] < c) for c in score}
    assert gains[cut] == max(gains.values())
    assert decide("binary", np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([0, cut])).tolist() == [0, 1]


def test_a_class_that_does_not_vary_keeps_the_threshold_of_one_half() -> None:
    assert thresholds("binary", np.zeros(4, int), np.random.default_rng(0).random((4, 2)))[1] == 0.5


def test_the_majority_says_the_same_of_everyone(make_plan: Any) -> None:
    _, plan = make_plan()
    found = majority(plan)
    assert found is not None
    assert len(np.unique(found.score[:, 1])) == 1
    assert roc_auc_score(found.value, found.score[:, 1]) == 0.5
    assert sorted(found.example_id) == sorted(plan.target.example_id)


def test_the_mean_of_a_regression_is_that_of_the_training_subjects(make_plan: Any) -> None:
    _, plan = make_plan("regression")
    found = majority(plan)
    assert found is not None
    for number, fold in enumerate(plan.folds):
        np.testing.assert_allclose(found.score[found.fold == number], plan.target.value[fold.train].mean())


def test_a_verification_has_no_majority(make_plan: Any) -> None:
    assert majority(make_plan("verification", level="window")[1]) is None
