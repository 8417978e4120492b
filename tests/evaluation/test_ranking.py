"""Ranking: against loops from the definition."""

import numpy as np

from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.ranking import rank


def make(kind, value, score, decision=(), classes=(), **other):
    n = len(value)
    base = {
        "method": Method("e", "linear"), "task": "t", "protocol": "0", "kind": kind, "classes": classes, "unit": "year",
        "metric": "auroc", "n_folds": 2, "example_id": np.array([f"x{i}" for i in range(n)]),
        "subject": np.array([f"s{i}" for i in range(n)]), "fold": np.zeros(n, np.int64), "seed": np.zeros(n, np.int64),
    }  # fmt: skip
    return Predictions(
        **(base | other),
        value=np.array(value),
        score=np.array(score, np.float64),
        decision=np.array(decision, np.int64),
    )


def test_a_class_is_ranked_by_the_probability_of_the_truth():
    got = rank(
        make("multiclass", [2, 0, 1], [[0.1, 0.2, 0.7], [0.3, 0.6, 0.1], [0.0, 1, 0]], [2, 1, 1], ("a", "b", "c"))
    )
    np.testing.assert_allclose(got.goodness, [0.7, 0.3, 1.0])
    assert got.is_right.tolist() == [True, False, True]
    assert got.truth.tolist() == ["c", "a", "b"]
    assert got.said.tolist() == ["c 0.70", "b 0.60", "b 1.00"]


def test_several_labels_are_ranked_by_the_mean_over_classes():
    got = rank(make("multilabel", [[1, 0], [0, 0], [1, 1]], [[0.9, 0.3], [0.5, 0.5], [0.2, 0.8]],
                    [[1, 0], [1, 0], [0, 1]], ("a", "b")))  # fmt: skip
    np.testing.assert_allclose(got.goodness, [0.8, 0.5, 0.5])
    assert got.is_right.tolist() == [True, False, False]
    assert got.stratum.tolist() == [0, 2, 1]
    assert got.truth.tolist() == ["a", "none", "a, b"]
    assert got.said.tolist() == ["a 0.90", "a 0.50", "b 0.80"]


def test_a_number_is_ranked_by_its_error():
    got = rank(make("regression", [20.0, 40.0, 60.0], [[25], [40.5], [30]]))
    np.testing.assert_allclose(got.goodness, [-5, -0.5, -30])
    assert got.stratum.tolist() == [0, 1, 2]
    assert got.truth.tolist() == ["20 year", "40 year", "60 year"]
    assert got.said.tolist() == ["25 year", "40.5 year", "30 year"]


def test_a_query_is_ranked_by_its_best_genuine_pair_over_its_best_impostor():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(5), 3)
    first, second = np.nonzero(~np.eye(15, dtype=bool))
    score = rng.normal(size=len(first))
    names, people = np.array([f"w{i:02}" for i in range(15)]), np.array([f"p{i}" for i in person])
    value = (person[first] == person[second]).astype(int)
    got = rank(
        make("verification", value, score[:, None], value, example_id=names[first], subject=people[first],
             other_id=names[second], other_subject=people[second])
    )  # fmt: skip
    assert got.example_id.tolist() == names.tolist()
    for query in range(15):
        genuine = [s for i, j, s in zip(first, second, score, strict=True) if i == query and person[j] == person[i]]
        impostor = [s for i, j, s in zip(first, second, score, strict=True) if i == query and person[j] != person[i]]
        np.testing.assert_allclose(got.goodness[query], max(genuine) - max(impostor))
        best = max((s, j) for i, j, s in zip(first, second, score, strict=True) if i == query)
        assert got.said[query] == f"p{person[best[1]]}, similarity {best[0]:.2f}"
        assert got.is_right[query] == (person[best[1]] == person[query])


def test_queries_without_a_genuine_pair_are_not_ranked():
    got = rank(
        make("verification", [0, 1, 0], [[0.1], [0.9], [0.5]], [0, 1, 0], example_id=np.array(["a", "b", "b"]),
             other_id=np.array(["b", "c", "a"]), other_subject=np.array(["q", "p", "r"]))
    )  # fmt: skip
    assert got.example_id.tolist() == ["b"]


def test_scores_that_are_not_finite_are_not_ranked():
    got = rank(make("binary", [0, 1], [[np.nan, np.nan], [0.2, 0.8]], [0, 1], ("a", "b")))
    assert got.example_id.tolist() == ["x1"]
    assert len(rank(make("regression", [1.0], [[np.inf]]))) == 0
    assert (
        len(rank(make("verification", [1], [[np.nan]], [1], other_id=np.array(["y"]), other_subject=np.array(["s"]))))
        == 0
    )
