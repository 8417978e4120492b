"""Protocol: who is trained on, chosen by and judged on, once for probes and fine-tuning, with a hash."""

import hashlib
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.seeding import derive_seed
from tiles_ecg.task.target import Target, TaskError

VERSION = 1
"""Of what the hash covers."""
SELECTION = "on inner folds of the training subjects only"
N_STRATA = 5
"""Quantiles that a regression's folds are balanced by."""
AtLeastTwo = Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class Fold:
    """Examples of one outer fold.

    Attributes:
        train: (n,) int64.
        test: (m,) int64, of other groups of subjects.
        inner: Pairs (train, validation) within `train`, by groups of subjects too: whatever is chosen is chosen here.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    inner: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]


@dataclass(frozen=True)
class Plan:
    """A protocol applied to data.

    Attributes:
        target: What is predicted.
        group: (E,) int64: subjects that must not be parted (one person, or people with a recording in common) share it.
            It is what folds divide and what bootstraps draw.
        folds: The outer folds.
        hash: 12 hex digits. Numbers with different hashes are not comparable.
        about: What the hash covers, in words and digests, JSON-able.
        notes: Of the target, and what became of folds.
    """

    target: Target
    group: NDArray[np.int64]
    folds: tuple[Fold, ...]
    hash: str
    about: dict[str, Any]
    notes: tuple[str, ...]


class Protocol:
    """Nested cross-validation by subject.

    Folds are balanced by class (regression: by quantile), as far as whole subjects allow.

    Args:
        folds: Outer folds; each subject is judged on in one of them.
        inner_folds: Folds within the training subjects of each, to choose by.
        seed: Of the assignment; it belongs to the protocol and is not the seed of a run.
    """

    def __init__(self, folds: AtLeastTwo = 5, inner_folds: AtLeastTwo = 4, seed: NonNegativeInt = 0) -> None:
        self.folds = folds
        self.inner_folds = inner_folds
        self.seed = seed

    def plan(self, windows: Windows, target: Target, inseparable: Iterable[tuple[int, int]] = ()) -> Plan:
        """Divide the examples of a target.

        Args:
            windows: Of the stores.
            target: What is predicted.
            inseparable: Pairs of subjects (as in `Target.subject`) that must not be parted, such as those with the same
                recording under two names.

        Raises:
            TaskError: If there are fewer groups of subjects than folds, or a class that stands in one group only.
        """
        pairs = list(inseparable)
        group_of_subject = _merged(len(target.subject_id), pairs)
        group = group_of_subject[target.subject]
        self._check(target, group)
        notes = list(target.notes)
        outer = divide(target, group, np.arange(len(group)), self.folds, derive_seed(self.seed, "outer"))
        folds = []
        for number, (train, test) in enumerate(outer):
            n_inner = min(self.inner_folds, len(np.unique(group[train])))
            if n_inner < 2:
                raise TaskError(
                    f"protocol.folds = {self.folds}: fold {number} leaves {n_inner} subject to train and choose on; "
                    "task and stores need more subjects, or protocol.folds=2"
                )
            seed = derive_seed(self.seed, "inner", number)
            folds.append(Fold(train, test, tuple(divide(target, group, train, n_inner, seed))))
        notes += _absences(target, folds)
        if pairs:
            notes.append(
                f"{len(pairs)} pairs of subjects have windows in common and stay on one side of every split: "
                + _named(target, pairs)
            )
        about = self._about(windows, target, group, folds)
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=6).hexdigest()
        return Plan(target, group, tuple(folds), digest, about, tuple(notes))

    def _check(self, target: Target, group: NDArray[np.int64]) -> None:
        n_groups = len(np.unique(group))
        if n_groups < self.folds:
            raise TaskError(
                f"protocol.folds = {self.folds}: {target.name} has {n_groups} subjects that cannot be parted further; "
                f"choose at most protocol.folds={n_groups}"
                if n_groups > 1
                else f"{target.name}: one subject only, who cannot be trained and judged on; add subjects"
            )
        if target.kind in ("binary", "multiclass"):
            for code, name in enumerate(target.classes):
                n_of_class = len(np.unique(group[target.value == code]))
                if n_of_class < 2:
                    raise TaskError(
                        f"{target.name}: class {name} is found in {n_of_class} subject; training and judging need at "
                        "least 2; leave the class out of the task, or add subjects"
                    )

    def _about(self, windows: Windows, target: Target, group: NDArray[np.int64], folds: list[Fold]) -> dict[str, Any]:
        split = hashlib.blake2b(digest_size=8)
        for fold in folds:
            for part in (fold.train, fold.test, *(side for pair in fold.inner for side in pair)):
                split.update("\n".join(sorted(target.example_id[i] for i in part)).encode() + b"\0")
        label = hashlib.blake2b(np.ascontiguousarray(target.value).tobytes(), digest_size=8)
        label.update("\n".join(target.example_id).encode())
        label.update(target.row.tobytes() + target.example.tobytes())
        first = windows.stores[0]
        return {
            "version": VERSION,
            "task": target.name,
            "stores": [store.digest for store in windows.stores],
            "windows": {"sample_rate": first.sample_rate, "window_s": first.window_s, "n": len(target.row)},
            "kind": target.kind,
            "level": target.level,
            "classes": list(target.classes) if target.kind != "verification" else len(target.classes),
            "unit": target.unit,
            "labels": label.hexdigest(),
            "examples": len(target.value),
            "subjects": len(np.unique(group)),
            "folds": self.folds,
            "inner_folds": self.inner_folds,
            "seed": self.seed,
            "split": split.hexdigest(),
            "metric": target.metric,
            "selection": SELECTION,
        }


def _merged(n: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """(n,) group of each subject: the lowest number among those it is tied to."""
    group = np.arange(n)
    for a, b in pairs:
        low, high = sorted((int(group[a]), int(group[b])))
        group[group == high] = low
    return group


def _strata(target: Target) -> NDArray[np.int64]:
    """(E,) what folds are balanced by."""
    if target.kind == "regression":
        edges = np.quantile(target.value, np.linspace(0, 1, N_STRATA + 1)[1:-1])
        return np.searchsorted(edges, target.value, side="right").astype(np.int64)
    if target.kind == "multilabel":
        count = target.value.sum(0)
        rarest_first = np.argsort(count, kind="stable")
        strata = np.full(len(target.value), len(count), np.int64)
        for code in rarest_first[::-1]:
            strata[target.value[:, code] == 1] = code  # the rarest class that an example has comes last, and stays
        return strata
    if target.kind == "verification":
        return np.zeros(len(target.value), np.int64)
    return np.asarray(target.value, np.int64)


def divide(
    target: Target, group: NDArray[np.int64], among: NDArray[np.int64], n: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide some examples into n parts, every group in one of them.

    Args:
        target: Its classes (or quantiles) are balanced over the parts, as far as whole groups allow.
        group: (E,) of all examples.
        among: (m,) numbers of those to divide.
        n: Number of parts.
        seed: Other seed, other parts.

    Returns:
        For each part, the examples outside and inside of it.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second that pre-training can do without

    strata = _strata(target)[among]
    if np.unique(strata, return_counts=True)[1].max() < n:  # too few of each to be spread
        strata = np.zeros_like(strata)
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class rarer than the folds: told of by `_absences`
        parts = splitter.split(among, strata, group[among])
        return [(among[out].astype(np.int64), among[inside].astype(np.int64)) for out, inside in parts if len(inside)]


def _absences(target: Target, folds: list[Fold]) -> list[str]:
    """Classes that no example of a fold's test side or training side has."""
    if target.kind in ("regression", "verification"):
        return []
    is_of = target.value if target.kind == "multilabel" else target.value[:, None] == np.arange(len(target.classes))
    lines = []
    for code, name in enumerate(target.classes):
        for side in ("train", "test"):
            absent = [str(i) for i, fold in enumerate(folds) if not is_of[getattr(fold, side), code].any()]
            if absent:
                lines.append(f"class {name} is absent from the {side} side of fold {', '.join(absent)}")
    return lines


def _named(target: Target, pairs: list[tuple[int, int]], most: int = 5) -> str:
    named = [f"{target.subject_id[a]} = {target.subject_id[b]}" for a, b in pairs[:most]]
    return ", ".join(named) + (f" and {len(pairs) - most} more" if len(pairs) > most else "")
