"""Rhythm of windows, against plain loops and the heart-rate control."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiles_ecg.evaluation import heart_rate
from tiles_ecg.evaluation.heart_rate import interval_features
from tiles_ecg.objective.rhythm import (
    FEATURES,
    SCALES,
    beat_intervals,
    huber_sum,
    rhythm_features,
    rhythm_targets,
)


def random_beats(n: int = 200, length: int = 1000) -> Tensor:
    """From none to some forty beats in a window, many of them five points (50 ms at 100 Hz) off the one before."""
    draw = np.random.default_rng(0)
    beat = np.zeros((n, length), bool)
    for row in range(n):
        interval = draw.integers(20, 120) + 5 * draw.integers(-3, 4, draw.integers(0, 40))
        at = draw.integers(0, 60) + np.cumsum(interval)
        beat[row, at[at < length]] = True
    return torch.from_numpy(beat)


def looped(beat: NDArray[np.bool_], rate: float) -> list[float]:
    at = np.flatnonzero(beat)
    interval = [(b - a) / rate for a, b in itertools.pairwise(at)]
    if len(at) < 3:
        return [math.nan] * 8
    mean = sum(interval) / len(interval)
    sdnn = math.sqrt(sum((i - mean) ** 2 for i in interval) / (len(interval) - 1))
    step = [b - a for a, b in zip(at[1:] - at[:-1], at[2:] - at[1:-1], strict=False)]  # time points
    rmssd = math.sqrt(sum((s / rate) ** 2 for s in step) / len(step)) if len(step) > 1 else math.nan
    pnn50 = sum(abs(s) * 1000 > 50 * rate for s in step) / len(step) if len(step) > 1 else math.nan
    return [
        mean, sdnn, rmssd, sdnn / mean, min(interval) / mean, max(interval) / mean, pnn50, len(at) / (len(beat) / rate)
    ]  # fmt: skip


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0])
def test_features_are_those_of_a_plain_loop(rate: float) -> None:
    beat = random_beats()
    found = rhythm_features(beat, rate)
    assert found.dtype == torch.float32
    expected = np.array([looped(row, rate) for row in beat.numpy()])
    assert {0, 1, 2, 3, 4} <= set(beat.sum(1).tolist())
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-6)


def test_features_are_those_of_the_heart_rate_control() -> None:
    beat = random_beats()
    found = dict(zip(FEATURES, rhythm_features(beat, 100.0).double().T, strict=True))
    control = []
    for row in beat.numpy():
        at = np.flatnonzero(row)
        control.append(interval_features(np.diff(at) * 1000.0 / 100.0, len(at) * 60.0 / 10.0))
    theirs = dict(zip(heart_rate.FEATURES, torch.from_numpy(np.array(control)).T, strict=True))
    enough = theirs["fewer than three intervals"] == 0
    for ours, expected in (
        (found["SDNN (s)"] * 1000, theirs["SDNN (ms)"]),
        (found["RMSSD (s)"] * 1000, theirs["RMSSD (ms)"]),
        (found["pNN50"], theirs["pNN50"]),
        (found["coefficient of variation"], theirs["coefficient of variation"]),
        (found["shortest interval / mean"] * found["mean interval (s)"] * 1000, theirs["shortest interval (ms)"]),
        (found["longest interval / mean"] * found["mean interval (s)"] * 1000, theirs["longest interval (ms)"]),
        (found["beats a second"] * 60, theirs["beats a minute"]),
    ):
        torch.testing.assert_close(ours[enough], expected[enough], rtol=2e-5, atol=2e-4)


def test_a_bigeminy_has_the_numbers_that_its_two_intervals_give() -> None:
    beat = torch.zeros(1, 1000, dtype=torch.bool)
    beat[0, torch.tensor([100, 160, 260, 320, 420])] = True  # 0.6, 1.0, 0.6, 1.0 s
    found = rhythm_features(beat, 100.0)[0]
    expected = torch.tensor([0.8, 0.2 * (4 / 3) ** 0.5, 0.4, 0.25 * (4 / 3) ** 0.5, 0.75, 1.25, 1.0, 0.5])
    torch.testing.assert_close(found, expected)


def test_intervals_stand_in_order_and_nothing_follows_them() -> None:
    beat = torch.zeros(2, 8, dtype=torch.bool)
    beat[0, torch.tensor([1, 3, 7])] = True
    found = beat_intervals(beat)
    assert found[0, :2].tolist() == [2.0, 4.0]
    assert found[0, 2:].isnan().all()
    assert found[1].isnan().all()


def test_a_view_turned_around_has_the_same_rhythm() -> None:
    beat = random_beats()
    torch.testing.assert_close(
        rhythm_features(beat, 100.0), rhythm_features(beat.flip(1), 100.0), equal_nan=True, rtol=1e-5, atol=1e-6
    )


def test_targets_are_logarithms_on_a_scale_but_for_the_share_of_long_steps() -> None:
    feature = rhythm_features(random_beats(), 100.0)
    found = rhythm_targets(feature)
    for k, (name, (_, median, spread)) in enumerate(zip(FEATURES, SCALES, strict=True)):
        value = feature[:, k].numpy().astype(np.float64)
        value = value if name == "pNN50" else np.log(np.maximum(value, 0.005))
        np.testing.assert_allclose(found[:, k], (value - median) / spread, rtol=1e-4, atol=1e-4)


def test_a_perfectly_even_rhythm_has_finite_targets() -> None:
    beat = torch.zeros(1, 1000, dtype=torch.bool)
    beat[0, ::100] = True
    assert rhythm_targets(rhythm_features(beat, 100.0)).isfinite().all()


def test_what_is_not_defined_costs_nothing_and_has_no_gradient() -> None:
    guess = torch.tensor([[0.5, 3.0], [1.0, 2.0]], requires_grad=True)
    target = torch.tensor([[0.0, 0.0], [math.nan, 2.5]])
    total, n_known = huber_sum(guess, target)
    total.backward()
    assert float(total.detach()) == pytest.approx(0.5 * 0.5**2 + (3.0 - 0.5) + 0.5 * 0.5**2)
    assert int(n_known) == 3
    assert guess.grad is not None
    assert guess.grad.tolist() == [[0.5, 1.0], [0.0, -0.5]]
