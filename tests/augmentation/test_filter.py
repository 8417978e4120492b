import pytest
import torch

from tiles_ecg.augmentation.filter import HighPass, LowPass

TIME_S = torch.arange(1500) / 100


def wave(frequency_hz: float) -> torch.Tensor:
    return torch.sin(2 * torch.pi * frequency_hz * TIME_S).expand(50, 1, -1)


BEAT = torch.zeros(50, 1500, dtype=torch.bool)


def amplitude(signal: torch.Tensor) -> torch.Tensor:
    return signal[..., 300:1200].square().mean(dim=2).mul(2).sqrt()


def test_a_wave_at_the_cutoff_is_halved() -> None:
    for step in (LowPass((20.0, 20.0), 2, 100.0, 1.0), HighPass((20.0, 20.0), 2, 100.0, 1.0)):
        torch.testing.assert_close(amplitude(step(wave(20.0), BEAT)[0]), torch.full((50, 1), 0.5), atol=0.01, rtol=0.0)


def test_waves_on_the_right_side_pass_and_on_the_wrong_side_vanish() -> None:
    low, high = LowPass((15.0, 40.0), 2, 100.0, 1.0), HighPass((0.5, 1.5), 2, 100.0, 1.0)
    assert amplitude(low(wave(3.0), BEAT)[0]).min() > 0.99
    assert amplitude(low(wave(45.0), BEAT)[0]).max() < 0.42
    assert amplitude(high(wave(8.0), BEAT)[0]).min() > 0.99
    assert amplitude(high(wave(0.1), BEAT)[0]).max() < 0.05


def test_each_window_has_a_cutoff_of_its_own_within_the_limits() -> None:
    torch.manual_seed(0)
    gain = amplitude(LowPass((15.0, 40.0), 2, 100.0, 1.0)(wave(20.0), BEAT)[0]).flatten()
    cutoff_hz = 20 / (1 / gain - 1) ** 0.25
    assert cutoff_hz.min() > 14.8
    assert cutoff_hz.max() < 40.5
    assert cutoff_hz.std() > 5


@pytest.mark.parametrize("kind", [LowPass, HighPass])
def test_impossible_filters_are_refused(kind: type[LowPass] | type[HighPass]) -> None:
    with pytest.raises(ValueError, match=r"cutoff_hz = \[15.0, 60.0\] must lie within 0.0 and 50.0"):
        kind((15.0, 60.0), 2, 100.0, 0.5)
    with pytest.raises(ValueError, match=r"cutoff_hz\[0\] = 0.0"):
        kind((0.0, 1.0), 2, 100.0, 0.5)
    with pytest.raises(ValueError, match="order = 0"):
        kind((1.0, 2.0), 0, 100.0, 0.5)
