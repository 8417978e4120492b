"""Intervals cover what they promise: thousands of simulated studies whose true value is known.

A study has a few subjects with several windows each; what sets subjects apart is larger than what sets windows of one
subject apart, so that windows are far from independent.
"""

from dataclasses import replace

import numpy as np
import pytest

from tiles_ecg.evaluation.bootstrap import estimate
from tiles_ecg.evaluation.comparison import compare
from tiles_ecg.evaluation.metric import metric, value
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.task.target import Kind

N_WINDOWS = 10
N_RESAMPLES = 400
MEASURES: list[tuple[Kind, str]] = [("binary", "auroc"), ("binary", "balanced_accuracy"), ("regression", "mae")]


def study(kind: Kind, n_subjects: int, seed: int, method: int = 0) -> Predictions:
    """Of one method; methods of one seed see the same subjects, and share a part of what misleads them."""
    rng, own = np.random.default_rng([seed]), np.random.default_rng([seed, method + 1])
    subject = np.repeat(np.arange(n_subjects), N_WINDOWS)
    trait, shared = rng.normal(size=n_subjects)[subject], rng.normal(size=n_subjects)[subject]
    noise = 0.7 * shared + 0.7 * own.normal(size=n_subjects)[subject] + 0.4 * own.normal(size=len(subject))
    if kind == "binary":
        truth = (rng.random(len(subject)) < 1 / (1 + np.exp(-2 * trait))).astype(np.int64)
        probability = 1 / (1 + np.exp(-(truth - 0.5 + noise)))
        score, decision = np.stack([1 - probability, probability], 1), (probability > 0.5).astype(np.int64)
    else:
        truth = 70 + 8 * (trait + 0.5 * rng.normal(size=len(subject)))
        score, decision = (0.7 * truth + 21 + 5 * noise)[:, None], np.zeros(0, np.int64)
    names = np.char.add("s", subject.astype(str))
    ids = np.char.add("w", np.arange(len(subject)).astype(str))
    zeros = np.zeros(len(subject), np.int64)
    return Predictions(
        Method(f"method {method}", "linear"), "task", "0" * 12, kind, ("rest", "af") if kind == "binary" else (), "",
        "auroc", 5, ids, names, zeros, zeros, truth, score, decision,
    )  # fmt: skip


def share_covered(kind: Kind, name: str, n_subjects: int, n_studies: int, by_window: bool = False) -> float:
    chosen = metric(kind, name)
    truth = value(chosen, study(kind, 100_000, seed=0))
    n_covered = 0
    for seed in range(1, n_studies + 1):
        predictions = study(kind, n_subjects, seed)
        if by_window:
            predictions = replace(predictions, subject=predictions.example_id)
        found = estimate(predictions, chosen, N_RESAMPLES, seed)
        n_covered += found.low <= truth <= found.high
    return n_covered / n_studies


def share_resolved(kind: Kind, name: str, n_subjects: int, n_studies: int) -> float:
    """Of comparisons of two methods between which there is no difference."""
    pairs = ((study(kind, n_subjects, seed), study(kind, n_subjects, seed, 1)) for seed in range(1, n_studies + 1))
    return float(np.mean([compare(a, b, metric(kind, name), N_RESAMPLES).resolved for a, b in pairs]))


@pytest.mark.slow
@pytest.mark.parametrize("n_subjects", [25, 60])
@pytest.mark.parametrize(("kind", "name"), MEASURES)
def test_of_a_thousand_intervals_93_to_97_percent_hold_the_true_value(kind: Kind, name: str, n_subjects: int) -> None:
    assert 0.93 <= share_covered(kind, name, n_subjects, 1000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), MEASURES)
def test_a_bootstrap_of_windows_would_miss_the_true_value_far_more_often(kind: Kind, name: str) -> None:
    assert share_covered(kind, name, 25, 200, by_window=True) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("n_subjects", [25, 60])
@pytest.mark.parametrize(("kind", "name"), [("binary", "auroc"), ("regression", "mae")])
def test_of_a_thousand_equal_pairs_3_to_7_percent_are_told_apart(kind: Kind, name: str, n_subjects: int) -> None:
    assert 0.03 <= share_resolved(kind, name, n_subjects, 1000) <= 0.07
