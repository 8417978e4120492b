"""Fewer training subjects with labels: nested, with every class, and never a test subject."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiles_ecg.evaluation.label_efficiency import numbers_of_subjects
from tiles_ecg.evaluation.low_label import few_labels
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.target import Target

STORES: Any = SimpleNamespace(stores=[SimpleNamespace(digest="d", sample_rate=100.0, window_s=10.0)])


@pytest.fixture(scope="module")
def plan() -> Plan:
    """50 subjects of 2 windows, every tenth of class yes."""
    subject = np.repeat(np.arange(50), 2)
    value = (subject % 10 == 0).astype(np.int64)
    ids = tuple(f"s{i}" for i in range(50)), tuple(f"e{i}" for i in range(100))
    every = np.arange(100)
    target = Target("x", "binary", "window", ("no", "yes"), "", "auroc", every, every, value, subject, *ids, subject)
    return Protocol().plan(STORES, target)


def subjects(plan: Plan, examples: Any) -> set[int]:
    return set(plan.target.subject[examples].tolist())


def test_so_many_subjects_have_labels_and_none_is_a_test_subject(plan: Plan) -> None:
    for n in (3, 10, 30):
        few = few_labels(plan, 2, n)
        assert len(subjects(plan, few.train)) == n
        assert subjects(plan, few.train) <= subjects(plan, plan.folds[2].train)
        np.testing.assert_array_equal(few.test, plan.folds[2].test)


def test_all_windows_of_a_chosen_subject_are_trained_on(plan: Plan) -> None:
    assert len(few_labels(plan, 0, 7).train) == 14


def test_fewer_subjects_are_a_subset_of_more(plan: Plan) -> None:
    sets = [subjects(plan, few_labels(plan, 1, n, draw=3).train) for n in (2, 5, 12, 40)]
    assert all(a < b for a, b in pairwise(sets))


def test_two_subjects_have_both_classes(plan: Plan) -> None:
    for draw in range(10):
        assert set(plan.target.value[few_labels(plan, 0, 2, draw).train].tolist()) == {0, 1}


def test_another_draw_is_another_choice(plan: Plan) -> None:
    assert len({tuple(few_labels(plan, 0, 5, draw).train.tolist()) for draw in range(6)}) > 3


def test_inner_folds_divide_the_chosen_subjects_only(plan: Plan) -> None:
    few = few_labels(plan, 0, 8)
    assert len(few.inner) == 4
    for train, validation in few.inner:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), few.train)
        assert not subjects(plan, train) & subjects(plan, validation)


def test_too_few_subjects_have_no_inner_folds(plan: Plan) -> None:
    assert few_labels(plan, 0, 3).inner == ()


def test_more_subjects_than_there_are_means_all(plan: Plan) -> None:
    np.testing.assert_array_equal(few_labels(plan, 0, 1000).train, plan.folds[0].train)


def test_the_curve_has_ones_and_threes_of_every_power_of_ten(plan: Plan) -> None:
    assert numbers_of_subjects(plan) == [3, 10, 30]
    assert numbers_of_subjects(plan, [20, 5, 5, 400]) == [5, 20]
    assert numbers_of_subjects(plan, []) == []
