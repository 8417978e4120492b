import pytest
import torch
from torch import Tensor

from tiles_ecg.augmentation.amplitude import AmplitudeModulation, Inversion, Scaling


def test_factors_are_log_uniform_within_their_limits_and_never_zero() -> None:
    torch.manual_seed(0)
    scaled, _ = Scaling((0.5, 2.0), p=1.0)(torch.ones(20000, 1, 1), torch.zeros(20000, 1, dtype=torch.bool))
    factor = scaled.flatten().log2()
    assert factor.min() >= -1.0001
    assert factor.max() <= 1.0001
    share = torch.histc(factor, bins=4, min=-1, max=1) / 20000
    torch.testing.assert_close(share, torch.full((4,), 0.25), atol=0.02, rtol=0.0)


def test_inversion_turns_the_chosen_share_upside_down() -> None:
    torch.manual_seed(0)
    signal = torch.ones(4000, 1, 1)
    inverted, _ = Inversion(p=0.2)(signal, torch.zeros(4000, 1, dtype=torch.bool))
    assert set(inverted.unique().tolist()) == {-1.0, 1.0}
    assert float((inverted < 0).float().mean()) == pytest.approx(0.2, abs=0.03)


def test_modulation_swings_by_its_depth_at_its_frequency() -> None:
    torch.manual_seed(0)
    step = AmplitudeModulation((0.3, 0.3), (0.5, 0.5), sample_rate=100.0, p=1.0)
    modulated, _ = step(torch.ones(5, 2, 1000), torch.zeros(5, 1000, dtype=torch.bool))
    spectrum = torch.fft.rfft(modulated[:, 0] - 1).abs() / 500
    assert (spectrum.argmax(dim=1) == 5).all()  # 0.5 Hz in 10 s
    torch.testing.assert_close(spectrum[:, 5], torch.full((5,), 0.3), atol=1e-3, rtol=0.0)


def test_modulation_never_changes_the_sign(ecg: tuple[Tensor, Tensor]) -> None:
    modulated, _ = AmplitudeModulation((0.9, 0.99), (0.1, 0.5), sample_rate=100.0, p=1.0)(*ecg)
    assert torch.equal(modulated.sign(), ecg[0].sign())


def test_impossible_amplitudes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factor\[0\] = 0.0 must be a positive number"):
        Scaling((0.0, 2.0), p=0.5)
    with pytest.raises(ValueError, match=r"factor = \[2.0, 0.5\]"):
        Scaling((2.0, 0.5), p=0.5)
    with pytest.raises(ValueError, match=r"depth = \[0.1, 1.0\] must stay below 1"):
        AmplitudeModulation((0.1, 1.0), (0.1, 0.5), 100.0, 0.5)
    with pytest.raises(ValueError, match="frequency_hz"):
        AmplitudeModulation((0.1, 0.2), (0.1, 60.0), 100.0, 0.5)
