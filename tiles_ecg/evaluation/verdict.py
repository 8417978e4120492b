"""Verdict: the outcome on the test side of a fold, decided by what validation chose, as predictions for the report."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from tiles_ecg.evaluation.cross_validation import FALLBACK, decide, thresholds
from tiles_ecg.evaluation.outcome import Outcome
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.protocol import Plan


def verdict(
    plan: Plan,
    test: Outcome,
    validation: Outcome | None,
    method: Method,
    fold: int,
    seed: int,
    notes: tuple[str, ...] = (),
) -> Predictions:
    """Predictions for the examples (or pairs) of a test side.

    Thresholds are those that are best on the validation examples; 0.5 where there are none.

    Args:
        plan: Who was trained on, chosen by and judged on.
        test: Of the test side.
        validation: Of the subjects that were chosen by, if there were any.
        method: Who predicted.
        fold: Number of the outer fold.
        seed: Of the run.
        notes: To go with them.
    """
    target, n = plan.target, len(test.value)
    threshold = _thresholds(test, validation)
    example_id, group = np.array(target.example_id), np.array(target.subject_id)[plan.group]
    is_pair = target.kind == "verification"
    is_same = (test.score[:, 0] >= threshold[0]).astype(np.int64)
    if test.n_left_out:
        notes = (*notes, f"fold {fold}: {test.n_left_out:,} windows, evenly spread, are left out of the comparison")
    return Predictions(
        method=method,
        task=target.name,
        protocol=plan.hash,
        kind=target.kind,
        classes=("different", "same") if is_pair else target.classes,
        unit=target.unit,
        metric=target.metric,
        n_folds=len(plan.folds),
        example_id=example_id[test.examples],
        subject=group[test.examples],
        fold=np.full(n, fold, np.int64),
        seed=np.full(n, seed, np.int64),
        value=test.value,
        score=test.score,
        decision=is_same if is_pair else decide(target.kind, test.score, threshold),
        other_id=example_id[test.others] if is_pair else np.zeros(0, "U1"),
        other_subject=group[test.others] if is_pair else np.zeros(0, "U1"),
        notes=notes,
    )


def _thresholds(test: Outcome, validation: Outcome | None) -> NDArray[np.float64]:
    """(K,) by the validation examples: of largest sensitivity plus specificity; of pairs, at equal error rates."""
    n_outputs = test.score.shape[1]
    if validation is None:
        return np.full(n_outputs, FALLBACK)
    if validation.target.kind != "verification":
        return thresholds(validation.target.kind, validation.value, validation.score)
    if not 0 < validation.value.sum() < len(validation.value):
        return np.full(n_outputs, FALLBACK)
    false_rate, true_rate, cut = roc_curve(validation.value, validation.score[:, 0])
    return np.array([cut[np.argmin(np.abs(false_rate - (1 - true_rate)))]])
