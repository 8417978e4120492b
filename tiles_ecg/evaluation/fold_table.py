"""What a method reached on one fold, as tables for loggers: by metric, and by class."""

import math

import numpy as np

from tiles_ecg.evaluation.metric import metrics_of, scored, value
from tiles_ecg.evaluation.metric_table import truth_of
from tiles_ecg.evaluation.predictions import Predictions

METRIC_COLUMNS = ("task", "encoder", "head", "fold", "seed", "metric", "decides", "value", "n_examples", "n_subjects")
CLASS_COLUMNS = (
    "class", "n_examples", "n_subjects", "n_predicted", "sensitivity", "precision", "specificity", "f1",
)  # fmt: skip

Row = list[str | float | int | bool | None]


def metric_rows(found: Predictions) -> list[Row]:
    """A row for each metric of the task's kind, under `METRIC_COLUMNS`; None where it is not defined."""
    n_examples, n_subjects = len(found), len(np.unique(found.subject))
    head: Row = [found.task, found.method.encoder, found.method.head, int(found.fold[0]), int(found.seed[0])]
    return [
        [*head, each.name, each.name == found.metric, _defined(value(each, found)), n_examples, n_subjects]
        for each in metrics_of(found.kind)
    ]


def class_rows(found: Predictions) -> list[Row]:
    """A row for each class, one against the rest, under `CLASS_COLUMNS`; none for numbers and pairs."""
    if found.kind in ("regression", "verification"):
        return []
    truth = truth_of(scored(found), len(found.classes))  # (E, K)
    said = found.decision.astype(bool) if found.decision.ndim == 2 else _one_hot(found)
    rows: list[Row] = []
    for k, name in enumerate(found.classes):
        is_so, is_said = truth[:, k], said[:, k]
        hits = int((is_so & is_said).sum())
        sensitivity, precision = _share(hits, int(is_so.sum())), _share(hits, int(is_said.sum()))
        specificity = _share(int((~is_so & ~is_said).sum()), int((~is_so).sum()))
        f1 = _share(2 * hits, int(is_so.sum() + is_said.sum()))
        counts = [int(is_so.sum()), len(np.unique(found.subject[is_so])), int(is_said.sum())]
        rows.append([name, *counts, sensitivity, precision, specificity, f1])
    return rows


def _one_hot(found: Predictions) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.asarray(found.decision[:, None] == np.arange(len(found.classes)), np.bool_)


def _share(above: int, below: int) -> float | None:
    return above / below if below else None


def _defined(number: float) -> float | None:
    return number if math.isfinite(number) else None
