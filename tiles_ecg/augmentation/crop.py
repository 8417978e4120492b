"""Random crop: each window keeps a stretch of its own."""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_positive
from tiles_ecg.augmentation.functional import take_points


class RandomCrop(nn.Module):
    """Keeps `crop_s` seconds of each window, from a start drawn uniformly; always, so that all views are equally long.

    Args:
        crop_s: Length kept, in seconds.
        sample_rate: Hz.

    Raises:
        ValueError: A value is not positive, or the crop is shorter than a time point or (in `forward`) longer than the
            window.
    """

    def __init__(self, crop_s: PositiveFloat, sample_rate: PositiveFloat) -> None:
        super().__init__()
        check_positive("crop_s", crop_s)
        check_positive("sample_rate", sample_rate)
        self.crop_s = crop_s
        self.sample_rate = sample_rate
        self.length = round(crop_s * sample_rate)
        if self.length < 1:
            raise ValueError(f"augmentation: crop_s = {crop_s} s is shorter than a time point ({1 / sample_rate} s)")

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> (B, C, T') and (B, T')."""
        n_windows, _, n_points = signal.shape
        if self.length > n_points:
            raise ValueError(
                f"augmentation: crop_s = {self.crop_s} s is longer than the window ({n_points / self.sample_rate} s); "
                f"choose a crop of at most {n_points / self.sample_rate} s"
            )
        start = torch.randint(n_points - self.length + 1, (n_windows, 1), device=signal.device)
        return take_points(signal, beat, start + torch.arange(self.length, device=signal.device))
