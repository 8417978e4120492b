"""Resampling by convolution against SciPy's, and against resampling the whole recording."""

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

from tiles_ecg.encoder.resample import Resample
from tiles_ecg.waveform import resample

RATES = [(250, 100), (360, 100), (100, 250), (128, 100), (257, 100), (500, 100), (125, 130)]


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("length", [2, 7, 1000, 1501])
def test_a_signal_that_begins_and_ends_at_zero_becomes_what_scipy_makes_of_it(
    from_rate: int, to_rate: int, length: int
) -> None:
    signal = np.random.default_rng(length).standard_normal((3, 2, length))
    signal[..., [0, -1]] = 0
    expected = resample_poly(signal, to_rate, from_rate, axis=-1)
    found = Resample(from_rate, to_rate)(torch.from_numpy(signal).float())
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("length", [1, 2, 1000, 1501])
def test_it_is_the_resampling_that_stores_are_made_with(from_rate: int, to_rate: int, length: int) -> None:
    signal = np.random.default_rng(0).standard_normal((3, 2, length)).astype(np.float32) + 5
    expected = resample(signal, from_rate, to_rate)
    np.testing.assert_allclose(Resample(from_rate, to_rate)(torch.from_numpy(signal)), expected, atol=2e-5)


def test_a_drift_stays_a_drift_to_its_ends() -> None:
    seconds = torch.arange(1000) / 250
    expected = 3 + 0.5 * torch.arange(400) / 100
    torch.testing.assert_close(Resample(250, 100)(3 + 0.5 * seconds[None, None])[0, 0], expected)


def test_a_sine_above_the_new_half_rate_is_taken_off_and_one_below_is_kept() -> None:
    seconds = torch.arange(2500) / 250
    slow, fast = (torch.sin(2 * torch.pi * hz * seconds)[None, None] for hz in (5.0, 80.0))
    inner = slice(50, -50)
    expected = torch.sin(2 * torch.pi * 5.0 * torch.arange(1000) / 100)
    torch.testing.assert_close(Resample(250, 100)(slow)[0, 0, inner], expected[inner], rtol=0, atol=2e-3)
    assert Resample(250, 100)(fast)[0, 0, inner].abs().max() < 1e-2


def test_its_gradient_is_that_of_a_linear_map() -> None:
    convert = Resample(250, 100).double()
    torch.manual_seed(0)
    signal, other = torch.randn(2, 1, 1, 75, dtype=torch.float64)
    signal.requires_grad_()
    weight = torch.randn(1, 1, 30, dtype=torch.float64)
    (convert(signal) * weight).sum().backward()
    assert signal.grad is not None
    torch.testing.assert_close((signal.grad * other).sum(), (convert(other) * weight).sum())


def test_half_precision_around_it_does_not_reach_it() -> None:
    signal = torch.randn(2, 1, 500)
    convert = Resample(250, 100)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(convert(signal), convert(signal.clone()))
        found = convert(signal)
    assert torch.equal(found, convert(signal))


def test_it_has_no_weights_to_save() -> None:
    assert Resample(250, 100).state_dict() == {}


@pytest.mark.parametrize("from_rate", [127.94, 100.01, 1e7])
def test_rates_without_a_simple_ratio_are_refused_with_the_rate_to_prepare_at(from_rate: float) -> None:
    with pytest.raises(ValueError, match=r"to the encoder's 100 Hz.*preparation.sample_rate=100"):
        Resample(from_rate, 100)
