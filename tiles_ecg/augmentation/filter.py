"""Filters with a cut-off of each window's own, as recorders differ in theirs."""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_limits, check_positive, check_probability, draw_chosen, draw_uniform
from tiles_ecg.augmentation.functional import high_pass, low_pass
from tiles_ecg.config_types import Limits, Probability


class LowPass(nn.Module):
    """Zero-phase Butterworth low-pass.

    Args:
        cutoff_hz: Lowest and highest cut-off, in Hz, below half the sample rate; there the gain is 1/2.
        order: Order of the filter, which goes over the signal twice.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        cutoff_hz: Limits[PositiveFloat],
        order: PositiveInt,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_filter(cutoff_hz, order, sample_rate, p)
        self.cutoff_hz = cutoff_hz
        self.order = order
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        filtered = low_pass(signal, draw_uniform(signal, self.cutoff_hz), self.order, self.sample_rate)
        return torch.where(draw_chosen(signal, self.p).view(-1, 1, 1), filtered, signal), beat


class HighPass(nn.Module):
    """Zero-phase Butterworth high-pass.

    Args:
        cutoff_hz: Lowest and highest cut-off, in Hz, below half the sample rate; there the gain is 1/2.
        order: Order of the filter, which goes over the signal twice.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        cutoff_hz: Limits[PositiveFloat],
        order: PositiveInt,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_filter(cutoff_hz, order, sample_rate, p)
        self.cutoff_hz = cutoff_hz
        self.order = order
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        filtered = high_pass(signal, draw_uniform(signal, self.cutoff_hz), self.order, self.sample_rate)
        return torch.where(draw_chosen(signal, self.p).view(-1, 1, 1), filtered, signal), beat


def check_filter(cutoff_hz: tuple[float, float], order: int, sample_rate: float, p: float) -> None:
    """Raises ValueError for arguments that make no filter."""
    check_positive("sample_rate", sample_rate)
    check_limits("cutoff_hz", cutoff_hz, low=0.0, high=sample_rate / 2)
    check_positive("cutoff_hz[0]", cutoff_hz[0])
    check_positive("order", order)
    check_probability("p", p)
