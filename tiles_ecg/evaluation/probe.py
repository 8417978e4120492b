"""Probe: the head that a task of some kind and a method's name ask for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tiles_ecg.evaluation.cross_validation import cross_validate
from tiles_ecg.evaluation.linear import LinearProbe
from tiles_ecg.evaluation.neighbours import NearestNeighbours
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.recognition import recognise
from tiles_ecg.evaluation.verification import Cosine, WithinWhitening
from tiles_ecg.protocol import Fold, Plan


def probe(
    x: NDArray[np.float32], plan: Plan, method: Method, folds: Sequence[Fold] | None = None, seed: int = 0
) -> Predictions:
    """Nested cross-validation of `method.head` (`linear` or `k-NN`) on frozen embeddings.

    Args:
        x: (N, D) embeddings or features of the windows of `plan.target`.
        plan: Who is trained on, chosen by and judged on.
        method: What to call it; its head decides what is fitted.
        folds: Instead of those of the plan: with fewer labels.
        seed: Of the encoder, where several are put together.
    """
    with threadpool_limits(
        1
    ):  # matrices of some thousand rows: threads wait for each other 15 times longer than they work
        return _probe(x, plan, method, folds, seed)


def _probe(x: NDArray[np.float32], plan: Plan, method: Method, folds: Sequence[Fold] | None, seed: int) -> Predictions:
    is_linear = method.head == "linear"
    if plan.target.kind == "verification":
        return recognise(x, plan, WithinWhitening() if is_linear else Cosine(), method, folds, seed)
    kind = plan.target.kind
    return cross_validate(x, plan, LinearProbe(kind) if is_linear else NearestNeighbours(kind), method, folds, seed)
