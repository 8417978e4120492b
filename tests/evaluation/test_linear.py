"""The linear probe against the minimum of its own loss, found by SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from tiles_ecg.evaluation.head import Examples, Standardiser
from tiles_ecg.evaluation.linear import LinearProbe

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((120, 5)) * [1, 2, 3, 4, 0] + [0, 1, 2, 3, 7]).astype(np.float32)  # the last one is constant
WEIGHT = RNG.uniform(0.5, 1.5, 120)
Z = (X[:, :4] - np.average(X[:, :4], axis=0, weights=WEIGHT)) / np.sqrt(
    np.average((X[:, :4] - np.average(X[:, :4], axis=0, weights=WEIGHT)) ** 2, axis=0, weights=WEIGHT)
)
NEW = X[:9] + 0.5


def test_a_standardiser_leaves_a_constant_feature_at_zero() -> None:
    z = Standardiser.fit(X, WEIGHT)(X)
    np.testing.assert_allclose(z[:, :4], Z, atol=1e-6)
    np.testing.assert_allclose(z[:, 4], 0, atol=1e-6)


def test_a_feature_of_tiny_values_counts_as_any_other() -> None:
    tiny = np.concatenate([X, 1e-9 * X[:, :1]], axis=1)
    np.testing.assert_allclose(Standardiser.fit(tiny, WEIGHT)(tiny)[:, 5], Z[:, 0], atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", [0.1, 0.01])
def test_probabilities_are_those_of_the_minimum_of_the_penalised_loss(n_classes: int, penalty: float) -> None:
    value = (X[:, 1] + RNG.standard_normal(120) > 1).astype(np.int64) + (n_classes == 3) * (X[:, 3] > 6)

    def loss(parameters: np.ndarray) -> float:
        w, b = parameters[: 4 * n_classes].reshape(4, n_classes), parameters[4 * n_classes :]
        log_p = log_softmax(Z @ w + b, axis=1)[np.arange(120), value]
        # two classes: scikit-learn penalises the difference of the two weight vectors, once
        size = np.sum((w[:, 1] - w[:, 0]) ** 2) if n_classes == 2 else np.sum(w**2)
        return float(-(WEIGHT @ log_p) / WEIGHT.sum() + penalty / 2 * size)

    best = minimize(loss, np.zeros(5 * n_classes), tol=1e-12).x
    w, b = best[: 4 * n_classes].reshape(4, n_classes), best[4 * n_classes :]
    predict = LinearProbe("multiclass" if n_classes > 2 else "binary").fit(
        Examples(X, value, WEIGHT, n_classes), [1.0, penalty]
    )
    np.testing.assert_allclose(predict(X)[1], np.exp(log_softmax(Z @ w + b, axis=1)), atol=2e-3)


def test_a_regression_is_that_of_the_normal_equations_in_the_values_own_unit() -> None:
    value = 70 + 10 * X[:, 0].astype(float) + RNG.standard_normal(120)
    centre = np.average(value, weights=WEIGHT)
    gram = Z.T @ (WEIGHT[:, None] * Z) + 0.1 * WEIGHT.sum() * np.eye(4)
    expected = Z @ np.linalg.solve(gram, Z.T @ (WEIGHT * (value - centre))) + centre
    found = LinearProbe("regression").fit(Examples(X, value, WEIGHT, 1), [0.1])(X)[0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_every_label_of_several_is_a_probe_of_its_own() -> None:
    value = np.stack([X[:, 0] > 0, X[:, 1] > 1], axis=1).astype(np.int64)
    both = LinearProbe("multilabel").fit(Examples(X, value, WEIGHT, 2), [0.1])(NEW)[0]
    for k in range(2):
        alone = LinearProbe("binary").fit(Examples(X, value[:, k], WEIGHT, 2), [0.1])(NEW)[0]
        np.testing.assert_allclose(both[:, k], alone[:, 1])


def test_a_class_that_training_lacks_has_probability_zero() -> None:
    value = np.where(X[:, 0] > 0, 2, 0)
    score = LinearProbe("multiclass").fit(Examples(X, value, WEIGHT, 4), [0.1])(NEW)[0]
    assert (score[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(score.sum(1), 1)


def test_one_class_only_is_predicted_for_sure() -> None:
    score = LinearProbe("binary").fit(Examples(X, np.ones(120, np.int64), WEIGHT, 2), [1.0, 0.1])(NEW)
    np.testing.assert_array_equal(score[1], np.tile([0.0, 1.0], (9, 1)))


def test_a_constant_embedding_predicts_the_share_of_the_classes() -> None:
    value = (np.arange(120) < 30).astype(np.int64)
    score = LinearProbe("binary").fit(Examples(np.full((120, 3), 4, np.float32), value, np.ones(120), 2), [0.1])(
        NEW[:, :3]
    )
    np.testing.assert_allclose(score[0][:, 1], 0.25, atol=1e-3)
