"""Controls: what an encoder is judged against."""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.cross_validation import decide
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.protocol import Plan

MAJORITY = "majority"
HEART_RATE = "heart rate and HRV"
UNTRAINED = "untrained"
FROM_SCRATCH = "from scratch"


def majority(plan: Plan) -> Predictions | None:
    """The shares of the classes among the training examples of each fold, or the mean of their values, for everyone.

    None for a verification, which has no majority.
    """
    target = plan.target
    if target.kind == "verification":
        return None
    examples, number, scores = [], [], []
    for fold_number, fold in enumerate(plan.folds):
        if target.kind in ("regression", "multilabel"):
            share = np.atleast_1d(target.value[fold.train].mean(0))
        else:
            share = np.bincount(target.value[fold.train], minlength=target.n_outputs) / len(fold.train)
        examples.append(fold.test)
        number.append(np.full(len(fold.test), fold_number))
        scores.append(np.tile(share, (len(fold.test), 1)))
    order, score = np.concatenate(examples), np.concatenate(scores).astype(np.float64)
    return Predictions(
        method=Method(MAJORITY, "none", "control"),
        task=target.name,
        protocol=plan.hash,
        kind=target.kind,
        classes=target.classes,
        unit=target.unit,
        metric=target.metric,
        n_folds=len(plan.folds),
        example_id=np.array(target.example_id)[order],
        subject=np.array(target.subject_id)[plan.group[order]],
        fold=np.concatenate(number),
        seed=np.zeros(len(order), np.int64),
        value=target.value[order],
        score=constant_within_ties(score, target.kind),
        decision=decide(target.kind, score, np.full(target.n_outputs, 0.5)),
    )


def constant_within_ties(score: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Shares of classes made equal over the folds: they differ by the fold's own test subjects, which would rank them.

    With a class rarer in training where it is commoner in the test fold, pooled shares would give an AUROC below 0.5.
    """
    if kind == "regression":
        return score
    return np.tile(score.mean(0), (len(score), 1))
