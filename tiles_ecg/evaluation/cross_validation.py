"""Nested cross-validation of a head on frozen embeddings: inner folds choose, outer folds judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from tiles_ecg.evaluation.audit import check_sealed, sealed, sealed_value
from tiles_ecg.evaluation.head import Examples, Head, Predictor
from tiles_ecg.evaluation.metric import metric, primary_value
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.protocol import Fold, Plan
from tiles_ecg.task.target import Target

FALLBACK = 0.5
"""Threshold where there are no inner folds to choose one by."""


@dataclass(frozen=True)
class _Chosen:
    """What the inner folds of a fold decided.

    Attributes:
        setting: Of the head.
        threshold: (K,) above which a class is said to be there.
    """

    setting: float
    threshold: NDArray[np.float64]


def cross_validate(
    x: NDArray[np.float32], plan: Plan, head: Head, method: Method, folds: Sequence[Fold] | None = None, seed: int = 0
) -> Predictions:
    """Predict every example by a model that has not seen its subject.

    Training code is handed embeddings and values of the test fold blanked out; if that shows in what it predicts, the
    run ends (`LeakError`).

    Args:
        x: (N, D) embeddings or features of the windows of `plan.target`, in their order.
        plan: Who is trained on, chosen by and judged on.
        head: What is fitted.
        method: What to call it.
        folds: Instead of those of the plan: with fewer labels.
        seed: Of the encoder, where several are put together.

    Raises:
        LeakError: If fitting or choosing saw the test fold.
    """
    target = plan.target
    found, chosen = [], []
    for number, fold in enumerate(folds or plan.folds):
        choice, examples, score = _one_fold(x, target, head, fold)
        found.append((examples, np.full(len(examples), number), score, decide(target.kind, score, choice.threshold)))
        chosen.append(choice.setting)
    examples, fold_number, score, decision = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Predictions(
        method=method,
        task=target.name,
        protocol=plan.hash,
        kind=target.kind,
        classes=target.classes,
        unit=target.unit,
        metric=target.metric,
        n_folds=len(plan.folds),
        example_id=np.array(target.example_id)[examples],
        subject=np.array(target.subject_id)[plan.group[examples]],
        fold=fold_number,
        seed=np.full(len(examples), seed),
        value=target.value[examples],
        score=score,
        decision=decision,
        notes=(f"{head.name}: {head.setting} chosen in the folds: {', '.join(f'{setting:g}' for setting in chosen)}",),
    )


def _one_fold(
    x: NDArray[np.float32], target: Target, head: Head, fold: Fold
) -> tuple[_Chosen, NDArray[np.int64], NDArray[np.float64]]:
    """What was chosen, the test examples and their scores."""
    test = target.windows_of(fold.test)
    hidden, value = sealed(x, test), sealed_value(target, fold.test)
    choice = _choose(hidden, value, target, head, fold)
    predict = _fit(hidden, value, target, head, fold.train, [choice.setting])
    examples, score = target.pool(predict(x[test])[0], test)
    check_sealed(score, f"{head.name}, as it was fitted,")
    return choice, examples, score


def _fit(
    x: NDArray[np.float32],
    value: NDArray[Any],
    target: Target,
    head: Head,
    examples: NDArray[np.int64],
    settings: Sequence[float],
) -> Predictor:
    windows = target.windows_of(examples)
    check_sealed([x[windows], value[target.example[windows]]], f"what {head.name} was fitted on")
    weight = target.window_weight[windows]
    weight = weight / weight.mean()
    return head.fit(Examples(x[windows], value[target.example[windows]], weight, target.n_outputs), settings)


def _choose(x: NDArray[np.float32], value: NDArray[Any], target: Target, head: Head, fold: Fold) -> _Chosen:
    """The setting and the threshold that are best over all inner folds together."""
    settings = list(head.settings)
    if not fold.inner:
        return _Chosen(settings[len(settings) // 2], np.full(target.n_outputs, FALLBACK))
    truth, scores = [], []
    for train, validation in fold.inner:
        windows = target.windows_of(validation)
        check_sealed([x[windows], value[validation]], f"what the setting of {head.name} was chosen by")
        outputs = _fit(x, value, target, head, train, settings)(x[windows])
        pooled = [target.pool(output, windows) for output in outputs]
        truth.append(value[pooled[0][0]])
        scores.append([score for _, score in pooled])
    known = np.concatenate(truth)
    joined = [np.concatenate(parts) for parts in zip(*scores, strict=True)]
    check_sealed(np.stack(joined), f"{head.name}, while its setting was chosen,")
    sign = 1 if metric(target.kind, target.metric).higher_is_better else -1
    worth = [sign * primary_value(target.kind, target.metric, known, score) for score in joined]
    best = int(np.nanargmax(worth)) if np.isfinite(worth).any() else len(settings) // 2
    return _Chosen(settings[best], thresholds(target.kind, known, joined[best]))


def thresholds(kind: str, value: NDArray[Any], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) threshold of each class that maximises sensitivity plus specificity; 0.5 for a class that does not vary.

    Args:
        kind: `binary` (the second column counts) or `multilabel`; others have none.
        value: (E,) or (E, K).
        score: (E, K).

    References:
        Youden, Index for rating diagnostic tests, Cancer 3, 1950.
    """
    found = np.full(score.shape[1], FALLBACK)
    if kind not in ("binary", "multilabel"):
        return found
    truth = value if kind == "multilabel" else np.stack([1 - value, value], axis=1)
    for k in range(score.shape[1]):
        if 0 < truth[:, k].sum() < len(truth):
            false_rate, true_rate, cut = roc_curve(truth[:, k], score[:, k])
            found[k] = cut[np.argmax(true_rate - false_rate)]
    return found


def decide(kind: str, score: NDArray[np.float64], threshold: NDArray[np.float64]) -> NDArray[np.int64]:
    """What is said in the end: class codes (E,), labels (E, K), or nothing (0,) for numbers."""
    if kind == "binary":
        return np.asarray(score[:, 1] >= threshold[1], np.int64)
    if kind == "multilabel":
        return np.asarray(score >= threshold, np.int64)
    if kind == "multiclass":
        return np.asarray(score.argmax(1), np.int64)
    return np.zeros(0, np.int64)
