"""The residual network of WildECG, as its authors published it."""

from collections.abc import Sequence

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.config_types import Probability


class _SameConv(nn.Conv1d):
    """A convolution over time of (B, C, 1, T) input, `ceil(T / stride)` long; the odd zero is put on the right."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel_size,), (stride,), length = self.kernel_size, self.stride, x.shape[-1]
        zeros = (length + stride - 1) // stride * stride - stride + kernel_size - length
        padded = F.pad(x, (zeros // 2, zeros - zeros // 2))
        convolved: Tensor = F.conv2d(padded, self.weight.unsqueeze(2), self.bias, (1, stride))
        return convolved


class _Block(nn.Module):
    """[norm, ReLU, dropout,] convolution, norm, ReLU, dropout, convolution; added to a max-pooled, padded shortcut."""

    def __init__(
        self, width_in: int, width: int, stride: int, kernel_size: int, dropout: float, is_first: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.grown = width - width_in
        self.norm1 = nn.Identity() if is_first else nn.BatchNorm2d(width_in)
        self.is_first = is_first
        self.conv1 = _SameConv(width_in, width, kernel_size, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = _SameConv(width, width, kernel_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        entered = x if self.is_first else self.dropout(F.relu(self.norm1(x)))
        branch = self.conv2(self.dropout(F.relu(self.norm2(self.conv1(entered)))))
        shortcut = x
        if self.stride > 1:  # in two dimensions, since max_pool1d would fix the length of an exported graph
            shortcut = F.max_pool2d(F.pad(x, (0, self.stride - 1)), (1, self.stride))
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.grown // 2, self.grown - self.grown // 2))
        added: Tensor = shortcut + branch
        return added


class WildEcgResNet(nn.Module):
    """Residual network over time of WildECG: stem, pre-activation blocks, norm, ReLU, mean over time.

    It differs from `ResNet1d` in what its published weights need: SAME padding with the odd zero on the right, a
    max-pooled shortcut, convolutions with a bias, and the last block's filters as the embedding.

    Args:
        n_leads: C, leads of the input.
        widths: Filters of each block; they must not shrink. The last is D.
        strides: Stride of each block, one for each width, at most the kernel size.
        kernel_size: In time points.
        dropout: Probability of dropping an activation before a block's convolutions.

    Raises:
        ValueError: If widths and strides differ in number, widths shrink, or a stride exceeds the kernel.

    References:
        Avramidis et al., Scaling Representation Learning from Ubiquitous ECG with State-Space Models, arXiv 2309.15292.
    """

    def __init__(
        self,
        n_leads: PositiveInt,
        widths: Sequence[PositiveInt],
        strides: Sequence[PositiveInt],
        kernel_size: PositiveInt,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides):
            raise ValueError(f"{len(widths)} widths but {len(strides)} strides: give one of each for every block")
        if not widths or list(widths) != sorted(widths):
            raise ValueError(f"widths = {list(widths)}: give at least one, none smaller than the one before")
        if max(strides) > kernel_size:
            raise ValueError(f"strides = {list(strides)}: give none above the kernel_size of {kernel_size}")
        self.n_leads = n_leads
        self.embedding_dim = widths[-1]
        self.stem = _SameConv(n_leads, widths[0], kernel_size)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(
            *(
                _Block(before, width, stride, kernel_size, dropout, is_first=number == 0)
                for number, (before, width, stride) in enumerate(
                    zip([widths[0], *widths[:-1]], widths, strides, strict=True)
                )
            )
        )
        self.last_norm = nn.BatchNorm2d(widths[-1])

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
        x = F.relu(self.stem_norm(self.stem(signal.unsqueeze(2))))  # (B, C, T) -> (B, W, 1, T)
        x = F.relu(self.last_norm(self.blocks(x)))
        embedding: Tensor = x.mean(dim=(2, 3))  # (B, D, 1, T') -> (B, D)
        return embedding
