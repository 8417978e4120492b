"""Amplitude: scaled, inverted, or slowly modulated. One draw holds for all leads of a window."""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import (
    check_limits,
    check_positive,
    check_probability,
    draw_chosen,
    draw_log_uniform,
    draw_phase,
    draw_uniform,
)
from tiles_ecg.augmentation.functional import make_waves, modulate
from tiles_ecg.config_types import Limits, Probability, ShareBelowOne


class Scaling(nn.Module):
    """Multiplies each window by a factor, log-uniform so that halving is as likely as doubling; never by 0.

    Args:
        factor: Smallest and largest factor, > 0.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(self, factor: Limits[PositiveFloat], p: Probability) -> None:
        super().__init__()
        check_limits("factor", factor)
        check_positive("factor[0]", factor[0])
        check_probability("p", p)
        self.factor = factor
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        factor = torch.where(draw_chosen(signal, self.p), draw_log_uniform(signal, self.factor), 1.0)
        return signal * factor.view(-1, 1, 1), beat


class Inversion(nn.Module):
    """Turns each window upside down, as swapped electrodes do.

    Args:
        p: Probability that a window is chosen.

    Raises:
        ValueError: `p` is no probability.
    """

    def __init__(self, p: Probability) -> None:
        super().__init__()
        check_probability("p", p)
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        return torch.where(draw_chosen(signal, self.p).view(-1, 1, 1), -signal, signal), beat


class AmplitudeModulation(nn.Module):
    """Lets the amplitude rise and fall with a slow sine, as breathing does by turning the heart's axis.

    Args:
        depth: Smallest and largest depth, a share of the amplitude, 0 <= depth < 1.
        frequency_hz: Lowest and highest frequency of the sine, in Hz.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.

    References:
        Moody et al., Derivation of respiratory signals from multi-lead ECGs, Computers in Cardiology 12, 1985.
    """

    def __init__(
        self,
        depth: Limits[ShareBelowOne],
        frequency_hz: Limits[PositiveFloat],
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("depth", depth, low=0.0)
        if depth[1] >= 1:
            raise ValueError(f"augmentation: depth = {list(depth)} must stay below 1: there the amplitude reaches 0")
        check_positive("sample_rate", sample_rate)
        check_limits("frequency_hz", frequency_hz, low=0.0, high=sample_rate / 2)
        check_probability("p", p)
        self.depth = depth
        self.frequency_hz = frequency_hz
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        frequency_hz = draw_uniform(signal, self.frequency_hz)
        wave = make_waves(frequency_hz, draw_phase(signal), signal.shape[2], self.sample_rate)  # (B, T)
        depth = torch.where(draw_chosen(signal, self.p), draw_uniform(signal, self.depth), 0.0)
        return modulate(signal, wave, depth), beat
