"""The tables of one fold, against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from tiles_ecg.evaluation.fold_table import CLASS_COLUMNS, METRIC_COLUMNS, class_rows, metric_rows
from tiles_ecg.evaluation.predictions import Method, Predictions


def made(kind: Any, value: Any, score: Any, decision: Any, classes: tuple[str, ...], metric: str) -> Predictions:
    n = len(value)
    return Predictions(
        Method("mine", "fine-tuned"), "t", "0123456789ab", kind, classes, "", metric, 5, np.arange(n).astype(str),
        np.array([f"s{i // 3}" for i in range(n)]), np.full(n, 2), np.full(n, 7), value, score, decision,
    )  # fmt: skip


@pytest.fixture
def three_classes() -> Predictions:
    draw = np.random.default_rng(0)
    value, score = draw.integers(0, 3, 60), draw.dirichlet(np.ones(3), 60)
    return made("multiclass", value, score, score.argmax(1), ("a", "b", "c"), "auroc")


def test_every_metric_of_the_kind_has_a_row_and_one_decides(three_classes: Predictions) -> None:
    rows = [dict(zip(METRIC_COLUMNS, row, strict=True)) for row in metric_rows(three_classes)]
    (deciding,) = (row for row in rows if row["decides"])
    expected = roc_auc_score(three_classes.value, three_classes.score, multi_class="ovr")
    assert (deciding["metric"], deciding["value"]) == ("auroc", pytest.approx(expected))
    assert {(row["task"], row["encoder"], row["head"], row["fold"], row["seed"]) for row in rows} == {
        ("t", "mine", "fine-tuned", 2, 7)
    }
    assert {(row["n_examples"], row["n_subjects"]) for row in rows} == {(60, 20)}


def test_classes_are_judged_one_against_the_rest(three_classes: Predictions) -> None:
    truth, said = three_classes.value, three_classes.decision
    for k, line in enumerate(class_rows(three_classes)):
        row = dict(zip(CLASS_COLUMNS, line, strict=True))
        assert (row["class"], row["n_examples"], row["n_predicted"]) == ("abc"[k], sum(truth == k), sum(said == k))
        assert row["n_subjects"] == len(set(three_classes.subject[truth == k]))
        assert row["sensitivity"] == pytest.approx(recall_score(truth == k, said == k))
        assert row["specificity"] == pytest.approx(recall_score(truth != k, said != k))
        assert row["precision"] == pytest.approx(precision_score(truth == k, said == k))
        assert row["f1"] == pytest.approx(f1_score(truth == k, said == k))


def test_several_labels_of_a_window_are_judged_each() -> None:
    value, said = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[1, 1], [0, 1], [0, 0]])
    rows = class_rows(made("multilabel", value, said * 0.8, said, ("S", "V"), "auroc"))
    assert [row[1:5] for row in rows] == [[2, 1, 1, 0.5], [1, 1, 2, 1.0]]


def test_what_is_not_defined_is_none() -> None:
    value, score = np.zeros(4, np.int64), np.tile([0.9, 0.1], (4, 1))
    found = made("binary", value, score, np.zeros(4, np.int64), ("rest", "af"), "auroc")
    of = {row[METRIC_COLUMNS.index("metric")]: row[METRIC_COLUMNS.index("value")] for row in metric_rows(found)}
    assert of["auroc"] is None
    assert class_rows(found)[1] == ["af", 0, 0, 0, None, None, 1.0, None]


def test_numbers_have_no_classes() -> None:
    value = np.arange(6.0)
    found = made("regression", value, value[:, None] + 1, np.zeros(0, np.int64), (), "mae")
    assert class_rows(found) == []
    assert dict(zip(METRIC_COLUMNS, metric_rows(found)[0], strict=True))["value"] == pytest.approx(1)
