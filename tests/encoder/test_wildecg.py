"""WildECG's residual network: against its description, written with loops; an exported graph of it."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tiles_ecg.encoder.wildecg import WildEcgResNet

Array = NDArray[np.float64]


def small() -> WildEcgResNet:
    torch.manual_seed(0)
    network = WildEcgResNet(1, [3, 3, 6, 7], [1, 2, 1, 2], 3)
    for _ in range(3):
        network(torch.randn(8, 1, 60))  # moves the norms
    return network.double().eval()


def convolved(x: Array, conv: nn.Conv1d) -> Array:
    """(C, T) -> (C', ceil(T / stride)), zeros shared out to both sides, the odd one on the right."""
    weight, bias, stride = conv.weight.detach().numpy(), conv.bias.detach().numpy(), conv.stride[0]  # type: ignore[union-attr]
    n_out, size = -(-x.shape[1] // stride), weight.shape[2]
    zeros = max((n_out - 1) * stride + size - x.shape[1], 0)
    padded = np.pad(x, ((0, 0), (zeros // 2, zeros - zeros // 2)))
    steps = [padded[:, i * stride : i * stride + size] for i in range(n_out)]
    return np.stack([np.einsum("oik,ik->o", weight, step) + bias for step in steps], axis=1)


def normed(x: Array, norm: nn.Module) -> Array:
    """Batch norm in evaluation, and ReLU."""
    mean, var, scale, shift = (
        getattr(norm, name).detach().numpy()[:, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    found: Array = np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)
    return found


def by_loops(network: WildEcgResNet, x: Array) -> Array:
    x = normed(convolved(x, network.stem), network.stem_norm)
    blocks: list[Any] = list(network.blocks)
    for number, block in enumerate(blocks):
        branch = x if number == 0 else normed(x, block.norm1)
        branch = convolved(normed(convolved(branch, block.conv1), block.norm2), block.conv2)
        if block.stride == 2:
            padded = np.pad(x, ((0, 0), (0, x.shape[1] % 2)))
            x = np.maximum(padded[:, ::2], padded[:, 1::2])
        more = len(branch) - len(x)
        x = branch + np.pad(x, ((more // 2, more - more // 2), (0, 0)))
    embedding: Array = normed(x, network.last_norm).mean(axis=1)
    return embedding


@pytest.mark.parametrize("length", [60, 61, 62, 63])
def test_it_is_its_description(length: int) -> None:
    network, signal = small(), torch.randn(2, 1, length, dtype=torch.float64)
    expected = np.stack([by_loops(network, window) for window in signal.numpy()])
    np.testing.assert_allclose(network(signal).detach().numpy(), expected, atol=1e-12)


def test_a_program_of_any_batch_and_time_gives_what_the_network_gives() -> None:
    network = small().float()
    time = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    program = torch.export.export(network, (torch.randn(2, 1, 500),), dynamic_shapes=(time,)).module()
    for shape in ((1, 1, 1000), (3, 1, 333), (2, 1, 502)):
        signal = torch.randn(shape)
        torch.testing.assert_close(program(signal), network(signal), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [8, 8], "strides": [1]}, "2 widths but 1 strides"),
        ({"widths": [8, 4], "strides": [1, 1]}, "none smaller than the one before"),
        ({"widths": [], "strides": []}, "give at least one"),
        ({"widths": [8], "strides": [4]}, "none above the kernel_size of 3"),
    ],
)
def test_an_impossible_network_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WildEcgResNet(**{"n_leads": 1, "kernel_size": 3, **arguments})  # type: ignore[arg-type]
