"""Outcomes: windows pooled to examples once, people compared across recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.outcome import outcome
from tiles_ecg.protocol import Plan, Protocol
from tiles_ecg.task.classification import Classification
from tiles_ecg.task.verification import Verification


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


def test_windows_are_averaged_to_examples_before_anything_is_computed(tone_store: Path) -> None:
    plan = planned(tone_store, Classification("tone", "tone", ["low", "high"], "recording"))
    output, windows = outputs(plan, plan.folds[0].test)
    found = outcome(plan.target, output, windows)
    mean = [output[plan.target.example[windows] == example, 1].mean() for example in found.examples]
    np.testing.assert_allclose(found.score[:, 1], mean)
    assert found.primary == found.worth == pytest.approx(roc_auc_score(plan.target.value[found.examples], mean))


def test_people_are_compared_across_recordings_by_cosine(tone_store: Path) -> None:
    plan = planned(tone_store, Verification("person"))
    windows = plan.target.windows_of(plan.folds[0].test)
    embedding = np.random.default_rng(0).normal(size=(len(windows), 5))
    found = outcome(plan.target, embedding, windows)
    by_example = dict(zip(plan.target.example[windows].tolist(), embedding, strict=True))
    assert len(found.value) == 40 * 35  # each window with all but the five of its recording
    for pair in (0, 17, 555, 1399):
        first, second = int(found.examples[pair]), int(found.others[pair])
        a, b = by_example[first], by_example[second]
        assert found.score[pair, 0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert plan.target.recording[first] != plan.target.recording[second]
        assert found.value[pair] == (plan.target.subject[first] == plan.target.subject[second])


def test_an_outcome_knows_whether_its_truth_can_tell_good_from_bad(tone_store: Path) -> None:
    plan = planned(tone_store, Classification("tone", "tone", ["low", "high"], "window"))
    both = outcome(plan.target, *outputs(plan, plan.folds[0].test))
    low = plan.folds[0].test[plan.target.value[plan.folds[0].test] == 0]
    assert both.is_definable
    assert not outcome(plan.target, *outputs(plan, low)).is_definable
