"""Late fusion: the embedding of a window's ECG beside what other streams say of the same window."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.config_types import ShareBelowOne

SMALLEST_SCALE = 1e-6
"""Streams that vary less are not divided by it: they are constant."""


class LateFusion(nn.Module):
    """Each stream through a small network of its own, all beside the embedding, then one network for the outputs.

    A stream is standardised by the training windows; where it is missing, a learned vector stands in for it. Nothing is
    computed across windows, so that what is predicted for one does not depend on its batch mates.

    Args:
        embedding_dim: D.
        n_outputs: K.
        columns: How many numbers each stream has.
        width: Of the network of each stream, and of the hidden layer, times (1 + number of streams).
        dropout: Probability of dropping a hidden activation.

    Raises:
        ValueError: If there are no streams.
    """

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        embedding_dim: int,
        n_outputs: int,
        columns: Sequence[int],
        width: PositiveInt = 32,
        dropout: ShareBelowOne = 0.0,
    ) -> None:
        super().__init__()
        if not columns:
            raise ValueError("no streams to fuse with; give objective.streams=[heart_rate], or objective=finetune")
        ends = list(accumulate(columns))
        self.spans = list(zip([0, *ends[:-1]], ends, strict=True))
        self.register_buffer("location", torch.zeros(ends[-1]))
        self.register_buffer("scale", torch.ones(ends[-1]))
        self.norm = nn.LayerNorm(embedding_dim)
        self.streams = nn.ModuleList(
            nn.Sequential(nn.Linear(n, width), nn.ReLU(), nn.Linear(width, width)) for n in columns
        )
        self.missing = nn.Parameter(torch.zeros(len(columns), width))
        hidden = width * (1 + len(columns))
        self.fuse = nn.Sequential(
            nn.Linear(embedding_dim + width * len(columns), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )

    def standardise_streams(self, stream: Tensor) -> None:
        """Take streams relative to the mean and the standard deviation of these (n, S), NaN left out."""
        is_known = ~stream.isnan()
        n = is_known.sum(0).clamp_min(1)
        mean = stream.nan_to_num(0.0).sum(0) / n
        scale = ((stream - mean).nan_to_num(0.0).square().sum(0) / n).sqrt()
        self.location.copy_(mean)
        self.scale.copy_(torch.where(scale > SMALLEST_SCALE, scale, 1.0))

    def forward(self, embedding: Tensor, stream: Tensor) -> Tensor:
        """Outputs.

        Args:
            embedding: (B, D).
            stream: (B, S), the numbers of all streams; NaN where missing.

        Returns:
            (B, K).
        """
        standard = (stream - self.location) / self.scale
        parts = [self.norm(embedding)]
        for (first, last), network, missing in zip(self.spans, self.streams, self.missing, strict=True):
            part = standard[:, first:last]
            is_missing = part.isnan().any(1, keepdim=True)  # (B, 1)
            parts.append(torch.where(is_missing, missing, network(part.nan_to_num(0.0))))
        fused: Tensor = self.fuse(torch.cat(parts, 1))  # (B, D + W x streams) -> (B, K)
        return fused
