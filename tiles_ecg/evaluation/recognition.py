"""Nested cross-validation of re-identification: pairs of windows of people that were not trained on."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from tiles_ecg.evaluation.audit import check_sealed, sealed, sealed_value
from tiles_ecg.evaluation.head import Examples
from tiles_ecg.evaluation.metric import metric, primary_value
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.verification import Pairs, pairs_among
from tiles_ecg.protocol import Fold, Plan
from tiles_ecg.task.target import Target


class Similarity(Protocol):
    """A way to compare embeddings, with one number that inner folds choose."""

    name: str
    setting: str
    settings: Sequence[float]

    def project(self, examples: Examples, setting: float, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fit on the examples; rows (m, D) for new windows whose inner products are the similarities."""
        ...


def recognise(
    x: NDArray[np.float32],
    plan: Plan,
    similarity: Similarity,
    method: Method,
    folds: Sequence[Fold] | None = None,
    seed: int = 0,
) -> Predictions:
    """Similarity of all pairs of windows of different recordings among the test subjects of each fold.

    The gallery of a fold is its own test subjects: what was fitted has seen neither side of a pair.

    Args:
        x: (N, D) embeddings of the windows of `plan.target`; its examples are windows.
        plan: Who is trained on, chosen by and judged on.
        similarity: How they are compared.
        method: What to call it.
        folds: Instead of those of the plan: with fewer labels.
        seed: Of the encoder, where several are put together.

    Raises:
        LeakError: If fitting or choosing saw the test fold.
    """
    target = plan.target
    parts: list[tuple[Any, ...]] = []
    chosen = []
    for number, fold in enumerate(folds or plan.folds):
        hidden, value = sealed(x, target.windows_of(fold.test)), sealed_value(target, fold.test)
        setting, threshold = _choose(hidden, value, target, similarity, fold)
        z = _project(hidden, value, target, similarity, fold.train, setting, x)
        pairs = pairs_among(fold.test, target.subject, target.recording)
        score = _scores(z, pairs)
        check_sealed(score, f"{similarity.name}, as it was fitted,")
        decision = (score[:, 0] >= threshold).astype(np.int64)
        parts.append((pairs.first, pairs.second, pairs.is_same, score, decision, np.full(len(score), number)))
        chosen.append(setting)
    first, second, is_same, score, decision, fold_number = (np.concatenate(part) for part in zip(*parts, strict=True))
    n_gallery = sorted({len(np.unique(target.subject[fold.test])) for fold in plan.folds})
    example_id, subject = np.array(target.example_id), np.array(target.subject_id)[plan.group]
    return Predictions(
        method=method,
        task=target.name,
        protocol=plan.hash,
        kind=target.kind,
        classes=("different", "same"),
        unit="",
        metric=target.metric,
        n_folds=len(plan.folds),
        example_id=example_id[first],
        subject=subject[first],
        fold=fold_number,
        seed=np.full(len(first), seed),
        value=is_same,
        score=score,
        decision=decision,
        other_id=example_id[second],
        other_subject=subject[second],
        notes=(_gallery(n_gallery), *_choice(similarity, chosen)),
    )


def _gallery(numbers: Sequence[int]) -> str:
    return (
        f"each window is compared with those of other recordings of the {' or '.join(map(str, numbers))} people "
        "in its test fold, none of whom was trained on"
    )


def _choice(similarity: Similarity, chosen: Sequence[float]) -> list[str]:
    if not similarity.setting:
        return []
    return [f"{similarity.name}: {similarity.setting} chosen in the folds: {', '.join(f'{s:g}' for s in chosen)}"]


def _project(
    x: NDArray[np.float32],
    value: NDArray[Any],
    target: Target,
    similarity: Similarity,
    examples: NDArray[np.int64],
    setting: float,
    new: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Projections of the windows of all examples, by example number."""
    windows = target.windows_of(examples)
    fitted = Examples(x[windows], value[target.example[windows]], np.ones(len(windows)), target.n_outputs)
    z = similarity.project(fitted, setting, new)
    by_example = np.empty_like(z)
    by_example[target.example] = z
    return by_example


def _scores(z: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float64]:
    return np.asarray(np.einsum("pd,pd->p", z[pairs.first], z[pairs.second])[:, None], np.float64)


def _choose(
    x: NDArray[np.float32], value: NDArray[Any], target: Target, similarity: Similarity, fold: Fold
) -> tuple[float, float]:
    """Setting and threshold (at equal error rates) that are best over the pairs of all inner folds together."""
    settings = list(similarity.settings)
    scores: list[list[NDArray[np.float64]]] = [[] for _ in settings]
    truth, queries = [], []
    for train, validation in fold.inner:
        pairs = pairs_among(validation, target.subject, target.recording)
        truth.append(pairs.is_same)
        queries.append(pairs.first)
        for which, setting in enumerate(settings):
            z = _project(x, value, target, similarity, train, setting, _only(x, target, validation))
            scores[which].append(_scores(z, pairs))
    same = np.concatenate(truth) if truth else np.zeros(0, np.int64)
    if not 0 < same.sum() < len(same):
        return settings[len(settings) // 2], 0.5
    joined = [np.concatenate(parts) for parts in scores]
    check_sealed(np.stack(joined), f"{similarity.name}, while its setting was chosen,")
    sign = 1 if metric(target.kind, target.metric).higher_is_better else -1
    query = np.concatenate(queries)
    worth = [sign * primary_value(target.kind, target.metric, same, score, query=query) for score in joined]
    best = int(np.nanargmax(worth))
    false_rate, true_rate, cut = roc_curve(same, joined[best][:, 0])
    return settings[best], float(cut[np.argmin(np.abs(false_rate - (1 - true_rate)))])


def _only(x: NDArray[np.float32], target: Target, examples: NDArray[np.int64]) -> NDArray[np.float32]:
    """The array with all but the windows of some examples set to 0: projected, but in no pair."""
    kept = np.zeros_like(x)
    windows = target.windows_of(examples)
    kept[windows] = x[windows]
    return kept
