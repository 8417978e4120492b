from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tiles_ecg.augmentation.noise import BaselineWander, GaussianNoise, MuscleNoise, PowerlineNoise


def added(step: nn.Module, signal: Tensor) -> Tensor:
    torch.manual_seed(0)
    noisy, _ = step(signal, torch.zeros(len(signal), signal.shape[2], dtype=torch.bool))
    difference: Tensor = noisy.double() - signal.double()
    return difference


def power_between(noise: Tensor, low_hz: float, high_hz: float) -> Tensor:
    """Share of the power within a band at 100 Hz, (B, C)."""
    power = torch.fft.rfft(noise, dim=2).abs().square()
    frequency_hz = torch.fft.rfftfreq(noise.shape[2], 1 / 100)
    return power[..., (frequency_hz >= low_hz) & (frequency_hz <= high_hz)].sum(dim=2) / power.sum(dim=2)


STEPS: dict[str, Callable[[tuple[float, float], float], nn.Module]] = {
    "gaussian": lambda snr_db, p: GaussianNoise(snr_db, p),
    "baseline": lambda snr_db, p: BaselineWander(snr_db, (0.05, 0.67), 3, 100.0, p),
    "muscle": lambda snr_db, p: MuscleNoise(snr_db, 20.0, (0.3, 3.0), 100.0, p),
    "powerline": lambda snr_db, p: PowerlineNoise(snr_db, [50.0, 60.0], 0.5, 100.0, p),
}


@pytest.mark.parametrize("name", STEPS)
def test_noise_has_the_drawn_ratio_to_the_power_of_its_own_window(name: str) -> None:
    torch.manual_seed(1)
    signal = torch.logspace(-1, 2, 200).view(-1, 1, 1) * torch.randn(200, 2, 1000)  # loud and quiet windows
    noise = added(STEPS[name]((5.0, 25.0), 1.0), signal)
    snr_db = 10 * (signal.double().var(dim=2) / noise.var(dim=2)).log10()
    assert snr_db.min() > 4.95
    assert snr_db.max() < 25.05
    assert snr_db.std() > 4  # uniform over 20 dB: 5.8
    torch.testing.assert_close(snr_db[:, 0], snr_db[:, 1], atol=0.05, rtol=0.0)  # one draw for all leads


@pytest.mark.parametrize("name", STEPS)
def test_limits_in_the_wrong_order_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"snr_db = \[25.0, 5.0\].*write \[5.0, 25.0\]"):
        STEPS[name]((25.0, 5.0), 0.5)


def test_gaussian_noise_is_white() -> None:
    noise = added(GaussianNoise((0.0, 0.0), 1.0), torch.randn(64, 1, 1000))
    for low_hz in (0.0, 10.0, 20.0, 30.0, 40.0):
        assert float(power_between(noise, low_hz, low_hz + 10).mean()) == pytest.approx(0.2, abs=0.01)


def test_baseline_wander_is_slow_and_differs_between_leads() -> None:
    noise = added(BaselineWander((0.0, 0.0), (0.05, 0.67), 3, 100.0, 1.0), torch.randn(64, 2, 1000))
    assert (noise.diff(dim=2).abs().amax(dim=2) < 0.1 * noise.abs().amax(dim=2)).all()
    assert not torch.allclose(noise[:, 0], noise[:, 1], atol=0.1)


def test_muscle_noise_lies_above_its_cutoff_and_comes_in_bursts() -> None:
    noise = added(MuscleNoise((0.0, 0.0), 20.0, (0.3, 0.3), 100.0, 1.0), torch.randn(64, 1, 1000))
    assert power_between(noise, 18.0, 50.0).mean() > 0.97
    power = noise.square().cumsum(dim=2) / noise.square().sum(dim=2, keepdim=True)
    duration = ((power > 0.025) & (power < 0.975)).sum(dim=2)
    assert duration.max() < 150  # of 1000 points: 95 % of the power within about 2 standard deviations of the bell


def test_powerline_noise_is_at_the_mains_and_folds_down() -> None:
    noise = added(PowerlineNoise((0.0, 0.0), [60.0], 0.0, 100.0, 1.0), torch.randn(16, 1, 1000))
    assert power_between(noise, 39.9, 40.1).min() > 0.999
    noise = added(PowerlineNoise((0.0, 0.0), [20.0, 30.0], 0.0, 100.0, 1.0), torch.randn(64, 1, 1000))
    is_low = power_between(noise, 19.9, 20.1) > 0.999
    is_high = power_between(noise, 29.9, 30.1) > 0.999
    assert (is_low | is_high).all()
    assert 16 < is_low.sum() < 48


def test_impossible_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="mains_hz is empty"):
        PowerlineNoise((0.0, 10.0), [], 0.5, 100.0, 0.5)
    with pytest.raises(ValueError, match="drift_hz"):
        PowerlineNoise((0.0, 10.0), [50.0], -0.5, 100.0, 0.5)
    with pytest.raises(ValueError, match="cutoff_hz"):
        MuscleNoise((0.0, 10.0), 60.0, (0.3, 3.0), 100.0, 0.5)
    with pytest.raises(ValueError, match=r"frequency_hz\[0\]"):
        BaselineWander((0.0, 10.0), (0.0, 0.5), 3, 100.0, 0.5)
    with pytest.raises(ValueError, match="two numbers"):
        GaussianNoise((0.0, float("inf")), 0.5)
