"""Projector: the two layers between embedding and loss, thrown away after pre-training."""

from pydantic import PositiveInt
from torch import Tensor, nn


class Mlp(nn.Module):
    """Linear, ReLU, linear.

    Args:
        embedding_dim: D, of the encoder.
        hidden_dim: Width between the layers.
        projection_dim: P, size of a projection.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, section 4.2.
    """

    def __init__(self, embedding_dim: PositiveInt, hidden_dim: PositiveInt, projection_dim: PositiveInt) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embedding_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, projection_dim)
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Project embeddings: (B, D) -> (B, P)."""
        projection: Tensor = self.layers(embedding)
        return projection
