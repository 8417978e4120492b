"""Telling people apart by their embeddings: pairs of windows of different recordings, and how alike they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.evaluation.head import Examples, Standardiser
from tiles_ecg.evaluation.neighbours import unit_rows

SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01)


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of windows of different recordings.

    Attributes:
        first: (P,) int64: window that is to be recognised.
        second: (P,) int64: window that it is compared with.
        is_same: (P,) int64: 1 where both are of one subject.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    is_same: NDArray[np.int64]


def pairs_among(examples: NDArray[np.int64], subject: NDArray[np.int64], recording: NDArray[np.int64]) -> Pairs:
    """All ordered pairs among some examples but those within a recording.

    Args:
        examples: (m,) numbers.
        subject: (E,) of all examples.
        recording: (E,) of all examples.
    """
    other = recording[examples][:, None] != recording[examples]
    first, second = np.nonzero(other)
    is_same = subject[examples[first]] == subject[examples[second]]
    return Pairs(examples[first], examples[second], is_same.astype(np.int64))


class Cosine:
    """Cosine similarity of embeddings standardised by the training subjects; nothing is learned from who is who."""

    name = "k-NN"
    setting = ""
    settings: Sequence[float] = (0.0,)

    def project(self, examples: Examples, setting: float, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows whose inner products are the similarities."""
        return unit_rows(Standardiser.fit(examples.x, examples.weight)(new))


class WithinWhitening:
    """Cosine similarity after whitening what differs within training subjects; its shrinkage is chosen on inner folds.

    Args:
        settings: Shares of the identity in the within-subject covariance, descending.

    References:
        Hatch et al., Within-class covariance normalization for SVM-based speaker recognition, Interspeech 2006.
    """

    name = "linear"
    setting = "shrinkages"

    def __init__(self, settings: Sequence[float] = SHRINKAGES) -> None:
        self.settings = settings

    def project(self, examples: Examples, setting: float, new: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows whose inner products are the similarities."""
        standardise = Standardiser.fit(examples.x, examples.weight)
        x = standardise(examples.x)
        _, which = np.unique(examples.value, return_inverse=True)
        total = np.bincount(which, examples.weight)
        mean = np.stack([np.bincount(which, examples.weight * column) for column in x.T], axis=1) / total[:, None]
        residual = (x - mean[which]) * np.sqrt(examples.weight / examples.weight.sum())[:, None]
        within = residual.T @ residual
        scale = np.trace(within) / len(within) or 1.0
        variance, axes = np.linalg.eigh((1 - setting) * within + setting * scale * np.eye(len(within)))
        whiten = axes / np.sqrt(np.maximum(variance, 1e-9 * scale))
        return unit_rows(standardise(new) @ whiten)
