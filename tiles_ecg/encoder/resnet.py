"""Pre-activation residual network over time, for one lead or several."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.config_types import Probability


class _Conv(nn.Conv1d):
    """A convolution over time of (B, C, 1, T) input, `ceil(T / stride)` long, run as a two-dimensional one.

    Channels-last two-dimensional convolutions are a fifth faster than `conv1d` on a CPU, and feed a GPU's matrix units
    without transposing. The weights stay those of a Conv1d: (out, in, kernel).
    """

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, self.kernel_size[0] // 2)
        convolved: Tensor = F.conv2d(x, self.weight.unsqueeze(2), None, (1, self.stride[0]), padding)
        return convolved


class _Block(nn.Module):
    """[norm, ReLU,] convolution, norm, ReLU, convolution; added to a parameter-free shortcut."""

    def __init__(
        self, width_in: int, width: int, stride: int, kernel_size: int, dropout: float, is_first: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.grown = width - width_in
        self.enter = (
            nn.Identity()
            if is_first
            else nn.Sequential(nn.BatchNorm2d(width_in), nn.ReLU(inplace=True), nn.Dropout(dropout))
        )
        self.branch = nn.Sequential(
            _Conv(width_in, width, kernel_size, stride, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            _Conv(width, width, kernel_size, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[..., :: self.stride]  # (B, W, 1, T) -> (B, W, 1, ceil(T / stride))
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.grown // 2, self.grown - self.grown // 2))
        added: Tensor = shortcut + self.branch(self.enter(x))
        return added


class ResNet1d(nn.Module):
    """Residual network over time: stem, pre-activation blocks, pointwise convolution, mean over time.

    The identity shortcut is subsampled and zero-padded where a block strides or widens (option A of He et al. 2016a);
    the first block has no pre-activation of its own, since the stem ends with one. The published code keeps its last
    128 filters as the embedding although its README says 256; a pointwise convolution gives the 256 here.

    Args:
        n_leads: C, leads of the input.
        widths: Filters of each block; they must not shrink.
        strides: Stride of each block, one for each width.
        kernel_size: Odd, in time points.
        embedding_dim: D, size of the embedding.
        dropout: Probability of dropping an activation before a block's convolutions; 0 for SimCLR.

    Raises:
        ValueError: If widths and strides differ in number, widths shrink, or the kernel is even.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (a).
        He et al., Identity Mappings in Deep Residual Networks, ECCV 2016 (b).
    """

    def __init__(
        self,
        n_leads: PositiveInt,
        widths: Sequence[PositiveInt],
        strides: Sequence[PositiveInt],
        kernel_size: PositiveInt,
        embedding_dim: PositiveInt,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides):
            raise ValueError(f"{len(widths)} widths but {len(strides)} strides: give one of each for every block")
        if not widths or list(widths) != sorted(widths):
            raise ValueError(f"widths = {list(widths)}: give at least one, none smaller than the one before")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size = {kernel_size}: choose an odd length, so that it has a centre")
        self.n_leads = n_leads
        self.embedding_dim = embedding_dim
        self.stem = nn.Sequential(
            _Conv(n_leads, widths[0], kernel_size, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            *(
                _Block(before, width, stride, kernel_size, dropout, is_first=number == 0)
                for number, (before, width, stride) in enumerate(
                    zip([widths[0], *widths[:-1]], widths, strides, strict=True)
                )
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
            _Conv(widths[-1], embedding_dim, 1, bias=False),
            nn.BatchNorm2d(embedding_dim),
            nn.ReLU(inplace=True),
        )

    def forward(self, signal: Tensor) -> Tensor:
        """Embed windows.

        Args:
            signal: (B, C, T) float32, normalised; any T of at least a few hundred points.

        Returns:
            Embeddings, (B, D).

        Raises:
            ValueError: If the input does not have C leads.
        """
        if signal.dim() != 3 or signal.shape[1] != self.n_leads:
            raise ValueError(f"signal has shape {tuple(signal.shape)}; this encoder reads (B, {self.n_leads}, T)")
        x = self.stem(signal.unsqueeze(2)).contiguous(memory_format=torch.channels_last)  # (B, C, T) -> (B, W, 1, T)
        x = self.head(self.blocks(x))
        embedding: Tensor = x.mean(dim=(2, 3))  # (B, D, 1, T') -> (B, D)
        return embedding
