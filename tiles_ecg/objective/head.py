"""Heads: from an embedding, and what else is known of a window, to the outputs of a task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST_SCALE = 1e-6
"""Dimensions that vary less are not divided by it: they are constant."""


class LinearHead(nn.Module):
    """A linear map of the embedding.

    Args:
        embedding_dim: D.
        n_outputs: K.
        columns: Numbers of each stream; a linear head reads none.

    Raises:
        ValueError: If there are streams.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, embedding_dim: int, n_outputs: int, columns: Sequence[int] = ()) -> None:
        super().__init__()
        if columns:
            raise ValueError("a linear head reads the ECG alone; give objective=fusion, or objective.streams=[]")
        self.register_buffer("location", torch.zeros(embedding_dim))
        self.register_buffer("scale", torch.ones(embedding_dim))
        self.linear = nn.Linear(embedding_dim, n_outputs)

    def standardise(self, embedding: Tensor) -> None:
        """From now on, take embeddings relative to the mean and the standard deviation of these (n, D).

        For an encoder that is frozen: the map stays linear, and all its weights are learned at one rate.
        """
        scale = embedding.std(0, correction=0)
        self.location.copy_(embedding.mean(0))
        self.scale.copy_(torch.where(scale > SMALLEST_SCALE, scale, 1.0))

    def forward(self, embedding: Tensor, stream: Tensor) -> Tensor:
        """Outputs.

        Args:
            embedding: (B, D).
            stream: (B, 0).

        Returns:
            (B, K).
        """
        output: Tensor = self.linear((embedding - self.location) / self.scale)
        return output
