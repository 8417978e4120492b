"""Linear probes: logistic regression for classes and labels, ridge regression for numbers."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from tiles_ecg.evaluation.head import Examples, Predictor, Standardiser
from tiles_ecg.task.target import Kind

PENALTIES = (1.0, 0.1, 1e-2, 1e-3, 1e-4)
"""L2 penalties relative to the mean loss of an example, from stiff to loose."""
MOST_ITERATIONS = 300


class LinearProbe:
    """L2-penalised linear model on standardised embeddings; its penalty is chosen on inner folds.

    Logistic regression (softmax for several classes, one against the rest for several labels) without class weights, so
    that its probabilities mean what they say; ridge regression for numbers.

    Args:
        kind: Of the task.
        settings: Penalties, in descending order: each fit begins where the one before ended.
    """

    name = "linear"
    setting = "penalties"

    def __init__(self, kind: Kind, settings: Sequence[float] = PENALTIES) -> None:
        self.kind = kind
        self.settings = settings

    def fit(self, examples: Examples, settings: Sequence[float]) -> Predictor:
        """Fit with each penalty."""
        standardise = Standardiser.fit(examples.x, examples.weight)
        x = standardise(examples.x)
        if self.kind == "regression":
            models = [_ridge(x, examples, penalty) for penalty in settings]
        elif self.kind == "multilabel":
            columns = [
                _logistic(x, examples.value[:, k], examples.weight, 2, settings) for k in range(examples.n_outputs)
            ]
            models = [_join([column[i] for column in columns]) for i in range(len(settings))]
        else:
            models = _logistic(x, examples.value, examples.weight, examples.n_outputs, settings)

        def predict(new: NDArray[np.float32]) -> list[NDArray[np.float64]]:
            z = standardise(new)
            return [model(z) for model in models]

        return predict


def _ridge(x: NDArray[np.float64], examples: Examples, penalty: float) -> Any:
    total = examples.weight.sum()
    centre = float(examples.weight @ examples.value / total)
    spread = float(np.sqrt(examples.weight @ (examples.value - centre) ** 2 / total)) or 1.0
    model = Ridge(alpha=penalty * total).fit(x, (examples.value - centre) / spread, sample_weight=examples.weight)
    return lambda z: model.predict(z)[:, None] * spread + centre


def _logistic(
    x: NDArray[np.float64], value: NDArray[np.int64], weight: NDArray[np.float64], n: int, settings: Sequence[float]
) -> list[Any]:
    """A function z -> (m, n) probabilities for each penalty; a class without examples has probability 0."""
    present = np.unique(value)
    if len(present) == 1:
        return [lambda z: np.tile(np.arange(n) == present[0], (len(z), 1)).astype(float)] * len(settings)
    models = []
    start: Any = None
    for penalty in settings:
        model = LogisticRegression(C=1 / (penalty * weight.sum()), max_iter=MOST_ITERATIONS, warm_start=True)
        if start is not None:
            model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a loose penalty that has not converged is no worse
            start = model.fit(x, value, sample_weight=weight)
        models.append(_probabilities(model, present, n))
    return models


def _probabilities(model: Any, present: NDArray[np.int64], n: int) -> Any:
    def predict(z: NDArray[np.float64]) -> NDArray[np.float64]:
        score = np.zeros((len(z), n))
        score[:, present] = model.predict_proba(z)
        return score

    return predict


def _join(columns: list[Any]) -> Any:
    """One function z -> (m, K) from one of two columns for each label."""
    return lambda z: np.stack([column(z)[:, 1] for column in columns], axis=1)
