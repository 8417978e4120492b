"""k-NN against a loop over windows."""

from collections import Counter

import numpy as np
import pytest

from tiles_ecg.evaluation.head import Examples
from tiles_ecg.evaluation.neighbours import NearestNeighbours, unit_rows

RNG = np.random.default_rng(1)
X = RNG.standard_normal((80, 6)).astype(np.float32)
NEW = RNG.standard_normal((1100, 6)).astype(np.float32)  # more than are compared at once
ONES = np.ones(80)


def nearest(row: np.ndarray, k: int) -> list[int]:
    mean, scale = X.mean(0), X.std(0)
    z, known = (row - mean) / scale, (X - mean) / scale
    cosine = [float(z @ other / np.linalg.norm(z) / np.linalg.norm(other)) for other in known]
    return sorted(range(80), key=lambda i: -cosine[i])[:k]


@pytest.mark.parametrize("k", [1, 7])
def test_probabilities_are_shares_of_the_nearest(k: int) -> None:
    value = RNG.integers(0, 3, 80)
    found = NearestNeighbours("multiclass").fit(Examples(X, value, ONES, 3), [k, 3])(NEW)[0]
    for at in (0, 5, 1099):
        votes = Counter(value[nearest(NEW[at], k)].tolist())
        np.testing.assert_allclose(found[at], [votes[c] / k for c in range(3)], atol=1e-6)


def test_numbers_are_weighted_means_of_the_nearest() -> None:
    value, weight = RNG.standard_normal(80), RNG.uniform(0.5, 2, 80)
    weight /= weight.mean()
    mean = np.average(X, axis=0, weights=weight)
    scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    found = NearestNeighbours("regression").fit(Examples(X, value, weight, 1), [4])(NEW[:3])[0]
    for at in range(3):
        cosine = unit_rows((X - mean) / scale) @ unit_rows(((NEW[at] - mean) / scale)[None])[0]
        near = np.argsort(-cosine)[:4]
        np.testing.assert_allclose(found[at, 0], np.average(value[near], weights=weight[near]), rtol=1e-5)


def test_labels_are_voted_on_one_by_one() -> None:
    value = RNG.integers(0, 2, (80, 2))
    found = NearestNeighbours("multilabel").fit(Examples(X, value, ONES, 2), [5])(NEW[:2])[0]
    np.testing.assert_allclose(found[0], value[nearest(NEW[0], 5)].mean(0), atol=1e-6)


def test_more_neighbours_than_windows_means_all() -> None:
    value = (np.arange(80) < 20).astype(np.int64)
    found = NearestNeighbours("binary").fit(Examples(X, value, ONES, 2), [1000])(NEW[:2])[0]
    np.testing.assert_allclose(found, [[0.75, 0.25]] * 2)


def test_a_training_window_that_must_not_be_seen_shows() -> None:
    hidden = X.copy()
    hidden[3] = np.nan
    found = NearestNeighbours("binary").fit(Examples(hidden, np.arange(80) % 2, ONES, 2), [1])(NEW[:2])[0]
    assert np.isnan(found).all()
