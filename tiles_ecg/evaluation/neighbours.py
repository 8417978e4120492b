"""k-NN: what the nearest training windows are, by cosine similarity of standardised embeddings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.head import Examples, Predictor, Standardiser
from tiles_ecg.task.target import Kind

NEIGHBOURS = (1.0, 5.0, 20.0, 50.0, 100.0)
AT_ONCE = 512
"""New windows that are compared together with all training windows."""


class NearestNeighbours:
    """Weighted vote, or mean, of the nearest training windows; their number is chosen on inner folds.

    Args:
        kind: Of the task.
        settings: Numbers of neighbours; more than there are windows means all.
    """

    name = "k-NN"
    setting = "numbers of neighbours"

    def __init__(self, kind: Kind, settings: Sequence[float] = NEIGHBOURS) -> None:
        self.kind = kind
        self.settings = settings

    def fit(self, examples: Examples, settings: Sequence[float]) -> Predictor:
        """Keep the training windows."""
        standardise = Standardiser.fit(examples.x, examples.weight)
        known = unit_rows(standardise(examples.x))
        votes = _votes(self.kind, examples)
        counts = [min(int(k), len(known)) for k in settings]

        def predict(new: NDArray[np.float32]) -> list[NDArray[np.float64]]:
            z = unit_rows(standardise(new))
            blocks = [
                _means(z[at : at + AT_ONCE], known, votes, examples.weight, counts) for at in range(0, len(z), AT_ONCE)
            ]
            return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]

        return predict


def unit_rows(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows of length 1, or 0 where they were 0."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(length == 0, 1.0, length)).astype(np.float32)


def _votes(kind: Kind, examples: Examples) -> NDArray[np.float64]:
    """(n, K) what each training window speaks for."""
    if kind == "regression":
        return np.asarray(examples.value, np.float64)[:, None]
    if kind == "multilabel":
        return np.asarray(examples.value, np.float64)
    return np.asarray(examples.value[:, None] == np.arange(examples.n_outputs), np.float64)


def _means(
    z: NDArray[np.float32],
    known: NDArray[np.float32],
    votes: NDArray[Any],
    weight: NDArray[np.float64],
    counts: list[int],
) -> list[NDArray[np.float64]]:
    similarity = z @ known.T
    most = max(counts)
    near = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(similarity, near, axis=1), axis=1, kind="stable")
    near = np.take_along_axis(near, order, axis=1)  # (m, most), the nearest first
    found = []
    for count in counts:
        chosen = near[:, :count]
        share = weight[chosen] / weight[chosen].sum(1, keepdims=True)
        mean = np.einsum("mk,mkc->mc", share, votes[chosen])
        found.append(np.where(np.isfinite(similarity).all(1, keepdims=True), mean, np.nan))
    return found
