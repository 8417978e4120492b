"""Order in time: segments change places, or time runs backwards."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_limits, check_probability, draw_chosen
from tiles_ecg.augmentation.functional import permute_index, take_points
from tiles_ecg.config_types import Limits, Probability


class Permutation(nn.Module):
    """Cuts each window at random points and shuffles the segments; beats travel with their segments.

    Args:
        n_segments: Fewest and most segments; the number is uniform between them. Chance may leave the order as it was.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range, or (in `forward`) the window has fewer points than segments.
    """

    def __init__(self, n_segments: Limits[PositiveInt], p: Probability) -> None:
        super().__init__()
        check_limits("n_segments", n_segments, low=2)
        check_probability("p", p)
        self.fewest, self.most = n_segments
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes, both in the new order."""
        n_windows, _, n_points = signal.shape
        if n_points < self.most:
            raise ValueError(
                f"augmentation: n_segments = [{self.fewest}, {self.most}] is more than the window's {n_points} points"
            )
        device = signal.device
        n_cuts = torch.randint(self.fewest - 1, self.most, (n_windows, 1), device=device)
        n_cuts = torch.where(draw_chosen(signal, self.p).unsqueeze(1), n_cuts, 0)
        cut = torch.randint(1, n_points, (n_windows, self.most - 1), device=device)
        is_used = torch.arange(self.most - 1, device=device) < n_cuts
        key = torch.rand(n_windows, self.most, device=device)
        return take_points(signal, beat, permute_index(torch.where(is_used, cut, n_points), key, n_points))


class TimeReversal(nn.Module):
    """Lets time run backwards, in signal and beats alike.

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
        chosen = draw_chosen(signal, self.p)
        return (
            torch.where(chosen.view(-1, 1, 1), signal.flip(2), signal),
            torch.where(chosen.view(-1, 1), beat.flip(1), beat),
        )
