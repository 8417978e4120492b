"""Folds by subject, nested, balanced, the same everywhere, and hashed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.protocol import Plan, Protocol, divide
from tiles_ecg.task.target import Target, TaskError, assemble, examples_of

STORES = SimpleNamespace(stores=[SimpleNamespace(digest="d", sample_rate=100.0, window_s=10.0)])


def target_of(value: Any, subject: Any, kind: Any = "binary", classes: tuple[str, ...] = ("no", "yes")) -> Target:
    """One window an example."""
    value, subject = np.asarray(value), np.asarray(subject, np.int64)
    n = len(value)
    return Target(
        "made up",
        kind,
        "window",
        classes,
        "",
        "auroc",
        np.arange(n),
        np.arange(n),
        value,
        subject,
        tuple(f"s{i}" for i in range(subject.max() + 1)),
        tuple(f"e{i}" for i in range(n)),
        subject,
    )


@pytest.fixture(scope="module")
def target() -> Target:
    """40 subjects of 3 windows; every fourth subject is of class yes."""
    subject = np.repeat(np.arange(40), 3)
    return target_of((subject % 4 == 0).astype(np.int64), subject)


def plan_of(target: Target, **protocol: int) -> Plan:
    return Protocol(**protocol).plan(STORES, target)  # type: ignore[arg-type]


def test_every_example_is_judged_on_in_one_fold(target: Target) -> None:
    judged = np.concatenate([fold.test for fold in plan_of(target).folds])
    np.testing.assert_array_equal(np.sort(judged), np.arange(len(target.value)))


def test_no_subject_stands_on_two_sides_of_any_split(target: Target) -> None:
    for fold in plan_of(target).folds:
        assert not set(target.subject[fold.train]) & set(target.subject[fold.test])
        assert len(fold.inner) == 4
        for train, validation in fold.inner:
            assert not set(target.subject[train]) & set(target.subject[validation])
            np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), fold.train)


def test_classes_are_spread_over_the_folds(target: Target) -> None:
    assert [len(set(target.subject[f.test][target.value[f.test] == 1])) for f in plan_of(target).folds] == [2] * 5


def test_subjects_that_must_not_be_parted_are_not(target: Target) -> None:
    plan = Protocol().plan(STORES, target, [(0, 1), (1, 2), (30, 7)])  # type: ignore[arg-type]
    for together in ({0, 1, 2}, {7, 30}):
        assert any(together <= set(target.subject[fold.test]) for fold in plan.folds)
    assert any("s0 = s1, s1 = s2, s30 = s7" in note for note in plan.notes)


def test_the_hash_is_that_of_what_was_agreed_on_and_nothing_else(target: Target) -> None:
    first = plan_of(target)
    assert plan_of(target).hash == first.hash
    assert len(first.hash) == 12
    flipped = target.value.copy()
    flipped[0] = 1 - flipped[0]
    others = [
        plan_of(target, seed=1),
        plan_of(target, folds=4),
        plan_of(target, inner_folds=3),
        plan_of(replace(target, metric="f1")),
        plan_of(replace(target, value=flipped)),
        plan_of(replace(target, classes=("rest", "af"))),
        plan_of(replace(target, row=target.row + 1)),
    ]
    assert len({first.hash, *(plan.hash for plan in others)}) == 8


def test_another_order_of_the_stores_files_changes_the_hash_only_with_their_content(target: Target) -> None:
    other = SimpleNamespace(stores=[SimpleNamespace(digest="e", sample_rate=100.0, window_s=10.0)])
    assert Protocol().plan(other, target).hash != plan_of(target).hash  # type: ignore[arg-type]


def test_fewer_subjects_than_folds_are_refused_with_what_would_do() -> None:
    subject = np.repeat(np.arange(4), 2)
    with pytest.raises(TaskError, match=r"protocol.folds = 5.*4 subjects.*at most protocol.folds=4"):
        plan_of(target_of(subject % 2, subject))


def test_one_subject_is_refused() -> None:
    with pytest.raises(TaskError, match="one subject only"):
        plan_of(target_of([0, 1, 0], [0, 0, 0]))


def test_a_class_of_one_subject_is_refused_by_name(target: Target) -> None:
    value = (target.subject == 5).astype(np.int64)
    with pytest.raises(TaskError, match="class yes is found in 1 subject"):
        plan_of(replace(target, value=value))


def test_a_class_missing_from_a_fold_is_said(target: Target) -> None:
    value = np.isin(target.subject, (5, 6)).astype(np.int64)
    notes = plan_of(replace(target, value=value)).notes
    assert any("class yes is absent from the test side of fold" in note for note in notes)


def test_a_regression_is_balanced_by_quantile() -> None:
    subject = np.repeat(np.arange(50), 2)
    target = target_of(subject.astype(float), subject, "regression", ())
    means = [float(target.value[fold.test].mean()) for fold in plan_of(target).folds]
    assert max(means) - min(means) < 6  # 24.5 on average; folds without balance differ by more than 10


def test_a_few_examples_of_a_regression_are_divided_all_the_same() -> None:
    subject = np.arange(50)
    target = target_of(subject.astype(float), subject, "regression", ())
    among = np.array([0, 12, 25, 37, 49])
    parts = divide(target, subject, among, 4, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([inside for _, inside in parts])), among)


def test_a_multilabel_target_divides_its_rarest_class_evenly() -> None:
    subject = np.arange(60)
    value = np.stack([np.ones(60, int), (subject % 6 == 0).astype(int)], axis=1)
    plan = plan_of(target_of(value, subject, "multilabel", ("N", "V")))
    assert [int(value[fold.test, 1].sum()) for fold in plan.folds] == [2] * 5


def test_pooled_predictions_are_the_means_of_the_windows_of_an_example(target: Target) -> None:
    example = np.repeat(np.arange(60), 2)
    pooled = replace(target, example=example, value=target.value[:60], subject=target.subject[:60])
    output = np.random.default_rng(0).random((20, 2))
    windows = np.arange(10, 30)
    examples, score = pooled.pool(output, windows)
    np.testing.assert_array_equal(examples, np.arange(5, 15))
    np.testing.assert_allclose(score, [(output[2 * i] + output[2 * i + 1]) / 2 for i in range(10)])
    np.testing.assert_allclose(pooled.window_weight, 0.5)


def test_one_id_in_two_stores_is_one_person(small_store: Path) -> None:
    windows = Windows([small_store, small_store])
    rows = np.arange(len(windows))
    persons = examples_of(windows, rows, "subject")
    assert len(np.unique(persons)) == 6
    example = np.unique(windows.recording, return_inverse=True)[1]
    value = np.zeros(example.max() + 1, np.int64)
    ids = [f"r{i}" for i in range(len(value))]
    about: Any = {"name": "x", "kind": "binary", "level": "recording", "classes": ("a", "b"), "metric": "auroc"}
    made = assemble(windows, rows, example, value, ids, **about)
    assert len(made.subject_id) == 6
    np.testing.assert_array_equal(made.subject[made.example], persons)
    assert (made.recording >= 0).all()
