"""What an S4 step costs, against the same network with its convolution written straight in plain torch.

    OMP_NUM_THREADS=1 python benchmarks/s4.py --batch 32 --points 1000 --repeats 5

Prints a Markdown table: CPU seconds of forward and backward of all threads together, medians, all taking turns. A
peak is the highest so far: that of `ours` alone does not see the others.
"""

import argparse
import copy
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tiles_ecg.encoder.s4 import S4, StateSpace


class PlainStateSpace(nn.Module):
    """The layer from its equations, with complex arrays: (H, N, T) powers, their sum, an FFT convolution."""

    def __init__(self, space: StateSpace) -> None:
        super().__init__()
        self.space = space

    def forward(self, signal: Tensor) -> Tensor:
        """(B, H, T) -> (B, H, T)."""
        kernel, length = self.space.kernel, signal.shape[-1]
        pole = torch.complex(-kernel.log_decay.exp(), kernel.frequency)  # type: ignore[operator,arg-type]
        step = kernel.log_dt.exp()[:, None] * pole  # type: ignore[operator]
        weight = torch.view_as_complex(kernel.output) * (step.exp() - 1) / pole  # type: ignore[arg-type]
        powers = torch.exp(step[..., None] * torch.arange(length))  # (H, N, T)
        kernels = 2 * torch.einsum("hn,hnt->ht", weight, powers).real
        spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(kernels, n=2 * length)
        filtered: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
        return filtered + signal * self.space.direct[:, None]


class FreeConvolution(nn.Module):
    """An FFT convolution whose kernel is a parameter: what is left of the layer when its kernel costs nothing."""

    def __init__(self, space: StateSpace, length: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(space.kernel(length).detach().clone())
        self.direct = nn.Parameter(space.direct.detach().clone())

    def forward(self, signal: Tensor) -> Tensor:
        """(B, H, T) -> (B, H, T)."""
        length = signal.shape[-1]
        spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(self.kernel, n=2 * length)
        filtered: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
        return filtered + signal * self.direct[:, None]


def with_layers(network: S4, layer: Callable[[StateSpace], nn.Module]) -> S4:
    """A copy with other layers in place of its state spaces."""
    network = copy.deepcopy(network)
    for block in network.blocks:
        block.space = layer(block.space)  # type: ignore[arg-type]
    return network


def step_s(network: nn.Module, signal: Tensor) -> float:
    """CPU seconds of a forward and a backward pass."""
    begun = time.process_time()
    network(signal).square().sum().backward()
    return time.process_time() - begun


def peak_mib(network: nn.Module, signal: Tensor) -> float:
    """Resident memory at its highest so far, MiB, after a step."""
    step_s(network, signal)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="windows")
    parser.add_argument("--points", type=int, default=1000, help="time points of a window")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each")
    asked = parser.parse_args()
    torch.manual_seed(0)
    ours = S4(n_leads=1, width=128, n_layers=6, n_states=32, embedding_dim=128)
    networks = {
        "ours": ours,
        "plain": with_layers(ours, PlainStateSpace),
        "free kernels": with_layers(ours, lambda space: FreeConvolution(space, asked.points)),
    }
    signal = torch.randn(asked.batch, 1, asked.points)
    peaks = {name: peak_mib(network, signal) for name, network in networks.items()}
    with torch.no_grad():
        difference = max((ours(signal) - network(signal)).abs().max().item() for network in networks.values())
    steps: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(asked.repeats):
        print(f"{number + 1} of {asked.repeats}", file=sys.stderr)
        for name, network in networks.items():
            steps[name].append(step_s(network, signal))
    print("| network | forward and backward, CPU s | peak memory MiB | ours over it |\n| --- | --- | --- | --- |")
    for name, seconds in steps.items():
        ratio = statistics.median(a / b for a, b in zip(steps["ours"], seconds, strict=True))
        print(f"| {name} | {statistics.median(seconds):.3f} | {peaks[name]:,.0f} | {ratio:.2f} |")
    print(f"\nembeddings differ by at most {difference:.1e}")


if __name__ == "__main__":
    main()
