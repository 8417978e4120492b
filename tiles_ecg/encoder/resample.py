"""Resample: another sample rate as a convolution, so that it runs on the device and lets gradients through."""

from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.signal import firwin
from torch import Tensor, nn

from tiles_ecg.waveform import LARGEST_RATIO_TERM, RATIO_TOLERANCE

HALF_PERIODS = 10
"""Length of the filter on either side of its centre, in points of the slower rate; SciPy's choice."""
KAISER_BETA = 5.0
"""Of its window; SciPy's choice."""
MOST_TAPS = 1000
"""Points of input that a point of output may be computed from."""


class Resample(nn.Module):
    """Polyphase resampling of windows, as `waveform.resample` does it, which the stores are made with.

    The sum is that of `scipy.signal.resample_poly`, with the line through the first and the last point taken off before
    and put back after. Measured on 19 windows of mitdb 119, 360 to 100 Hz, against cutting the resampled recording: the
    error in the first and last 0.1 s is 0.003 standard deviations, and 0.036 without that line.

    Args:
        from_rate: Hz.
        to_rate: Hz, another one.

    Raises:
        ValueError: If the rates have no ratio of small integers.
    """

    kernel: Tensor

    def __init__(self, from_rate: float, to_rate: float) -> None:
        super().__init__()
        exact = Fraction(float(to_rate)) / Fraction(float(from_rate))
        ratio = exact.limit_denominator(LARGEST_RATIO_TERM)
        self.up, self.down = ratio.as_integer_ratio()
        reach = HALF_PERIODS * max(self.up, self.down)
        self.before = reach // max(self.up, 1)
        n_taps = self.before + ((self.up - 1) * self.down + reach) // max(self.up, 1) + 1
        if not 0 < self.up <= LARGEST_RATIO_TERM or abs(ratio / exact - 1) > RATIO_TOLERANCE or n_taps > MOST_TAPS:
            raise ValueError(
                f"cannot resample windows from {from_rate:g} Hz to the encoder's {to_rate:g} Hz: their ratio is no "
                f"fraction of small integers; prepare the store with preparation.sample_rate={to_rate:g}"
            )
        kernel = _phases(self.up, self.down, self.before, n_taps)
        self.register_buffer("kernel", torch.from_numpy(kernel[:, None, :]), persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        """Resample windows.

        Args:
            signal: (B, C, T), T >= 1.

        Returns:
            (B, C, ceil(T * up / down)) float32, whatever precision is automatic around it.
        """
        with torch.autocast(signal.device.type, enabled=False):
            return self._resampled(signal.to(self.kernel.dtype))

    def _resampled(self, signal: Tensor) -> Tensor:
        n_windows, n_leads, length = signal.shape
        n_out = -(-length * self.up // self.down)
        start = signal[..., :1]
        slope = (signal[..., -1:] - start) / max(length - 1, 1)
        level = signal - (start + slope * torch.arange(length, device=signal.device))
        n_steps = -(-n_out // self.up)  # each gives `up` points from `down` new ones
        after = (n_steps - 1) * self.down + self.kernel.shape[-1] - self.before - length
        padded = F.pad(level.reshape(n_windows * n_leads, 1, length), (self.before, after))  # cuts where after < 0
        phases = F.conv1d(padded, self.kernel, stride=self.down)  # (B * C, 1, T) -> (B * C, up, n_steps)
        resampled = phases.transpose(1, 2).reshape(n_windows, n_leads, -1)[..., :n_out]
        time = torch.arange(n_out, device=signal.device) * (self.down / self.up)
        return resampled + (start + slope * time)


def _phases(up: int, down: int, before: int, n_taps: int) -> NDArray[np.float32]:
    """(up, n_taps) filters: row r gives the output points r, r + up, ... from input points `before` earlier on.

    With x the input and h the low-pass at `up` times its rate, of `reach` points on either side, output point m is the
    sum over n of x[n] h[m * down - n * up + reach].
    """
    reach = HALF_PERIODS * max(up, down)
    low_pass = firwin(2 * reach + 1, 1 / max(up, down), window=("kaiser", KAISER_BETA)) * up
    at = np.arange(up)[:, None] * down - (np.arange(n_taps) - before) * up + reach
    inside = (at >= 0) & (at <= 2 * reach)
    return np.where(inside, low_pass[np.clip(at, 0, 2 * reach)], 0.0).astype(np.float32)
