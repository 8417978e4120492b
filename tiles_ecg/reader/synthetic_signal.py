"""Beats -> millivolts: waves, fibrillation, and what a shirt adds to an ECG.

The ideal signal is a sum of Gaussians evaluated only where they are not zero; all bursts of a recording at once.
"""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.reader.synthetic_session import Beats, States
from tiles_ecg.reader.synthetic_subject import WAVES, WaveTable

SATURATION_MV = 5.0
"""The recorder's limits are plus and minus this."""
RATE_EXPONENT = {"P": 0.30, "T1": 0.50, "T2": 0.50}
"""A wave's distance from the R-peak grows with RR to this power; 0.5 is Bazett's for QT (Heart 7:353, 1920)."""
_REACH = 4.5  # standard deviations after which a Gaussian is taken for zero


def render_beats(
    beats: Beats, states: States, waves: WaveTable, n_samples: int, sample_rate: float
) -> NDArray[np.float32]:
    """The ideal ECG of all bursts in mV, (S, T): waves of every beat, fibrillatory waves excluded.

    PR and QT follow the rate (most of it the mean of the burst, as QT lags behind); stress and activity flatten T; the
    chest moves the electrodes, so that the amplitude follows respiration by 5 %. In fibrillation there is no P wave.
    """
    mean_s = 60.0 / states.mean_bpm[beats.burst]
    adapted_s = np.clip(0.7 * mean_s + 0.3 * beats.rr_s, 0.35, 1.6)
    breath_rad = 2.0 * np.pi * states.breath_hz[beats.burst] * beats.time_s + states.breath_phase[beats.burst]
    gain = 1.0 + 0.05 * np.sin(breath_rad)
    flat_t = np.where(states.stress, 0.85, 1.0) * np.where(states.active, 0.85, 1.0)
    factor = {"P": ~states.af * 1.0, "T1": flat_t, "T2": flat_t}
    centre_s, amplitude, sigma_s = [], [], []
    for column, wave in enumerate(WAVES):
        exponent = RATE_EXPONENT.get(wave, 0.0)
        stretch = adapted_s**exponent if exponent else np.ones(len(gain))
        centre_s.append(beats.time_s + waves.offset_s[beats.kind, column] * stretch)
        sigma_s.append(waves.sigma_s[beats.kind, column] * (stretch if wave.startswith("T") else 1.0))
        share = factor[wave][beats.burst] if wave in factor else 1.0
        amplitude.append(waves.amplitude_mv[beats.kind, column] * gain * share)
    return add_gaussians(
        len(states.mean_bpm), n_samples, sample_rate, [beats.burst] * len(WAVES), centre_s, amplitude, sigma_s
    )


def add_gaussians(
    n_bursts: int,
    n_samples: int,
    sample_rate: float,
    burst: list[NDArray[np.int64]],
    centre_s: list[NDArray[np.float64]],
    amplitude: list[NDArray[np.float64]],
    sigma_s: list[NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Sum of Gaussians, (S, T). Each list has one array (N,) a group; a group should hold similar widths, for speed.

    Centres may lie outside a burst (0 to T / sample_rate); only what reaches into it is drawn.
    """
    place, value = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for row, centre, height, sigma in zip(burst, centre_s, amplitude, sigma_s, strict=True):
        if not len(row):
            continue
        half = int(np.ceil(_REACH * sigma.max() * sample_rate))
        middle = np.rint(centre * sample_rate).astype(np.int64)
        near = (height != 0.0) & (middle >= -half) & (middle < n_samples + half)
        row, middle = row[near], middle[near]
        step = np.arange(-half, half + 1)
        distance = (middle - centre[near] * sample_rate).astype(np.float32)[:, None] + step.astype(np.float32)
        inverse = (1.0 / (sigma[near] * sample_rate)).astype(np.float32)[:, None]
        wave = height[near].astype(np.float32)[:, None] * np.exp(np.float32(-0.5) * (distance * inverse) ** 2)
        column = middle[:, None] + step
        column = np.where((column >= 0) & (column < n_samples), column, n_samples)  # one spare point takes the rest
        place.append((row[:, None] * (n_samples + 1) + column).ravel())
        value.append(wave.ravel())
    total = np.bincount(np.concatenate(place), np.concatenate(value), n_bursts * (n_samples + 1))
    return total.reshape(n_bursts, n_samples + 1)[:, :n_samples].astype(np.float32)


def render_fibrillation(states: States, rng: np.random.Generator, time_s: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fibrillatory waves of 5 to 8 Hz, some 0.06 mV, in the bursts in fibrillation, (S, T); zero in the others."""
    wave = np.zeros((len(states.af), len(time_s)), np.float32)
    chosen = np.flatnonzero(states.af)
    rate, wobble = rng.uniform(5.0, 8.0, (len(chosen), 1)), rng.uniform(0.2, 0.6, (len(chosen), 1))
    phase = rng.uniform(0.0, 2.0 * np.pi, (3, len(chosen), 1))
    height = 0.06 * rng.lognormal(0.0, 0.3, (len(chosen), 1))
    slow = np.sin(2.0 * np.pi * wobble * time_s + phase[0])
    angle = 2.0 * np.pi * rate * time_s + 2.5 * slow + phase[1]
    wave[chosen] = height * (1.0 + 0.4 * np.sin(2.0 * np.pi * 0.3 * time_s + phase[2])) * np.sin(angle)
    wave[chosen] += 0.35 * height * np.sin(2.0 * angle)
    return wave


def render_noise(
    states: States, level: float, rng: np.random.Generator, time_s: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Disturbances of all bursts in mV, (S, T): drift, steps, muscles, motion of the electrodes, 60 Hz mains.

    Args:
        states: Activity raises all of them but mains; respiration moves the baseline.
        level: Factor on everything.
        rng: Generator of this recording's noise, apart from the one of its heart.
        time_s: Time within a burst, (T,).
    """
    n, busy = len(states.active), states.active[:, None]
    loud = rng.lognormal(0.0, 0.4, (n, 1)) * np.where(busy, 2.0, 1.0)
    amplitude = loud * (0.06, 0.04, 0.03) * rng.uniform(0.3, 1.7, (n, 3))
    rate = np.concatenate([states.breath_hz[:, None], rng.uniform((0.05, 0.3), (0.15, 0.5), (n, 2))], axis=1)
    phase = rng.uniform(0.0, 2.0 * np.pi, (n, 3))
    phase[:, 0] = states.breath_phase
    steps = busy * loud * rng.uniform(0.01, 0.05, (n, 1)) * (1.0, 0.5)
    cadence = rng.uniform(1.6, 2.1, (n, 1)) * (1.0, 2.0)
    mains = rng.lognormal(np.log(0.006), 0.7, (n, 1))
    amplitude = np.concatenate([amplitude, steps, mains], axis=1).astype(np.float32)
    rate = np.concatenate([rate, cadence, np.full((n, 1), 60.0)], axis=1).astype(np.float32)
    phase = np.concatenate([phase, rng.uniform(0.0, 2.0 * np.pi, (n, 3))], axis=1).astype(np.float32)
    noise = np.zeros((n, len(time_s)), np.float32)
    for k in range(amplitude.shape[1]):
        angle = np.float32(2.0 * np.pi) * rate[:, k : k + 1] * time_s + phase[:, k : k + 1]
        noise += amplitude[:, k : k + 1] * np.sin(angle)
    noise += _muscle(loud, rng, time_s)
    noise += _motion(np.where(states.active, 2.0, 0.3), rng, time_s)
    return np.float32(level) * noise


def _muscle(loud: NDArray[np.float64], rng: np.random.Generator, time_s: NDArray[np.float32]) -> NDArray[np.float32]:
    """Muscle noise: white noise, its low frequencies weakened, of 0.012 mV with a swell somewhere in the burst."""
    n = len(loud)
    white = rng.standard_normal((n, len(time_s)), dtype=np.float32)
    white[:, 1:] -= np.float32(0.5) * white[:, :-1]
    centre, width = rng.uniform(0.0, time_s[-1], (n, 1)), rng.uniform(0.5, 3.0, (n, 1))
    swell = np.exp(-0.5 * ((time_s - centre.astype(np.float32)) / width.astype(np.float32)) ** 2)
    height = (0.011 * loud).astype(np.float32)
    return white * height * (np.float32(1.0) + rng.exponential(1.0, (n, 1)).astype(np.float32) * swell)


def _motion(
    expected: NDArray[np.float64], rng: np.random.Generator, time_s: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Bumps of some 0.5 mV and 0.04 to 0.4 s as electrodes move, `expected` (S,) of them in each burst."""
    burst = np.repeat(np.arange(len(expected)), rng.poisson(expected))
    length_s = float(time_s[-1]) if len(time_s) > 1 else 1.0
    centre = rng.uniform(0.0, length_s, len(burst))
    height = rng.lognormal(np.log(0.4), 0.6, len(burst)) * rng.choice([-1.0, 1.0], len(burst))
    sigma = np.exp(rng.uniform(np.log(0.04), np.log(0.4), len(burst)))
    rate = (len(time_s) - 1) / length_s
    return add_gaussians(len(expected), len(time_s), rate, [burst], [centre], [height], [sigma])


def lose_contact(signal: NDArray[np.float32], chance: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Turn a part of some bursts, in place, into a nearly flat line or into the recorder's limit.

    Args:
        signal: (S, T), mV.
        chance: Probability for each burst, (S,).
        rng: Generator of this recording's noise.
    """
    n_samples = signal.shape[1]
    for row in np.flatnonzero(rng.random(len(signal)) < chance):
        first, last = np.sort(rng.integers(0, n_samples + 1, 2))
        if rng.random() < 0.3:
            first, last = 0, n_samples
        if rng.random() < 0.6:
            signal[row, first:last] = 0.002 * rng.standard_normal(last - first, dtype=np.float32)
        else:
            signal[row, first:last] = rng.choice([-SATURATION_MV, SATURATION_MV])
    np.clip(signal, -SATURATION_MV, SATURATION_MV, out=signal)
