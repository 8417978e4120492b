"""Raw signals: converted, or refused with what would be right."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from tiles_ecg.raw_signal import SignalError, as_recording

WAVE = np.sin(np.arange(500) / 7)


@pytest.mark.parametrize(
    "signal",
    [
        WAVE,
        WAVE[None],
        WAVE.tolist(),
        torch.from_numpy(WAVE),
        np.asfortranarray(np.stack([WAVE, WAVE]))[:1],
        WAVE.astype(">f8"),
    ],
)
def test_any_array_of_one_lead_becomes_one_stretch(signal: Any) -> None:
    recording = as_recording(signal, 250, "mV", 1, "mV")
    assert recording.signal.shape == (1, 1, 500)
    assert np.array_equal(recording.signal[0, 0], WAVE.astype(np.float32))


def test_counts_of_a_converter_are_numbers_too() -> None:
    counts = np.arange(-250, 250, dtype=np.int16)
    assert np.array_equal(as_recording(counts, 250, "a.u.", 1, "mV").signal[0, 0], counts)


@pytest.mark.parametrize(
    ("unit", "trained", "factor", "result"),
    [
        ("mV", "mV", 1, "mV"),
        ("uV", "mV", 1e-3, "mV"),
        ("V", "mV", 1e3, "mV"),
        ("mV", "uV", 1e3, "uV"),
        ("a.u.", "mV", 1, "a.u."),
        ("mV", "a.u.", 1, "mV"),
    ],
)
def test_voltages_are_converted_and_counts_left(unit: str, trained: str, factor: float, result: str) -> None:
    recording = as_recording(WAVE, 250, unit, 1, trained)
    np.testing.assert_allclose(recording.signal[0, 0], WAVE * factor, rtol=1e-6)
    assert recording.unit == result


def test_a_masked_value_is_missing() -> None:
    masked = np.ma.masked_greater(np.arange(500), 497)
    found = as_recording(masked, 250, "mV", 1, "mV").signal[0, 0]
    assert np.array_equal(found, [*range(498), np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("unit", ["furlong", None, 3])
def test_an_unknown_unit_is_refused(unit: Any) -> None:
    with pytest.raises(SignalError, match=f"unit '{unit}' is unknown; use mV, uV, V, or a.u."):
        as_recording(WAVE, 250, unit, 1, "mV")


def test_what_is_too_large_for_float32_becomes_infinite() -> None:
    assert np.isinf(as_recording([1e300] * 500, 250, "mV", 1, "mV").signal).all()


@pytest.mark.parametrize(
    ("signal", "n_leads", "message"),
    [
        (
            np.zeros((3, 500)),
            1,
            "shape (3, 500), 3 leads; this encoder reads 1 lead; give one of them, such as signal[0]",
        ),
        (np.zeros((500, 1)), 1, "its axes look exchanged: give signal.T"),
        (np.zeros(500), 2, "shape (500,), 1 leads; this encoder reads 2 leads; give (2, T)"),
        (np.zeros((1, 1, 500)), 1, "shape (1, 1, 500); give (T,) or (C, T): one recording at a time"),
        (np.float32(3), 1, "shape (); give (T,) or (C, T)"),
        (np.zeros(0), 1, "shape (0,): it is empty"),
        (np.zeros((1, 0)), 1, "shape (1, 0): it is empty"),
        (["a", "b"], 1, "values of type <U1; give real numbers"),
        (np.zeros(500, bool), 1, "values of type bool"),
        (np.zeros(500, complex), 1, "values of type complex128"),
        (None, 1, "values of type object"),
        ([[1, 2], [1]], 1, "leads of different lengths"),
    ],
)
def test_what_is_no_signal_is_refused(signal: Any, n_leads: int, message: str) -> None:
    with pytest.raises(SignalError, match=re.escape(message)):
        as_recording(signal, 250, "mV", n_leads, "mV")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "fast", None])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(SignalError, match=r"sample_rate = .*: give the signal's rate, a positive number of Hz"):
        as_recording(WAVE, rate, "mV", 1, "mV")
