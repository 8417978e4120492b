"""What turns frozen embeddings into predictions: the contract, and what all heads have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Predictor = Callable[[NDArray[np.float32]], list[NDArray[np.float64]]]
"""(m, D) embeddings of new windows -> for each setting its scores (m, K)."""

ROUNDING = 1e-6
"""A feature that varies less than this share of its mean is constant but for the rounding of float32."""


@dataclass(frozen=True)
class Examples:
    """Windows to fit on.

    Attributes:
        x: (n, D) float32 embeddings or features.
        value: (n,) int64 codes; (n, K) of 0 and 1 for several labels; (n,) float64 for a regression.
        weight: (n,) float64, of mean 1.
        n_outputs: K.
    """

    x: NDArray[np.float32]
    value: NDArray[Any]
    weight: NDArray[np.float64]
    n_outputs: int


class Head(Protocol):
    """A way to predict from frozen embeddings, with one number that inner folds choose."""

    name: str
    setting: str
    settings: Sequence[float]

    def fit(self, examples: Examples, settings: Sequence[float]) -> Predictor:
        """Fit with each of the settings, on these examples and nothing else."""
        ...


@dataclass(frozen=True)
class Standardiser:
    """Mean and standard deviation of each feature over the examples it was fitted on.

    Attributes:
        mean: (D,).
        scale: (D,), 1 where a feature is constant.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, x: NDArray[np.float32], weight: NDArray[np.float64]) -> "Standardiser":
        """Take them from weighted examples."""
        share = weight / weight.sum()
        mean = share @ x.astype(np.float64)
        scale = np.sqrt(share @ (x - mean) ** 2)
        # NaN stays NaN: an example that must not be looked at shows
        return cls(mean, np.where(scale <= ROUNDING * np.abs(mean), 1.0, scale))

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, D) standardised."""
        return np.asarray((x - self.mean) / self.scale, np.float64)
