"""A synthetic person: age, sex, shift, heart and habits, and the waves of each kind of beat.

The beat is a sum of Gaussian waves placed in the cardiac cycle, the idea of McSharry et al. (IEEE TBME 50:289, 2003),
here evaluated directly instead of as a differential equation. What age, sex and shift change follows what is commonly
reported, in size only roughly, and always with overlap between the groups:

- women: resting rate + 4 bpm, longer QT (Rautaharju et al. 1992), narrower and lower QRS, lower T;
- age: variability falls 2 % a year (Umetani et al., JACC 31:593, 1998), the highest rate is 208 - 0.7 age (Tanaka
  et al., JACC 37:153, 2001), PR lengthens, T flattens, ectopic beats and atrial fibrillation become more likely;
- night shift: a flatter, later daily rhythm of the heart rate, and recordings made at night.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BEAT_CLASSES = ("N", "S", "V")
"""Normal, supraventricular (atrial premature) and ventricular premature beats; `kind` is an index into these."""
WAVES = ("P", "Q", "R", "S", "J", "T1", "T2")
"""Gaussian waves of a beat; the T wave is two of them, a slow rise and a steeper fall."""


@dataclass(frozen=True)
class WaveTable:
    """Waves of each kind of beat at a rate of 60 bpm.

    Attributes:
        amplitude_mv: (3, 7), rows `BEAT_CLASSES`, columns `WAVES`.
        offset_s: (3, 7), centre of the wave relative to the R-peak.
        sigma_s: (3, 7), standard deviation of the Gaussian.
    """

    amplitude_mv: NDArray[np.float64]
    offset_s: NDArray[np.float64]
    sigma_s: NDArray[np.float64]

    def scaled(self, factor: NDArray[np.float64]) -> "WaveTable":
        """The table with amplitudes multiplied by `factor` (7,), and time zero moved to the top of each QRS again."""
        amplitude = self.amplitude_mv * factor
        offset = self.offset_s - _qrs_top_s(amplitude, self.offset_s, self.sigma_s)[:, None]
        return replace(self, amplitude_mv=amplitude, offset_s=offset)


@dataclass(frozen=True)
class Subject:
    """Traits of one synthetic person, the same in all of their recordings.

    Attributes:
        age_year: 21 to 65.
        sex: `female` or `male`.
        shift: `day` or `night`.
        resting_bpm: Heart rate while awake and still.
        circadian_share: Half the daily swing of the heart rate, as a share of it.
        circadian_peak_h: Local hour at which that rhythm is highest.
        max_bpm: Highest rate in sinus rhythm.
        rsa: Respiratory modulation of RR at rest, as a share of RR.
        lf: Modulation of RR at 0.1 Hz, likewise.
        jitter: Standard deviation of the unexplained rest of RR, likewise.
        breath_hz: Respiration rate at rest.
        strain: How easily the person is stressed, 0 to 1.
        v_rate: Share of ventricular beats on an ordinary day.
        s_rate: Share of supraventricular beats on an ordinary day.
        af_share: Share of the time spent in atrial fibrillation; 0 for most.
        noise: Contact of the shirt with this body: a factor on all disturbances.
        waves: Shape of the beats.
    """

    age_year: float
    sex: str
    shift: str
    resting_bpm: float
    circadian_share: float
    circadian_peak_h: float
    max_bpm: float
    rsa: float
    lf: float
    jitter: float
    breath_hz: float
    strain: float
    v_rate: float
    s_rate: float
    af_share: float
    noise: float
    waves: WaveTable


def draw_subject(rng: np.random.Generator) -> Subject:
    """Draw a person; two thirds are women and some 40 % work at night, as hospital staff might."""
    age, female, night = rng.uniform(21.0, 66.0), rng.random() < 0.66, rng.random() < 0.4
    years = age - 40.0
    variability = np.exp(-0.02 * years + rng.normal(0.0, 0.25))
    prone_v, prone_s, prone_af = rng.random(3) < (0.30 + 0.004 * years, 0.25 + 0.004 * years, 0.12 + 0.003 * years)
    return Subject(
        age_year=float(np.floor(age)),
        sex="female" if female else "male",
        shift="night" if night else "day",
        resting_bpm=float(np.clip(rng.normal(66.0 + 4.0 * female, 6.0), 48.0, 88.0)),
        circadian_share=float(np.clip(rng.normal(0.05 if night else 0.10, 0.02), 0.0, 0.15)),
        circadian_peak_h=float(rng.normal(18.0 if night else 14.5, 1.5)),
        max_bpm=208.0 - 0.7 * float(age),
        rsa=0.035 * variability,
        lf=0.022 * variability,
        jitter=0.008 * variability,
        breath_hz=float(np.clip(rng.normal(0.25, 0.03), 0.15, 0.35)),
        strain=float(rng.beta(2.0, 3.0)),
        v_rate=float(prone_v * rng.lognormal(np.log(0.03), 0.7)),
        s_rate=float(prone_s * rng.lognormal(np.log(0.02), 0.7)),
        af_share=float(prone_af * rng.uniform(0.3, 0.8)),
        noise=float(rng.lognormal(0.0, 0.3)),
        waves=_draw_waves(rng, years, female),
    )


def _draw_waves(rng: np.random.Generator, years: float, female: bool) -> WaveTable:
    """Draw the beats of a person `years` older than 40: normal, atrial premature, ventricular premature."""
    r_mv = rng.lognormal(np.log(0.95 if female else 1.20), 0.25)
    t_mv = rng.lognormal(np.log((0.24 if female else 0.32) * (1.0 - 0.006 * years)), 0.25)
    t_s = rng.normal(0.297 if female else 0.285, 0.012)  # QT of some 0.39 s at 60 bpm, in men
    spread = np.clip(rng.normal(1.0, 0.1, 7), 0.75, 1.25) * (0.93 if female else 1.0)
    normal_mv = np.array(
        [
            rng.lognormal(np.log(0.12), 0.25),
            -rng.lognormal(np.log(0.08), 0.5),
            r_mv,
            -rng.lognormal(np.log(0.20), 0.5),
            rng.normal(0.0, 0.04),
            0.45 * t_mv,
            0.80 * t_mv,
        ]
    )
    p_s = -rng.normal(0.152 + 0.0004 * years, 0.012)
    normal_s = np.array(
        [p_s, rng.normal(-0.028, 0.003), 0.0, rng.normal(0.030, 0.004), rng.normal(0.055, 0.005), t_s - 0.035, t_s]
    )
    normal_sigma_s = np.array([0.022 + 0.0001 * years, 0.0085, 0.0105, 0.0110, 0.0120, 0.050, 0.034]) * spread

    early_p = rng.choice([-0.6, 0.7])  # a P wave from elsewhere in the atria
    supra_mv = normal_mv * np.array([early_p, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    supra_s = np.concatenate([[0.8 * p_s], normal_s[1:]])

    sign = rng.choice([1.0, -1.0], p=[0.75, 0.25])
    ventricular_mv = sign * r_mv * np.array([0.0, 0.0, 1.35, -0.30, 0.35, -0.20, -0.30]) * rng.uniform(0.85, 1.2)
    ventricular_s = np.array([p_s, -0.028, 0.0, 0.095, 0.050, t_s, t_s + 0.040])
    ventricular_sigma_s = np.array([0.022, 0.01, 0.036, 0.030, 0.030, 0.060, 0.045]) * spread
    return WaveTable(
        np.stack([normal_mv, supra_mv, ventricular_mv]),
        np.stack([normal_s, supra_s, ventricular_s]),
        np.stack([normal_sigma_s, normal_sigma_s, ventricular_sigma_s]),
    ).scaled(np.ones(7))


def _qrs_top_s(
    amplitude_mv: NDArray[np.float64], offset_s: NDArray[np.float64], sigma_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the sum of the waves is largest (of the sign of R) near the R wave, (3,)."""
    grid = np.arange(-0.05, 0.05, 1e-4)[:, None, None]  # (G, 1, 1)
    wave = amplitude_mv * np.exp(-0.5 * ((grid + offset_s[:, 2:3] - offset_s) / sigma_s) ** 2)  # (G, 3, 7)
    sign = np.sign(amplitude_mv[:, 2])
    return np.asarray(offset_s[:, 2] + grid[:, 0, 0][np.argmax(sign * wave.sum(-1), axis=0)])
