"""Time warp: the rhythm runs faster here and slower there, smoothly."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_positive, check_probability, draw_chosen, draw_uniform
from tiles_ecg.augmentation.functional import warp, warp_path
from tiles_ecg.config_types import Probability, ShareBelowOne


class TimeWarp(nn.Module):
    """Stretches and squeezes each window along its own smooth map of time; both ends stay in place, beats move along.

    Args:
        max_change: Largest change of the local speed, as a share of it: 0.2 lets it vary between 0.8 and 1.2.
        n_harmonics: Cosines that make up the speed, the k-th with k half periods in a window.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.

    References:
        Um et al., Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional
        Neural Networks, ICMI 2017 ("time-warping": there along a cubic spline, here a cosine series that cannot fold).
    """

    def __init__(self, max_change: ShareBelowOne, n_harmonics: PositiveInt, p: Probability) -> None:
        super().__init__()
        if not 0 < max_change < 1:
            raise ValueError(
                f"augmentation: max_change = {max_change} must lie between 0 and 1, where time stands still"
            )
        check_positive("n_harmonics", n_harmonics)
        check_probability("p", p)
        self.max_change = max_change
        self.n_harmonics = n_harmonics
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        weight = draw_uniform(signal, (-1.0, 1.0), self.n_harmonics)
        # Sums of random weights are seldom large: scaled to 1 first, then by chance, they use the whole allowed change.
        strength = draw_uniform(signal, (0.0, 1.0), 1)
        weight = strength * weight / weight.abs().sum(dim=1, keepdim=True).clamp(min=1e-6)
        warped, moved = warp(signal, beat, warp_path(weight, self.max_change, signal.shape[2]))
        chosen = draw_chosen(signal, self.p)
        return torch.where(chosen.view(-1, 1, 1), warped, signal), torch.where(chosen.view(-1, 1), moved, beat)
