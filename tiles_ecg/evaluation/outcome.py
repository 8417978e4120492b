"""Outcomes: outputs for windows -> what is compared with the truth, by example or by pair, once for all of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.loader import spread
from tiles_ecg.evaluation.metric import metric, primary_value
from tiles_ecg.evaluation.verification import pairs_among
from tiles_ecg.task.target import Target

MOST_COMPARED = 500
"""Windows of which all pairs are compared, evenly spread where there are more: a quarter of a million pairs."""


@dataclass(frozen=True)
class Outcome:
    """What a model said, beside the truth.

    Attributes:
        target: What was predicted.
        examples: (m,) int64 that were judged; for `verification` the first of each pair.
        others: (m,) int64, the second of each pair; empty else.
        value: (m,) or (m, K) the truth; for `verification` 1 where both are of one subject.
        score: (m, K) probabilities, (m, 1) numbers or similarities.
        n_left_out: Examples that were too many to be compared.
    """

    target: Target
    examples: NDArray[np.int64]
    others: NDArray[np.int64]
    value: NDArray[Any]
    score: NDArray[np.float64]
    n_left_out: int = 0

    @property
    def primary(self) -> float:
        """The task's metric, computed once over everything; NaN where it is not defined."""
        query = self.examples if self.target.kind == "verification" else None
        if not len(self.value):
            return float("nan")
        return primary_value(self.target.kind, self.target.metric, self.value, self.score, query=query)

    @property
    def worth(self) -> float:
        """The metric, signed so that more is better."""
        return self.primary if metric(self.target.kind, self.target.metric).higher_is_better else -self.primary

    @property
    def is_definable(self) -> bool:
        """Whether a perfect prediction of these examples has a value: their truth is not all the same."""
        if not len(self.value):
            return False
        value, kind = self.value, self.target.kind
        if kind in ("binary", "multiclass"):
            perfect = np.eye(self.target.n_outputs)[value]
        else:
            perfect = value.reshape(len(value), -1).astype(np.float64)
        query = self.examples if kind == "verification" else None
        return bool(np.isfinite(primary_value(kind, self.target.metric, value, perfect, query=query)))


def outcome(target: Target, output: NDArray[Any], windows: NDArray[np.int64]) -> Outcome:
    """Pool outputs to examples, and pair these where a task compares them.

    Args:
        target: What is predicted.
        output: (n, K) probabilities or numbers; (n, D) embeddings for `verification`, compared by cosine.
        windows: (n,) positions in `target.row`, in any order.
    """
    examples, pooled = target.pool(output, windows)
    if target.kind != "verification":
        return Outcome(target, examples, np.zeros(0, np.int64), target.value[examples], pooled)
    compared = spread(np.arange(len(examples)), MOST_COMPARED)
    pairs = pairs_among(examples[compared], target.subject, target.recording)
    unit = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
    first, second = (np.searchsorted(examples, side) for side in (pairs.first, pairs.second))
    score = np.einsum("pd,pd->p", unit[first], unit[second])[:, None]
    return Outcome(target, pairs.first, pairs.second, pairs.is_same, score, len(examples) - len(compared))
