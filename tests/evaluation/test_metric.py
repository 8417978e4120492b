"""Metrics against scikit-learn with weights, against loops from the equations, and against repeated rows."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn import metrics as sk

from tiles_ecg.evaluation.metric import (
    Metric,
    left_out,
    metric,
    metrics_of,
    primary_value,
    scored,
    undefined,
    value,
)
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.task.target import Kind, TaskError

KINDS: tuple[Kind, ...] = ("binary", "multiclass", "multilabel", "regression", "verification")
ALL = [(kind, found.name) for kind in KINDS for found in metrics_of(kind)]
WITHOUT_QUERIES = [(kind, name) for kind, name in ALL if name != "rank1"]


def predictions(kind: Kind, n: int = 60, seed: int = 0, ties: bool = True) -> Predictions:
    """Noisy predictions of 12 subjects; with ties, scores are rounded to one decimal."""
    rng = np.random.default_rng(seed)
    classes: tuple[str, ...] = ("rest", "af") if kind == "binary" else ("a", "b", "c")
    extra: dict[str, Any] = {}
    if kind == "regression":
        classes, truth = (), rng.normal(70, 12, n)
        score = (0.6 * truth + 20 + rng.normal(0, 6, n))[:, None]
        decision = np.zeros(0, np.int64)
    elif kind == "verification":
        classes, truth = (), rng.integers(2, size=n)
        score = (0.4 * truth + rng.normal(0, 0.3, n))[:, None]
        decision = (score[:, 0] > 0.2).astype(np.int64)
        extra = {"other_id": np.array([f"o{i}" for i in range(n)]), "other_subject": np.array(["s"] * n)}
    elif kind == "multilabel":
        truth = rng.integers(2, size=(n, 3))
        score = np.clip(0.3 + 0.3 * truth + rng.normal(0, 0.25, (n, 3)), 0, 1)
        decision = (score > 0.45).astype(np.int64)
    else:
        truth = rng.integers(len(classes), size=n)
        score = np.exp(np.eye(len(classes))[truth] + rng.normal(0, 0.9, (n, len(classes))))
        score /= score.sum(1, keepdims=True)
        decision = score.argmax(1)
    if ties:
        score = np.round(score, 0 if kind == "regression" else 1)
    ids = [f"q{i % 15}" if kind == "verification" else f"w{i}" for i in range(n)]
    return Predictions(
        Method("resnet8", "linear"), "task", "0" * 12, kind, classes, "", "auroc", 5, np.array(ids),
        np.array([f"s{i % 12}" for i in range(n)]), np.arange(n) % 5, np.zeros(n, np.int64), truth, score, decision,
        **extra,
    )  # fmt: skip


def taken(whole: Predictions, rows: NDArray[Any]) -> Predictions:
    """Some rows, or some of them several times."""
    names = ("example_id", "subject", "fold", "seed", "value", "score", "decision", "other_id", "other_subject")
    arrays = {name: getattr(whole, name) for name in names}
    return replace(whole, **{name: array[rows] for name, array in arrays.items() if len(array)})


def sklearn_value(kind: Kind, name: str, p: Predictions, weight: NDArray[np.float64]) -> float:
    """The same by scikit-learn; for what it does not have, a loop from the equation."""
    if kind == "regression":
        return regression_value(name, p.value, p.score[:, 0], weight)
    if kind == "verification" and name != "auroc":
        return eer_by_loop(p, weight) if name == "eer" else rank1_by_loop(p, weight)
    ranking = {"auroc": sk.roc_auc_score, "average_precision": sk.average_precision_score}
    if name in ranking and kind in ("binary", "verification"):
        return float(ranking[name](p.value, p.score[:, -1], sample_weight=weight))
    if name in ranking:
        truth = p.value if kind == "multilabel" else np.eye(3)[p.value]
        return float(np.mean([ranking[name](truth[:, k], p.score[:, k], sample_weight=weight) for k in range(3)]))
    if name == "brier":
        return float(sk.brier_score_loss(p.value, p.score[:, 1], sample_weight=weight))
    if name == "f1":
        average = "binary" if kind == "binary" else "macro"
        return float(sk.f1_score(p.value, p.decision, average=average, sample_weight=weight))
    function = {"balanced_accuracy": sk.balanced_accuracy_score, "accuracy": sk.accuracy_score}[name]
    return float(function(p.value, p.decision, sample_weight=weight))


def regression_value(name: str, y: NDArray[Any], x: NDArray[Any], weight: NDArray[np.float64]) -> float:
    if name == "mae":
        return float(sk.mean_absolute_error(y, x, sample_weight=weight))
    if name == "r2":
        return float(sk.r2_score(y, x, sample_weight=weight))
    total = sum(weight)
    mx = sum(w * a for w, a in zip(weight, x, strict=True)) / total
    my = sum(w * b for w, b in zip(weight, y, strict=True)) / total
    vx = sum(w * (a - mx) ** 2 for w, a in zip(weight, x, strict=True)) / total
    vy = sum(w * (b - my) ** 2 for w, b in zip(weight, y, strict=True)) / total
    cov = sum(w * (a - mx) * (b - my) for w, a, b in zip(weight, x, y, strict=True)) / total
    return float(2 * cov / (vx + vy + (mx - my) ** 2)) if name == "ccc" else float(cov / math.sqrt(vx * vy))


def eer_by_loop(p: Predictions, weight: NDArray[np.float64]) -> float:
    """Along the ROC of scikit-learn, the point of the first line that crosses the diagonal of equal errors."""
    false, true, _ = sk.roc_curve(p.value, p.score[:, 0], sample_weight=weight, drop_intermediate=False)
    for i in range(1, len(false)):
        before, behind = 1 - true[i - 1] - false[i - 1], 1 - true[i] - false[i]
        if behind <= 0:
            return float(false[i - 1] + before / (before - behind) * (false[i] - false[i - 1]))
    raise AssertionError("the curve ends at (1, 1)")


def rank1_by_loop(p: Predictions, weight: NDArray[np.float64]) -> float:
    above = below = 0.0
    for query in sorted(set(p.example_id)):
        rows = [i for i in range(len(p)) if p.example_id[i] == query]
        genuine = [i for i in rows if p.value[i] == 1]
        if genuine:
            best = max(p.score[i, 0] for i in rows)
            first = [i for i in rows if p.score[i, 0] == best]
            above += weight[genuine[0]] * sum(p.value[i] for i in first) / len(first)
            below += weight[genuine[0]]
    return above / below


def weights(p: Predictions, n: int, seed: int = 1) -> NDArray[np.float64]:
    """Integer multiplicities of whole subjects (verification: of queries), none of which leaves a class out."""
    rng = np.random.default_rng(seed)
    names = p.example_id if p.kind == "verification" else p.subject
    code = np.unique(names, return_inverse=True)[1]
    return rng.integers(1, 5, (n, code.max() + 1)).astype(float)[:, code]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_each_weighting_gives_what_scikit_learn_or_a_loop_gives(kind: Kind, name: str) -> None:
    p = predictions(kind)
    weight = weights(p, 7)
    found = metric(kind, name).compute(scored(p), weight)
    assert found.shape == (7,)
    assert found == pytest.approx([sklearn_value(kind, name, p, row) for row in weight], abs=1e-12)


@pytest.mark.parametrize(("kind", "name"), WITHOUT_QUERIES)
def test_a_weight_of_three_is_three_rows_and_of_zero_none(kind: Kind, name: str) -> None:
    p = predictions(kind, seed=3)
    weight = weights(p, 1)
    weight[:, p.subject == "s1"] = 0
    repeated = taken(p, np.repeat(np.arange(len(p)), weight[0].astype(int)))
    chosen = metric(kind, name)
    assert chosen.compute(scored(p), weight)[0] == pytest.approx(value(chosen, repeated), abs=1e-12)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_layout_of_the_weights_does_not_matter_and_they_stay_untouched(kind: Kind, name: str) -> None:
    p = predictions(kind)
    weight = weights(p, 5)
    before = weight.copy()
    rows = metric(kind, name).compute(scored(p), weight)
    columns = metric(kind, name).compute(scored(p), np.asfortranarray(weight))
    np.testing.assert_allclose(rows, columns, rtol=1e-12)
    np.testing.assert_array_equal(weight, before)


def test_equal_scores_count_half() -> None:
    assert primary_value("binary", "auroc", np.array([0, 1, 0, 1]), np.full(4, 0.3)) == 0.5
    assert primary_value("binary", "auroc", np.array([0, 1, 1]), np.array([0.1, 0.1, 0.9])) == 0.75


def test_the_metric_is_taken_once_over_all_folds_not_averaged_over_them() -> None:
    truth, score = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9, 0.3, 0.4])
    p = predictions("binary", n=6)
    p = replace(p, value=truth, score=np.stack([1 - score, score], 1), fold=np.array([0, 0, 1, 1, 1, 1]))
    by_fold = [sk.roc_auc_score(truth[:2], score[:2]), sk.roc_auc_score(truth[2:], score[2:])]
    assert value(metric("binary", "auroc"), p) == pytest.approx(sk.roc_auc_score(truth, score))
    assert value(metric("binary", "auroc"), p) != pytest.approx(np.mean(by_fold))


def test_the_value_of_several_seeds_is_the_mean_of_theirs() -> None:
    first, second = predictions("binary", seed=0), predictions("binary", seed=5)
    both = taken(first, np.arange(60).repeat(2))
    is_second = np.arange(120) % 2 == 1
    seed, truth, score = is_second.astype(int), both.value.copy(), both.score.copy()
    truth[is_second], score[is_second] = second.value, second.score
    chosen = metric("binary", "average_precision")
    found = value(chosen, replace(both, seed=seed, value=truth, score=score))
    assert found == pytest.approx((value(chosen, first) + value(chosen, second)) / 2)
    assert found != pytest.approx(value(chosen, replace(both, value=truth, score=score)), abs=1e-4)


def test_a_class_that_nobody_has_is_left_out_of_the_mean_and_named() -> None:
    p = predictions("multiclass")
    p = taken(p, np.flatnonzero(p.value != 1))
    expected = np.mean([sk.roc_auc_score(p.value == k, p.score[:, k]) for k in (0, 2)])
    assert value(metric("multiclass", "auroc"), p) == pytest.approx(expected)
    recall = np.mean([np.mean(p.decision[p.value == k] == k) for k in (0, 2)])
    assert value(metric("multiclass", "balanced_accuracy"), p) == pytest.approx(recall)
    assert left_out(metric("multiclass", "auroc"), p) == "mean over 2 of 3 classes, without b"
    assert left_out(metric("multiclass", "accuracy"), p) is None
    assert left_out(metric("multiclass", "auroc"), predictions("multiclass")) is None


def test_a_label_that_everybody_has_has_no_auroc_but_an_f1() -> None:
    p = predictions("multilabel")
    truth = p.value.copy()
    truth[:, 2] = 1
    p = replace(p, value=truth)
    assert left_out(metric("multilabel", "auroc"), p) == "mean over 2 of 3 classes, without c"
    assert left_out(metric("multilabel", "f1"), p) is None
    assert value(metric("multilabel", "f1"), p) == pytest.approx(sk.f1_score(truth, p.decision, average="macro"))


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in ALL if k in ("binary", "multiclass")])
def test_a_resample_without_a_class_is_nan_and_not_zero(kind: Kind, name: str) -> None:
    p = predictions(kind)
    weight = np.stack([np.ones(60), (p.value != 1).astype(float)])
    found = metric(kind, name).compute(scored(p), weight)
    assert np.isfinite(found[0])
    assert np.isfinite(found[1]) == (name in ("brier", "accuracy"))


@pytest.mark.parametrize("name", [found.name for found in metrics_of("regression")])
def test_a_resample_of_one_value_has_an_error_and_no_agreement(name: str) -> None:
    p = predictions("regression")
    truth = np.where(np.arange(60) < 20, 71.3, p.value)
    found = metric("regression", name).compute(
        scored(replace(p, value=truth)), (np.arange(60) < 20).astype(float)[None]
    )
    assert np.isfinite(found[0]) == (name == "mae")


def test_large_means_do_not_swallow_small_variances() -> None:
    p = predictions("regression", ties=False)
    far = replace(p, value=p.value + 1e9, score=p.score + 1e9)
    for name, tolerance in (("ccc", 1e-5), ("r2", 1e-5), ("pearson", 1e-5), ("mae", 1e-5)):
        assert value(metric("regression", name), far) == pytest.approx(
            value(metric("regression", name), p), abs=tolerance
        )
    assert value(metric("regression", "pearson"), p) == pytest.approx(pearsonr(p.value, p.score[:, 0])[0], abs=1e-12)


def test_a_constant_prediction_has_a_concordance_of_zero_and_no_correlation() -> None:
    p = predictions("regression")
    p = replace(p, score=np.full((60, 1), 71.1))
    assert value(metric("regression", "ccc"), p) == pytest.approx(0, abs=1e-12)
    assert undefined(metric("regression", "ccc"), p) is None
    assert math.isnan(value(metric("regression", "pearson"), p))
    assert undefined(metric("regression", "pearson"), p) == "all predictions are equal"


def test_perfect_and_reversed_similarities_have_equal_error_rates_of_zero_and_one() -> None:
    same = np.array([1, 1, 0, 0])
    assert primary_value("verification", "eer", same, np.array([0.9, 0.8, 0.3, 0.2])) == 0
    assert primary_value("verification", "eer", same, np.array([0.1, 0.2, 0.8, 0.9])) == 1
    assert primary_value("verification", "eer", same, np.full(4, 0.5)) == 0.5


def test_constant_similarities_rank_at_chance() -> None:
    same, query = np.array([1, 0, 0, 0, 1, 0, 0, 0]), np.repeat([0, 1], 4)
    assert primary_value("verification", "rank1", same, np.zeros(8), query=query) == 0.25


def test_candidates_of_a_query_stay_when_their_subject_is_not_drawn() -> None:
    p = predictions("verification", n=3)
    p = replace(p, example_id=np.array(["q"] * 3), value=np.array([1, 0, 0]), score=np.array([[0.5], [0.9], [0.1]]))
    assert metric("verification", "rank1").compute(scored(p), np.array([[1.0, 0.0, 1.0]])).tolist() == [0.0]


def test_a_metric_that_is_not_defined_says_why() -> None:
    one = taken(predictions("binary"), np.flatnonzero(predictions("binary").value == 0))
    for name in ("auroc", "average_precision", "balanced_accuracy", "f1"):
        assert undefined(metric("binary", name), one) == f"all {len(one)} examples are of class rest"
    assert undefined(metric("binary", "brier"), one) is None
    flat = replace(predictions("regression"), value=np.full(60, 70.0), unit="bpm")
    assert undefined(metric("regression", "r2"), flat) == "all values are 70 bpm"
    empty = taken(predictions("binary"), np.zeros(0, np.int64))
    assert undefined(metric("binary", "auroc"), empty) == "there are no predictions"
    assert math.isnan(value(metric("binary", "auroc"), empty))
    pairs = predictions("verification")
    lone = replace(pairs, value=np.zeros(60, np.int64))
    for name in ("eer", "rank1", "auroc"):
        assert undefined(metric("verification", name), lone) == "no pair is of one subject"
        alike = replace(pairs, value=np.ones(60, np.int64))
        assert undefined(metric("verification", name), alike) == "no pair is of two subjects"
    bare = replace(predictions("multilabel"), value=np.zeros((60, 3), np.int64))
    for found in metrics_of("multilabel"):
        assert undefined(found, bare) == "no class has both examples with it and examples without"


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_predictions_that_are_not_numbers_have_no_value(kind: Kind, name: str) -> None:
    p = predictions(kind)
    score = p.score.copy()
    score[3] = np.nan
    chosen = metric(kind, name)
    assert math.isnan(value(chosen, replace(p, score=score)))
    assert undefined(chosen, replace(p, score=score)) == "1 of 60 predictions are not finite numbers"


@pytest.mark.parametrize(("kind", "name"), WITHOUT_QUERIES)
def test_arrays_give_what_predictions_give(kind: Kind, name: str) -> None:
    p = predictions(kind)
    found = primary_value(kind, name, p.value, p.score, decision=p.decision)
    assert found == value(metric(kind, name), p)


def test_arrays_without_decisions_are_decided_by_the_most_probable_class() -> None:
    p = predictions("multiclass")
    assert primary_value("multiclass", "accuracy", p.value, p.score) == np.mean(p.score.argmax(1) == p.value)
    assert primary_value("binary", "balanced_accuracy", np.array([0, 1]), np.array([0.2, 0.7])) == 1


def test_an_unknown_metric_is_answered_with_those_of_the_kind() -> None:
    with pytest.raises(TaskError, match=r"task.metric = mae: no metric of a binary task; choose one of auroc, .*brier"):
        metric("binary", "mae")
    with pytest.raises(TaskError, match="rank1 needs to know which pairs share a query"):
        primary_value("verification", "rank1", np.array([0, 1]), np.array([0.1, 0.2]))


def test_errors_and_distances_are_better_low() -> None:
    def low(found: Metric) -> bool:
        return not found.higher_is_better

    assert {found.name for kind in KINDS for found in filter(low, metrics_of(kind))} == {"brier", "mae", "eer"}
