"""A synthetic cohort in the manner of TILES-2018: hospital staff in ECG shirts, 15 s every 5 minutes of some work days.

Not a model of disease but something true to learn and to be judged on: people differ in the shape of their beats and
in their rates, and the states that are labelled really change rhythm and shape. What is drawn, and after which
sources, stands in `synthetic_subject` (the person), `synthetic_session` (states and beats) and `synthetic_signal` (mV
and noise).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.reader.synthetic_session import Beats, States, draw_beats, draw_states
from tiles_ecg.reader.synthetic_signal import lose_contact, render_beats, render_fibrillation, render_noise
from tiles_ecg.reader.synthetic_subject import BEAT_CLASSES, Subject, draw_subject
from tiles_ecg.recording import Annotations, LabelSpec, Recording, RecordingError, Source

TIME_ZONE = ZoneInfo("America/Los_Angeles")
"""Where TILES-2018 was recorded."""
_FIRST_DAY = datetime(2018, 3, 5, tzinfo=TIME_ZONE)
_MAX_SESSIONS = 70
_SHIFT_START_HOUR = {"day": 7, "night": 19}
_SHIFT_HOURS = 12.0


class SyntheticReader:
    """Makes recordings instead of reading them, one `Source` a subject.

    Everything follows from (`seed`, number of the subject, number of the recording) and the lengths asked for: a
    subject is the same in a cohort of 3 as in one of 300, and read in any order. `noise_scale` leaves the hearts as
    they are.

    The annotations `beat_type` carry the true R-peaks: their `time_s`, less the `start_s` of the burst, is the time of
    the top of the QRS complex (of a premature ventricular beat that points down, the bottom). `heart_rate` holds
    60 / RR for each interval between two beats of a burst, so that its mean over a burst, weighted by duration, is
    60 / (mean RR). `stress`, `rhythm` and `activity` hold one value a burst.

    Args:
        n_subjects: Subjects, 1 to 10,000.
        sessions_per_subject: Recordings of each, 1 to 70, on different days.
        session_h: Length of a recording in hours; it starts somewhere within a shift of 12 hours.
        seed: Of the cohort, >= 0.
        sample_rate: Hz, at least 100.
        segment_s: Length of a burst in seconds, at least 2.
        every_min: From the start of one burst to the next, in minutes.
        noise_scale: Factor on all disturbances; 0 gives the ideal signal.

    Raises:
        ValueError: An argument is out of range.
    """

    labels: tuple[LabelSpec, ...] = (
        LabelSpec("age", "subject", "continuous", unit="year"),
        LabelSpec("sex", "subject", "categorical", ("female", "male")),
        LabelSpec("shift", "subject", "categorical", ("day", "night")),
        LabelSpec("stress", "window", "categorical", ("no", "yes")),
        LabelSpec("rhythm", "window", "categorical", ("sinus", "af")),
        LabelSpec("activity", "window", "categorical", ("rest", "active")),
        LabelSpec("beat_type", "window", "multilabel", BEAT_CLASSES),
        LabelSpec("heart_rate", "window", "continuous", unit="bpm"),
    )

    def __init__(
        self,
        n_subjects: int = 48,
        sessions_per_subject: int = 3,
        session_h: float = 2.5,
        seed: int = 0,
        sample_rate: float = 250.0,
        segment_s: float = 15.0,
        every_min: float = 5.0,
        noise_scale: float = 1.0,
    ) -> None:
        _check("n_subjects", n_subjects, 1, 10_000)
        _check("sessions_per_subject", sessions_per_subject, 1, _MAX_SESSIONS)
        _check("seed", seed, 0, 2**63 - 1)
        _check("sample_rate", sample_rate, 100.0, 10_000.0)
        _check("segment_s", segment_s, 2.0, 3600.0)
        _check("every_min", every_min, segment_s / 60.0, 24.0 * 60.0)
        _check("session_h", session_h, every_min / 60.0, 24.0)
        _check("noise_scale", noise_scale, 0.0, 100.0)
        self.n_subjects = n_subjects
        self.sessions_per_subject = sessions_per_subject
        self.session_h = session_h
        self.seed = seed
        self.sample_rate = float(sample_rate)
        self.segment_s = segment_s
        self.every_min = every_min
        self.noise_scale = noise_scale

    def sources(self) -> list[Source]:
        """One source a subject: `subject-0000`, `subject-0001`, ..."""
        return [Source(f"subject-{index:04d}") for index in range(self.n_subjects)]

    def read(self, source: Source) -> Iterator[Recording]:
        """Make the recordings of one subject, one a session, ids `<subject>/000`, `<subject>/001`, ...

        Raises:
            RecordingError: The source is not one of this cohort.
        """
        number = source.key.removeprefix("subject-")
        if not number.isdecimal() or source.key != f"subject-{int(number):04d}" or int(number) >= self.n_subjects:
            raise RecordingError(
                f"{source.key}: not in this synthetic cohort; its sources are subject-0000 to "
                f"subject-{self.n_subjects - 1:04d}"
            )
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, int(number)]))
        subject = draw_subject(rng)
        days = np.cumsum(rng.integers(1, 4, _MAX_SESSIONS)) - 1  # one to three days from one recording to the next
        for session, day in enumerate(days[: self.sessions_per_subject]):
            yield self._record(source.key, int(number), subject, session, int(day))

    def _record(self, key: str, number: int, subject: Subject, session: int, day: int) -> Recording:
        entropy = np.random.SeedSequence([self.seed, number], spawn_key=(session,))
        heart, disturbance = (np.random.default_rng(child) for child in entropy.spawn(2))
        latest_s = 3600.0 * max(_SHIFT_HOURS - self.session_h, 0.5)
        delay_s = round(heart.uniform(0.0, latest_s), 3)  # whole milliseconds, as in the release
        shift_start = _FIRST_DAY + timedelta(days=day, hours=_SHIFT_START_HOUR[subject.shift])
        n_bursts = int(np.floor(self.session_h * 60.0 / self.every_min + 1e-9))
        start_s = 60.0 * self.every_min * np.arange(n_bursts, dtype=np.float64)
        states = draw_states(subject, heart, start_s / 60.0, _SHIFT_START_HOUR[subject.shift] + delay_s / 3600.0)
        beats = draw_beats(subject, states, heart, self.segment_s)
        return Recording(
            id=f"{key}/{session:03d}",
            signal=self._render(subject, states, beats, heart, disturbance)[:, None],  # (S, T) -> (S, 1, T)
            sample_rate=self.sample_rate,
            leads=("ECG",),
            source=key,
            subject=key,
            start_s=start_s,
            wall_time=shift_start.timestamp() + delay_s + start_s,
            device="synthetic",
            labels={"age": subject.age_year, "sex": subject.sex, "shift": subject.shift},
            annotations=self._annotate(states, beats, start_s),
        )

    def _render(
        self,
        subject: Subject,
        states: States,
        beats: Beats,
        heart: np.random.Generator,
        disturbance: np.random.Generator,
    ) -> NDArray[np.float32]:
        n_samples = round(self.segment_s * self.sample_rate)
        time_s = (np.arange(n_samples) / self.sample_rate).astype(np.float32)
        factor = heart.lognormal(0.0, 0.08) * heart.lognormal(0.0, 0.06, 7)  # the shirt sits differently every day
        signal = render_beats(beats, states, subject.waves.scaled(factor), n_samples, self.sample_rate)
        signal += render_fibrillation(states, heart, time_s)
        if self.noise_scale > 0.0:
            signal += render_noise(states, self.noise_scale * subject.noise, disturbance, time_s)
            lose_contact(signal, self.noise_scale * np.where(states.active, 0.04, 0.01), disturbance)
        return signal

    def _annotate(self, states: States, beats: Beats, start_s: NDArray[np.float64]) -> tuple[Annotations, ...]:
        inside = (beats.time_s >= 0.0) & (beats.time_s < self.segment_s)
        burst, kind = beats.burst[inside], beats.kind[inside]
        time_s = start_s[burst] + beats.time_s[inside]
        same = burst[1:] == burst[:-1]  # an interval lies within one burst
        rr_s = np.diff(time_s)[same]
        whole = np.full(len(start_s), self.segment_s)
        return (
            Annotations("stress", start_s, [("no", "yes")[int(value)] for value in states.stress], whole),
            Annotations("rhythm", start_s, [("sinus", "af")[int(value)] for value in states.af], whole),
            Annotations("activity", start_s, [("rest", "active")[int(value)] for value in states.active], whole),
            Annotations("beat_type", time_s, [BEAT_CLASSES[value] for value in kind], np.zeros(len(time_s))),
            Annotations("heart_rate", time_s[:-1][same], 60.0 / rr_s, rr_s),
        )


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"synthetic reader: {name} = {value}; choose a value from {low:g} to {high:g}")
