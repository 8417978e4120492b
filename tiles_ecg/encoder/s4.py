"""S4: layers of diagonal state spaces over time (S4D), each channel a long causal convolution."""

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.config_types import Probability
from tiles_ecg.encoder.s4_kernel import DiagonalKernel, convolve_causally


class StateSpace(nn.Module):
    """H independent state spaces with a direct path: y = K * u + D u, causal.

    Args:
        n_channels: H.
        n_states: N, pairs of conjugate states of each.

    References:
        Gu et al., On the Parameterization and Initialization of Diagonal State Space Models, NeurIPS 2022.
    """

    def __init__(self, n_channels: PositiveInt, n_states: PositiveInt) -> None:
        super().__init__()
        self.kernel = DiagonalKernel(n_channels, n_states)
        self.direct = nn.Parameter(torch.randn(n_channels))  # D

    def forward(self, signal: Tensor) -> Tensor:
        """Filter each channel, in at least single precision, whatever precision is automatic around it.

        Args:
            signal: u, (B, H, T).

        Returns:
            y, (B, H, T).
        """
        with torch.autocast(signal.device.type, enabled=False):
            kernel = self.kernel(signal.shape[-1])  # (H, T)
            exact = signal.to(kernel.dtype)
            filtered = convolve_causally(exact, kernel) + exact * self.direct.to(kernel.dtype).unsqueeze(-1)
            return filtered.to(signal.dtype)


class _Block(nn.Module):
    """Layer norm, state spaces, GELU, dropout, pointwise convolution with a gate (GLU), dropout; added to its input."""

    def __init__(self, width: int, n_states: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.space = StateSpace(width, n_states)
        self.mix = nn.Conv1d(width, 2 * width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)  # over the channels of each time point
        filtered = self.dropout(F.gelu(self.space(normed)))
        added: Tensor = x + self.dropout(F.glu(self.mix(filtered), dim=1))
        return added


class S4(nn.Module):
    """Pre-norm residual network of S4D layers: linear in, blocks, mean over time, linear out.

    Every time point of every layer sees all those before it, so that the receptive field is the window. The layout is
    that of the S4 encoder of WildECG.

    Args:
        n_leads: C, leads of the input.
        width: H, channels of every layer.
        n_layers: Blocks.
        n_states: N, pairs of conjugate states of each channel; the papers call 2N the state size.
        embedding_dim: D, size of the embedding.
        dropout: Probability of dropping an activation, before and after a block's pointwise convolution.

    References:
        Gu et al., On the Parameterization and Initialization of Diagonal State Space Models, NeurIPS 2022.
        Avramidis et al., Scaling Representation Learning from Ubiquitous ECG with State-Space Models, arXiv 2309.15292.
    """

    def __init__(
        self,
        n_leads: PositiveInt,
        width: PositiveInt,
        n_layers: PositiveInt,
        n_states: PositiveInt,
        embedding_dim: PositiveInt,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        self.n_leads = n_leads
        self.embedding_dim = embedding_dim
        self.enter = nn.Linear(n_leads, width)
        self.blocks = nn.Sequential(*(_Block(width, n_states, dropout) for _ in range(n_layers)))
        self.leave = nn.Linear(width, embedding_dim)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed windows.

        Args:
            signal: (B, C, T) float32, normalised.

        Returns:
            Embeddings, (B, D).

        Raises:
            ValueError: If the input does not have C leads.
        """
        if signal.dim() != 3 or signal.shape[1] != self.n_leads:
            raise ValueError(f"signal has shape {tuple(signal.shape)}; this encoder reads (B, {self.n_leads}, T)")
        x = self.enter(signal.transpose(1, 2)).transpose(1, 2)  # (B, C, T) -> (B, H, T)
        embedding: Tensor = self.leave(self.blocks(x).mean(dim=2))  # (B, H, T) -> (B, D)
        return embedding
