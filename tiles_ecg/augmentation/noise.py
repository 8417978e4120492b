"""Made-up noise: white, wandering, muscular or from the mains, each at a drawn signal-to-noise ratio."""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import (
    check_limits,
    check_positive,
    check_probability,
    draw_chosen,
    draw_phase,
    draw_uniform,
)
from tiles_ecg.augmentation.functional import add_noise, high_pass, make_waves
from tiles_ecg.config_types import Limits, Probability


class GaussianNoise(nn.Module):
    """White noise.

    Args:
        snr_db: Lowest and highest signal-to-noise ratio, in dB of power within the window and lead.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(self, snr_db: Limits[float], p: Probability) -> None:
        super().__init__()
        check_limits("snr_db", snr_db)
        check_probability("p", p)
        self.snr_db = snr_db
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        return mix_noise(signal, torch.randn_like(signal), self.snr_db, self.p), beat


class BaselineWander(nn.Module):
    """Slow drift from breathing and moving: a few sines whose frequencies, phases and weights are drawn.

    Args:
        snr_db: Lowest and highest signal-to-noise ratio, in dB of power within the window and lead.
        frequency_hz: Lowest and highest frequency of the sines, in Hz.
        n_waves: Number of sines.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        snr_db: Limits[float],
        frequency_hz: Limits[PositiveFloat],
        n_waves: PositiveInt,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("snr_db", snr_db)
        check_positive("sample_rate", sample_rate)
        check_limits("frequency_hz", frequency_hz, low=0.0, high=sample_rate / 2)
        check_positive("frequency_hz[0]", frequency_hz[0])
        check_positive("n_waves", n_waves)
        check_probability("p", p)
        self.snr_db = snr_db
        self.frequency_hz = frequency_hz
        self.n_waves = n_waves
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        _, n_leads, n_points = signal.shape
        frequency_hz = draw_uniform(signal, self.frequency_hz, 1, self.n_waves)  # shared by the leads
        phase = draw_phase(signal, n_leads, self.n_waves)
        waves = make_waves(frequency_hz, phase, n_points, self.sample_rate)  # (B, C, n_waves, T)
        weight = draw_uniform(signal, (0.0, 1.0), n_leads, self.n_waves, 1)
        return mix_noise(signal, (weight * waves).sum(dim=2), self.snr_db, self.p), beat


class MuscleNoise(nn.Module):
    """A burst of muscle activity: noise above `cutoff_hz` under a bell-shaped envelope, the same in all leads.

    Args:
        snr_db: Lowest and highest signal-to-noise ratio, in dB of power within the window and lead.
        cutoff_hz: Lower edge of the noise, in Hz, below half the sample rate.
        burst_s: Shortest and longest standard deviation of the bell, in seconds.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        snr_db: Limits[float],
        cutoff_hz: PositiveFloat,
        burst_s: Limits[PositiveFloat],
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("snr_db", snr_db)
        check_positive("sample_rate", sample_rate)
        check_limits("cutoff_hz", (cutoff_hz, cutoff_hz), low=0.0, high=sample_rate / 2)
        check_limits("burst_s", burst_s)
        check_positive("burst_s[0]", burst_s[0])
        check_probability("p", p)
        self.snr_db = snr_db
        self.cutoff_hz = cutoff_hz
        self.burst_s = burst_s
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        n_points = signal.shape[2]
        cutoff_hz = torch.full((len(signal),), self.cutoff_hz, device=signal.device)
        noise = high_pass(torch.randn_like(signal), cutoff_hz, order=4, sample_rate=self.sample_rate)
        time_s = torch.arange(n_points, device=signal.device) / self.sample_rate
        centre_s = draw_uniform(signal, (0.0, n_points / self.sample_rate), 1, 1)
        width_s = draw_uniform(signal, self.burst_s, 1, 1)
        envelope = torch.exp(-0.5 * ((time_s - centre_s) / width_s).square())  # (B, 1, T)
        return mix_noise(signal, noise * envelope, self.snr_db, self.p), beat


class PowerlineNoise(nn.Module):
    """Hum from the mains: one sine near 50 or 60 Hz. Above half the sample rate it folds down, as in a cheap recorder.

    Args:
        snr_db: Lowest and highest signal-to-noise ratio, in dB of power within the window and lead.
        mains_hz: Frequencies of the grids, in Hz; a window draws one.
        drift_hz: Largest deviation from it, in Hz.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range.
    """

    mains_hz: Tensor

    def __init__(
        self,
        snr_db: Limits[float],
        mains_hz: Sequence[PositiveFloat],
        drift_hz: NonNegativeFloat,
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("snr_db", snr_db)
        if not mains_hz:
            raise ValueError("augmentation: mains_hz is empty; name at least one frequency, such as [50.0, 60.0]")
        for frequency_hz in mains_hz:
            check_positive("mains_hz", frequency_hz)
        check_limits("drift_hz", (drift_hz, drift_hz), low=0.0)
        check_positive("sample_rate", sample_rate)
        check_probability("p", p)
        self.register_buffer("mains_hz", torch.tensor(list(mains_hz), dtype=torch.float32), persistent=False)
        self.snr_db = snr_db
        self.drift_hz = drift_hz
        self.sample_rate = sample_rate
        self.p = p

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        grid = torch.randint(len(self.mains_hz), (len(signal), 1), device=signal.device)
        frequency_hz = self.mains_hz[grid] + draw_uniform(signal, (-self.drift_hz, self.drift_hz), 1)  # (B, 1)
        wave = make_waves(frequency_hz, draw_phase(signal, 1), signal.shape[2], self.sample_rate)  # (B, 1, T)
        return mix_noise(signal, wave, self.snr_db, self.p), beat


def mix_noise(signal: Tensor, noise: Tensor, snr_db: tuple[float, float], p: float) -> Tensor:
    """Adds noise (B, C, T) to a share `p` of the windows, each at a signal-to-noise ratio of its own."""
    noisy = add_noise(signal, noise, draw_uniform(signal, snr_db))
    return torch.where(draw_chosen(signal, p).view(-1, 1, 1), noisy, signal)
