"""The convolution of S4D: a diagonal state space as a kernel over time, and the causal convolution with it."""

import math

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

SHORTEST_STEP, LONGEST_STEP = 0.001, 0.1
"""Range of the step dt at the start, in time points' own unit; S4D, section 4."""
BLOCK = 32
"""Time points that are computed at once; near the square root of a usual length."""


class DiagonalKernel(nn.Module):
    """Kernels of H diagonal state spaces, each of one input, one output and N pairs of conjugate states.

    In continuous time x' = A x + u and y = 2 Re(C x), with a diagonal complex A of negative real part. With u held over
    each step dt (zero-order hold), point l of the output is the sum over k of K[k] u[l - k], with

        K[l] = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n)^l.

    With l = 32 a + b the power is exp(dt A)^(32 a) exp(dt A)^b, so that K is a product of an (a, 2N) and a (2N, b)
    matrix, and no (H, N, T) array is needed. All arithmetic is real, for export.

    Args:
        n_channels: H.
        n_states: N.

    Attributes:
        log_dt: (H,), drawn evenly between log 0.001 and log 0.1.
        log_decay: (H, N), log(-Re A); begins at log(1/2).
        frequency: (H, N), Im A; begins at pi n (S4D-Lin).
        output: (H, N, 2), real and imaginary part of C; begins standard normal.
        undecayed: Names of parameters that weight decay would pull towards other dynamics; see `decay_groups`.

    References:
        Gu et al., On the Parameterization and Initialization of Diagonal State Space Models, NeurIPS 2022: eq. 3 to 6
            and, for the start, S4D-Lin.
    """

    undecayed = ("log_dt", "log_decay", "frequency")

    def __init__(self, n_channels: PositiveInt, n_states: PositiveInt) -> None:
        super().__init__()
        low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
        self.log_dt = nn.Parameter(low + (high - low) * torch.rand(n_channels))
        self.log_decay = nn.Parameter(torch.full((n_channels, n_states), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(n_states, dtype=torch.float32).repeat(n_channels, 1))
        self.output = nn.Parameter(torch.randn(n_channels, n_states, 2) * math.sqrt(0.5))  # |C|^2 of 1 on average

    def forward(self, length: int) -> Tensor:
        """The kernels' first points.

        Args:
            length: T.

        Returns:
            K, (H, T), of at least single precision.
        """
        return _kernel(*self._discretised(), length)

    def _discretised(self) -> tuple[Tensor, Tensor]:
        """dt A, and C (exp(dt A) - 1) / A: two arrays (H, N, 2) of real and imaginary parts.

        The difference exp(dt A) - 1 is taken as it stands: `expm1` would be more exact where dt A is small, and moves
        the embeddings of the published weights by 2e-5, as these were trained with the rounding.
        """
        precision = torch.promote_types(self.output.dtype, torch.float32)
        dt = self.log_dt.to(precision).exp().unsqueeze(-1)  # (H, 1)
        rate, frequency = -self.log_decay.to(precision).exp(), self.frequency.to(precision)  # A, (H, N) each
        size = rate.square() + frequency.square()
        inverse = rate / size, -frequency / size
        decay, turn = dt * rate, dt * frequency
        grown = decay.exp() * turn.cos() - 1, decay.exp() * turn.sin()
        output_re, output_im = self.output.to(precision).unbind(-1)
        weight = _times((output_re, output_im), _times(grown, inverse))
        return torch.stack([decay, turn], dim=-1), torch.stack(weight, dim=-1)


def _kernel(pole: Tensor, weight: Tensor, length: int) -> Tensor:
    """2 Re sum_n weight_n exp(pole_n)^l for l < length, (H, T), of (H, N, 2) arrays of real and imaginary parts."""
    n_blocks = length // BLOCK + 2  # one more than can be needed: an exported graph must never have only one
    within_re, within_im = _powers(pole, torch.arange(BLOCK, device=pole.device))  # (H, N, 32)
    starts = _powers(pole, BLOCK * torch.arange(n_blocks, device=pole.device))
    block_re, block_im = _times((weight[..., :1], weight[..., 1:]), starts)  # (H, N, n)
    blocks = torch.cat([block_re, -block_im], dim=1).transpose(1, 2)  # (H, n, 2N)
    kernel = 2 * blocks @ torch.cat([within_re, within_im], dim=1)  # (H, n, 32)
    if torch.compiler.is_exporting():  # for which a slice would fix the length to multiples of the block
        time = torch.arange(length, device=pole.device)
        return kernel[:, time // BLOCK, time % BLOCK]
    return kernel.flatten(1)[:, :length]


def convolve_causally(signal: Tensor, kernel: Tensor) -> Tensor:
    """Point t of the result is the sum over k <= t of kernel[k] signal[t - k], for each channel.

    By FFT over twice the length, so that nothing wraps around; while a graph is exported, by a direct convolution, as
    runtimes are slow, wrong or without an FFT of any length.

    Args:
        signal: (B, H, T).
        kernel: (H, T).

    Returns:
        (B, H, T).
    """
    length = signal.shape[-1]
    if torch.compiler.is_exporting():
        late = F.pad(signal, (length - 1, 0))
        return F.conv1d(late, kernel.flip(-1).unsqueeze(1), groups=kernel.shape[0])
    spectrum = torch.fft.rfft(signal, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
    convolved: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return convolved


def _powers(pole: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """exp(pole)^exponent: real and imaginary part, (H, N, number of exponents)."""
    exponent = exponent.to(pole.dtype)
    size, angle = (pole[..., :1] * exponent).exp(), pole[..., 1:] * exponent
    return size * angle.cos(), size * angle.sin()


def _times(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Complex product of real and imaginary parts."""
    (a, b), (c, d) = first, second
    return a * c - b * d, a * d + b * c
