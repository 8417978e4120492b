"""The online probe against scikit-learn and hand-made embeddings."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score

from tiles_ecg.callback.online_probe import _auroc, _r2, identification, ridge_predictions


def test_predictions_equal_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    fit, other = generator.normal(3, 5, (60, 7)), generator.normal(3, 5, (20, 7))
    target = fit[:, :2] * 2 + generator.normal(size=(60, 2))
    mean, scale = fit.mean(0), fit.std(0, ddof=1)
    expected = Ridge(alpha=0.05 * 60).fit((fit - mean) / scale, target).predict((other - mean) / scale)
    found = ridge_predictions(*(torch.from_numpy(x).float() for x in (fit, target, other)), 0.05)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_more_dimensions_than_windows_and_dead_ones_are_no_obstacle() -> None:
    fit = torch.cat([torch.randn(10, 30, generator=torch.Generator().manual_seed(0)), torch.zeros(10, 2)], 1)
    assert torch.isfinite(ridge_predictions(fit, torch.randn(10, 1), fit, 1e-3)).all()


def test_numbers_are_judged_by_the_coefficient_of_determination() -> None:
    predicted, target = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.5], [2.0], [3.0]])
    assert _r2(predicted, target) == pytest.approx(r2_score(target.numpy(), predicted.numpy()))


def test_a_target_without_spread_has_no_score() -> None:
    assert np.isnan(_r2(torch.randn(3, 1), torch.ones(3, 1)))


def test_classes_are_judged_by_the_mean_auroc_of_those_that_occur() -> None:
    generator = np.random.default_rng(0)
    code = generator.integers(0, 3, 50)
    target, score = np.eye(4)[code], generator.normal(size=(50, 4)) + np.eye(4)[code]
    expected = np.mean([roc_auc_score(target[:, k], score[:, k]) for k in range(3)])
    assert _auroc(torch.from_numpy(score), torch.from_numpy(target).float()) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(_auroc(torch.randn(4, 1), torch.ones(4, 1)))


def test_a_subject_is_identified_by_the_nearest_window_of_another_recording() -> None:
    # subjects 0 and 1 lie apart; the third window of 0 is of its first recording again and must not count for it
    embedding = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.1], [-1.0, 0.1], [1.0, -0.3]])
    subject, recording = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 0, 2, 3])
    unit = embedding - embedding.mean(0)
    unit = unit / unit.norm(dim=1, keepdim=True)
    hits = []
    for i in range(5):
        others = [j for j in range(5) if recording[j] != recording[i]]
        nearest = max(others, key=lambda j: float(unit[i] @ unit[j]))
        hits.append(subject[nearest] == subject[i])
    assert identification(embedding, subject, recording) == pytest.approx(np.mean(hits))


def test_without_a_second_recording_or_subject_nobody_can_be_identified() -> None:
    embedding = torch.randn(4, 3)
    assert identification(embedding, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) is None
    assert identification(embedding, np.zeros(4, np.int64), np.arange(4)) is None
