"""Verdicts: what is said in the end is decided by what validation chose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.outcome import Outcome, outcome
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.evaluation.verdict import verdict
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.classification import Classification
from tiles_ecg.task.multilabel import MultiLabel
from tiles_ecg.task.verification import Verification

METHOD = Method("from scratch", "fine-tuned", "control")


def planned(store: Path, task: Any) -> Plan:
    windows = Windows([store])
    return Protocol(3, 4).plan(windows, task.target(windows, np.arange(len(windows))))


def outputs(plan: Plan, examples: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy probabilities of the truth, window by window, in a mixed order."""
    rng = np.random.default_rng(seed)
    windows = rng.permutation(plan.target.windows_of(examples))
    truth = plan.target.value[plan.target.example[windows]]
    p = 1 / (1 + np.exp(-(truth - 0.7 + rng.normal(0, 0.7, len(windows)))))
    return np.stack([1 - p, p], 1), windows


def test_the_threshold_is_that_of_the_validation_examples(tone_store: Path) -> None:
    plan = planned(tone_store, Classification("tone", "tone", ["low", "high"], "window"))
    fold = plan.folds[1]
    chosen_by = outcome(plan.target, *outputs(plan, fold.inner[0][1], 1))
    test = outcome(plan.target, *outputs(plan, fold.test, 2))
    found = verdict(plan, test, chosen_by, METHOD, 1, 5)
    cuts = np.unique(chosen_by.score[:, 1])
    worth = [balanced_accuracy_score(chosen_by.value, chosen_by.score[:, 1] >= cut) for cut in cuts]
    allowed = [test.score[:, 1] >= cut for cut, w in zip(cuts, worth, strict=True) if np.isclose(w, max(worth))]
    assert any(np.array_equal(found.decision, decision) for decision in allowed)
    assert not np.array_equal(found.decision, test.score[:, 1] >= 0.5)
    assert (set(found.fold), set(found.seed), found.n_folds) == ({1}, {5}, 3)
    groups = np.array(plan.target.subject_id)[plan.group[fold.test]]
    assert sorted(found.subject) == sorted(groups)


def test_without_validation_the_threshold_is_one_half(tone_store: Path) -> None:
    plan = planned(tone_store, Classification("tone", "tone", ["low", "high"], "window"))
    test = outcome(plan.target, *outputs(plan, plan.folds[0].test))
    found = verdict(plan, test, None, METHOD, 0, 0, ("said",))
    np.testing.assert_array_equal(found.decision, test.score[:, 1] >= 0.5)
    assert found.notes == ("said",)


def test_several_labels_have_a_threshold_each(tone_store: Path) -> None:
    plan = planned(tone_store, MultiLabel("parts", "parts", None, "window"))
    k = plan.target.n_outputs
    rng = np.random.default_rng(0)

    def noisy(examples: np.ndarray) -> Outcome:
        windows = plan.target.windows_of(examples)
        truth = plan.target.value[plan.target.example[windows]]
        return outcome(plan.target, 0.1 * np.arange(1, k + 1) * (truth + 0.1 * rng.random(truth.shape)), windows)

    found = verdict(plan, noisy(plan.folds[0].test), noisy(plan.folds[0].inner[0][1]), METHOD, 0, 0)
    assert found.decision.shape == found.value.shape
    assert (found.decision == found.value).mean() > 0.9  # at 0.5, hardly any would be said to be there


def test_pairs_are_said_to_be_of_one_person_at_equal_error_rates(tone_store: Path) -> None:
    plan = planned(tone_store, Verification("person"))
    windows = plan.target.windows_of(plan.folds[0].test)
    found = outcome(plan.target, np.random.default_rng(0).normal(size=(len(windows), 5)), windows)
    told = verdict(plan, found, found, METHOD, 0, 0)
    assert told.classes == ("different", "same")
    false, missed = (told.decision[told.value == 0] == 1).mean(), (told.decision[told.value == 1] == 0).mean()
    assert false == pytest.approx(missed, abs=0.02)
    assert len(told.other_id) == len(told.other_subject) == len(told)
