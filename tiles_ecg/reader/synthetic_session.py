"""One synthetic recording as a list of states and beats: what the heart does, before anything is drawn as a signal.

Within a burst the state (activity, stress, rhythm, mean rate) is constant; the RR intervals vary with respiration, at
0.1 Hz, and at random. Everything is drawn for all bursts of a recording at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.reader.synthetic_subject import Subject

LEAD_IN_S = 1.2
"""Beats are made from so long before a burst, so that the T wave of an earlier beat is there."""
LEAD_OUT_S = 0.6
"""Beats are made until so long after a burst, so that the P wave of the next beat is there."""
NORMAL, SUPRAVENTRICULAR, VENTRICULAR = range(3)


@dataclass(frozen=True)
class States:
    """State of each of the S bursts of a recording, arrays of shape (S,).

    Attributes:
        active: Walking, lifting, climbing stairs.
        stress: In a stress episode.
        af: In atrial fibrillation.
        mean_bpm: Mean heart rate.
        hrv: Factor on the subject's resting variability, 0 to 1.
        breath_hz: Respiration rate.
        breath_phase: Phase of respiration at the start of the burst, rad.
        v_rate: Probability that a beat is ventricular.
        s_rate: Probability that a beat is supraventricular.
    """

    active: NDArray[np.bool_]
    stress: NDArray[np.bool_]
    af: NDArray[np.bool_]
    mean_bpm: NDArray[np.float64]
    hrv: NDArray[np.float64]
    breath_hz: NDArray[np.float64]
    breath_phase: NDArray[np.float64]
    v_rate: NDArray[np.float64]
    s_rate: NDArray[np.float64]


@dataclass(frozen=True)
class Beats:
    """Beats of all bursts of a recording, in order, arrays of shape (N,).

    Attributes:
        burst: Index of the burst.
        time_s: R-peak in seconds from the start of the burst, -LEAD_IN_S to the burst's length + LEAD_OUT_S.
        rr_s: Interval that ends at this beat.
        kind: Index into `BEAT_CLASSES`.
    """

    burst: NDArray[np.int64]
    time_s: NDArray[np.float64]
    rr_s: NDArray[np.float64]
    kind: NDArray[np.int64]


def draw_states(subject: Subject, rng: np.random.Generator, time_min: NDArray[np.float64], hour: float) -> States:
    """Draw the course of a recording.

    Args:
        subject: Whose heart.
        rng: Generator of this recording.
        time_min: Starts of the bursts in minutes from the start of the recording, (S,).
        hour: Local hour at the start of the recording.
    """
    n = len(time_min)
    strain = np.clip(subject.strain + rng.normal(0.0, 0.2), 0.0, 1.0)  # of this day
    active = draw_episodes(rng, time_min, gap_min=40.0, length_min=12.0)
    stress = draw_episodes(rng, time_min, gap_min=25.0 + 150.0 * (1.0 - strain), length_min=25.0)
    af_day = rng.random() < min(1.0, 1.5 * subject.af_share)
    af = draw_episodes(rng, time_min, gap_min=60.0, length_min=120.0) & af_day
    hours = hour + time_min / 60.0
    rate = subject.resting_bpm * rng.lognormal(0.0, 0.04) * rng.lognormal(0.0, 0.03, n)
    rate *= 1.0 + subject.circadian_share * np.cos(2.0 * np.pi * (hours - subject.circadian_peak_h) / 24.0)
    rate *= np.where(active, rng.uniform(1.15, 1.60, n), 1.0) * np.where(stress, rng.uniform(1.12, 1.30, n), 1.0)
    rate *= np.where(af, rng.lognormal(0.25, 0.12, n), 1.0)
    hrv = np.where(active, 0.4, 1.0) * np.where(stress, 0.45, 1.0) * (70.0 / np.maximum(rate, 70.0))
    ectopy = rng.lognormal(0.0, 0.6) * rng.lognormal(0.0, 0.4, n)
    return States(
        active=active,
        stress=stress,
        af=af,
        mean_bpm=np.clip(rate, 42.0, subject.max_bpm),
        hrv=hrv,
        breath_hz=subject.breath_hz * np.where(active, 1.5, 1.0) * np.where(stress, 1.15, 1.0),
        breath_phase=rng.uniform(0.0, 2.0 * np.pi, n),
        v_rate=np.minimum(subject.v_rate * ectopy, 0.3),
        s_rate=np.minimum(subject.s_rate * ectopy, 0.3) * ~af,
    )


def draw_episodes(
    rng: np.random.Generator, time_min: NDArray[np.float64], gap_min: float, length_min: float
) -> NDArray[np.bool_]:
    """Whether each time lies in an episode; gaps and lengths are exponential with the given means in minutes.

    The process is old when the recording starts: from then on, length / (gap + length) of the time is in episodes.
    """
    age_min = 4.0 * (gap_min + length_min)
    span_min = age_min + (float(time_min[-1]) if len(time_min) else 0.0)
    edges = np.zeros(0)
    while not len(edges) or edges[-1] <= span_min:
        turns = rng.exponential([[gap_min, length_min]], (32, 2)).ravel()
        edges = np.concatenate([edges, np.cumsum(turns) + (edges[-1] if len(edges) else 0.0)])
    inside: NDArray[np.bool_] = np.searchsorted(edges, age_min + time_min, side="right") % 2 == 1
    return inside


def draw_beats(subject: Subject, states: States, rng: np.random.Generator, burst_s: float) -> Beats:
    """Draw the beats of all bursts, from LEAD_IN_S before each to LEAD_OUT_S after it.

    A premature beat shortens the interval before it. After a ventricular one the pause compensates fully (both
    intervals together last two ordinary ones); after a supraventricular one the rhythm starts anew.
    """
    rr = _draw_intervals(subject, states, rng, burst_s)  # (S, K)
    chance = rng.random(rr.shape)
    early = chance < (states.v_rate + states.s_rate)[:, None]
    early[:, 0] = False
    early[:, 1:] &= ~early[:, :-1]  # no couplets
    kind = np.where(early, np.where(chance < states.v_rate[:, None], VENTRICULAR, SUPRAVENTRICULAR), NORMAL)
    coupled = np.maximum(rr * np.where(early, rng.uniform(0.60, 0.78, rr.shape), 1.0), 0.24)
    pause = np.where(kind == VENTRICULAR, rr - coupled, 0.05 * rr * (kind == SUPRAVENTRICULAR))
    coupled[:, 1:] += pause[:, :-1]
    start = -LEAD_IN_S - rng.uniform(0.0, 1.0, (len(rr), 1)) * rr[:, :1]
    time_s = start + np.cumsum(coupled, axis=1) - coupled[:, :1]
    burst, beat = np.nonzero((time_s >= -LEAD_IN_S) & (time_s < burst_s + LEAD_OUT_S))
    return Beats(burst, time_s[burst, beat], coupled[burst, beat], kind[burst, beat].astype(np.int64))


def _draw_intervals(subject: Subject, states: States, rng: np.random.Generator, burst_s: float) -> NDArray[np.float64]:
    """RR intervals before ectopy in seconds, (S, K), K enough for bursts of intervals 0.6 of the shortest mean."""
    mean_s = (60.0 / states.mean_bpm)[:, None]  # (S, 1)
    n_bursts = len(mean_s)
    n_beats = int(np.ceil((burst_s + LEAD_IN_S + LEAD_OUT_S + 2.0) / (0.6 * mean_s.min(initial=2.0)))) + 2
    nominal_s = mean_s * np.arange(n_beats)  # (S, K)
    lf_phase = rng.uniform(0.0, 2.0 * np.pi, (n_bursts, 1))
    breath = np.sin(2.0 * np.pi * states.breath_hz[:, None] * nominal_s + states.breath_phase[:, None])
    slow = np.sin(2.0 * np.pi * 0.1 * nominal_s + lf_phase)
    noise = rng.standard_normal((n_bursts, n_beats))
    sinus = 1.0 + states.hrv[:, None] * (subject.rsa * breath + subject.lf * slow + subject.jitter * noise)
    spread = rng.uniform(0.10, 0.28, (n_bursts, 1))  # coefficient of variation in fibrillation
    fibrillating = np.exp(spread * noise - 0.5 * spread**2)  # log-normal with mean 1
    rr = mean_s * np.where(states.af[:, None], fibrillating, np.clip(sinus, 0.7, 1.3))
    return np.maximum(rr, 0.28)
