"""Ranking: how well each example was predicted, and what was said of it, in words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.predictions import Predictions

N_PARTS = 3
"""Of the range of a regression's truth, that the best are taken from in turn."""


@dataclass(frozen=True)
class Ranking:
    """Examples (verification: queries) with a finite score.

    Attributes:
        example_id: (E,) str.
        subject: (E,) str.
        goodness: (E,) float64, higher is better: the probability of the truth (multilabel: mean over classes), minus
            the absolute error, or the similarity of the best genuine pair minus that of the best impostor.
        is_right: (E,) bool: whether the decision is the truth; True for a regression.
        stratum: (E,) int64: the class; the rarest one of several; the third of a regression's range.
        truth: (E,) str.
        said: (E,) str.
    """

    example_id: NDArray[Any]
    subject: NDArray[Any]
    goodness: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    stratum: NDArray[np.int64]
    truth: NDArray[Any]
    said: NDArray[Any]

    def __len__(self) -> int:
        return len(self.example_id)


def rank(predictions: Predictions) -> Ranking:
    """Rank the examples of one seed, each of which occurs once."""
    if predictions.kind == "verification":
        return _rank_queries(predictions)
    kept = np.flatnonzero(np.isfinite(predictions.score).all(1))
    value, score = predictions.value[kept], predictions.score[kept]
    if predictions.kind == "regression":
        goodness = -np.abs(value - score[:, 0])
        is_right = np.ones(len(kept), bool)
        edges = np.quantile(value, np.linspace(0, 1, N_PARTS + 1)[1:-1]) if len(kept) else np.zeros(0)
        stratum = np.searchsorted(edges, value, side="right")
        truth = [_number(x, predictions.unit) for x in value]
        said = [_number(x, predictions.unit) for x in score[:, 0]]
    elif predictions.kind == "multilabel":
        decision = predictions.decision[kept]
        goodness = np.where(value == 1, score, 1 - score).mean(1)
        is_right = (decision == value).all(1)
        stratum = _rarest(value)
        truth = [_listed(predictions.classes, row) for row in value]
        said = [_listed(predictions.classes, row, p) for row, p in zip(decision, score, strict=True)]
    else:
        decision = predictions.decision[kept]
        goodness = score[np.arange(len(kept)), value]
        is_right, stratum = decision == value, value
        truth = [predictions.classes[code] for code in value]
        said = [f"{predictions.classes[code]} {p[code]:.2f}" for code, p in zip(decision, score, strict=True)]
    return Ranking(
        predictions.example_id[kept], predictions.subject[kept], np.asarray(goodness, np.float64), is_right,
        np.asarray(stratum, np.int64), np.array(truth, np.str_), np.array(said, np.str_),
    )  # fmt: skip


def _rank_queries(predictions: Predictions) -> Ranking:
    """Queries with a genuine pair and an impostor."""
    score = predictions.score[:, 0]
    kept = np.flatnonzero(np.isfinite(score))
    names, query = np.unique(predictions.example_id[kept], return_inverse=True)
    is_genuine = predictions.value[kept] == 1
    genuine, impostor = np.full(len(names), -np.inf), np.full(len(names), -np.inf)
    np.maximum.at(genuine, query[is_genuine], score[kept][is_genuine])
    np.maximum.at(impostor, query[~is_genuine], score[kept][~is_genuine])
    order = np.lexsort((-score[kept], query))
    first = kept[order[np.unique(query[order], return_index=True)[1]]]  # the most similar pair of each query
    known = np.flatnonzero(np.isfinite(genuine) & np.isfinite(impostor))
    first = first[known]
    goodness = genuine[known] - impostor[known]
    subject = predictions.subject[first]
    said = [f"{predictions.other_subject[at]}, similarity {score[at]:.2f}" for at in first]
    return Ranking(
        names[known], subject, goodness, goodness > 0, np.zeros(len(known), np.int64),
        subject.astype(np.str_), np.array(said, np.str_),
    )  # fmt: skip


def _rarest(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """(E, K) of 0 and 1 -> (E,) the rarest class of each; K where there is none."""
    count = value.sum(0)
    stratum = np.full(len(value), len(count), np.int64)
    for code in np.argsort(-count, kind="stable"):
        stratum[value[:, code] == 1] = code  # the rarest comes last, and stays
    return stratum


def _listed(classes: tuple[str, ...], row: NDArray[np.int64], p: NDArray[np.float64] | None = None) -> str:
    """Classes that a row of 0 and 1 has, with their probabilities."""
    codes = np.flatnonzero(row == 1)
    return ", ".join(classes[k] if p is None else f"{classes[k]} {p[k]:.2f}" for k in codes) or "none"


def _number(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".strip()
