"""Pairs, similarities and whitening against loops and known covariances."""

import numpy as np

from tiles_ecg.evaluation.head import Examples
from tiles_ecg.evaluation.neighbours import unit_rows
from tiles_ecg.evaluation.verification import Cosine, WithinWhitening, pairs_among

RNG = np.random.default_rng(2)


def test_pairs_are_all_but_those_within_a_recording() -> None:
    subject, recording = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 2, 3, 4])
    pairs = pairs_among(np.array([0, 1, 2, 3, 5]), subject, recording)
    expected = {(a, b) for a in (0, 1, 2, 3, 5) for b in (0, 1, 2, 3, 5) if recording[a] != recording[b]}
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    assert len(pairs.first) == len(expected)
    for a, b, same in zip(pairs.first, pairs.second, pairs.is_same, strict=True):
        assert same == (subject[a] == subject[b])


def test_similarity_is_the_cosine_of_standardised_embeddings() -> None:
    x = (RNG.standard_normal((50, 4)) * 3 + 5).astype(np.float32)
    z = Cosine().project(Examples(x, np.arange(50) // 5, np.ones(50), 10), 0.0, x)
    a, b = ((x[i] - x.mean(0)) / x.std(0) for i in (0, 7))
    np.testing.assert_allclose(z[0] @ z[7], a @ b / np.linalg.norm(a) / np.linalg.norm(b), rtol=1e-4)


def test_whitening_drowns_what_varies_within_a_subject() -> None:
    person = np.repeat(np.arange(100), 8)
    identity = RNG.standard_normal((100, 6))[person] + 0.3 * RNG.standard_normal((800, 6))
    x = np.concatenate([identity, RNG.standard_normal((800, 12))], axis=1).astype(np.float32)
    examples = Examples(x, person, np.ones(800), 100)
    same = person[:, None] == person
    np.fill_diagonal(same, False)

    def top1(z: np.ndarray) -> float:
        similarity = z @ z.T
        np.fill_diagonal(similarity, -np.inf)
        return float(same[np.arange(800), similarity.argmax(1)].mean())

    plain, whitened = Cosine().project(examples, 0.0, x), WithinWhitening().project(examples, 0.01, x)
    assert top1(plain) < 0.35 < 0.65 < top1(whitened)


def test_full_shrinkage_leaves_the_plain_cosine() -> None:
    x = RNG.standard_normal((60, 5)).astype(np.float32)
    examples = Examples(x, np.arange(60) // 4, np.ones(60), 15)
    plain, shrunk = Cosine().project(examples, 0.0, x), WithinWhitening().project(examples, 1.0, x)
    np.testing.assert_allclose(shrunk @ shrunk.T, plain @ plain.T, atol=1e-5)


def test_unit_rows_have_length_one_or_none() -> None:
    z = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(z, [[0.6, 0.8], [0, 0]])
