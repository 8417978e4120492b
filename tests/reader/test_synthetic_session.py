from dataclasses import replace

import numpy as np
import pytest

from tiles_ecg.reader.synthetic_session import (
    LEAD_IN_S,
    LEAD_OUT_S,
    NORMAL,
    SUPRAVENTRICULAR,
    VENTRICULAR,
    States,
    draw_beats,
    draw_episodes,
    draw_states,
)
from tiles_ecg.reader.synthetic_subject import Subject, draw_subject

BURST_S = 15.0


def steady(bpm: list[float], v_rate: float = 0.0, s_rate: float = 0.0, af: bool = False, hrv: float = 1.0) -> States:
    n = len(bpm)
    return States(
        active=np.zeros(n, bool),
        stress=np.zeros(n, bool),
        af=np.full(n, af),
        mean_bpm=np.array(bpm),
        hrv=np.full(n, hrv),
        breath_hz=np.full(n, 0.25),
        breath_phase=np.zeros(n),
        v_rate=np.full(n, v_rate),
        s_rate=np.full(n, s_rate),
    )


@pytest.fixture
def subject() -> Subject:
    return draw_subject(np.random.default_rng(3))


def test_beats_cover_every_burst_and_its_margins_without_a_gap(subject: Subject) -> None:
    bpm = [42.0, 60.0, 100.0, 180.0] * 10
    for af in (False, True):
        beats = draw_beats(subject, steady(bpm, 0.2, 0.1, af), np.random.default_rng(0), BURST_S)
        for burst, rate in enumerate(bpm):
            time_s = beats.time_s[beats.burst == burst]
            longest_s = 2.5 * 60.0 / rate
            assert np.all(np.diff(time_s) > 0.0)
            assert np.diff(time_s).max() < longest_s
            assert time_s[0] - longest_s < -LEAD_IN_S <= time_s[0]
            assert time_s[-1] < BURST_S + LEAD_OUT_S < time_s[-1] + longest_s


def test_rr_is_the_time_since_the_beat_before(subject: Subject) -> None:
    beats = draw_beats(subject, steady([55.0, 90.0, 130.0], 0.1, 0.1), np.random.default_rng(1), BURST_S)
    same = beats.burst[1:] == beats.burst[:-1]
    np.testing.assert_allclose(np.diff(beats.time_s)[same], beats.rr_s[1:][same], atol=1e-9)


def test_without_variability_a_ventricular_pause_compensates_fully(subject: Subject) -> None:
    beats = draw_beats(subject, steady([60.0] * 40, v_rate=0.2, hrv=0.0), np.random.default_rng(2), BURST_S)
    early = np.flatnonzero(beats.kind == VENTRICULAR)
    early = early[(early + 1 < len(beats.kind))]
    early = early[beats.burst[early + 1] == beats.burst[early]]
    assert len(early) > 50
    assert np.all(beats.rr_s[early] < 0.79)
    np.testing.assert_allclose(beats.rr_s[early] + beats.rr_s[early + 1], 2.0)
    after_normal = np.flatnonzero((beats.kind[1:] == NORMAL) & (beats.kind[:-1] == NORMAL)) + 1
    after_normal = after_normal[beats.burst[after_normal] == beats.burst[after_normal - 1]]
    np.testing.assert_allclose(beats.rr_s[after_normal], 1.0)


def test_a_supraventricular_beat_is_early_and_resets_the_rhythm(subject: Subject) -> None:
    beats = draw_beats(subject, steady([60.0] * 40, s_rate=0.2, hrv=0.0), np.random.default_rng(2), BURST_S)
    early = np.flatnonzero(beats.kind == SUPRAVENTRICULAR)[:-1]
    early = early[beats.burst[early + 1] == beats.burst[early]]
    assert len(early) > 50
    assert np.all(beats.rr_s[early] < 0.79)
    np.testing.assert_allclose(beats.rr_s[early + 1], 1.05)


def test_fibrillation_is_irregular_from_beat_to_beat_and_sinus_rhythm_is_not(subject: Subject) -> None:
    spread, neighbours = {}, {}
    for af in (False, True):
        beats = draw_beats(subject, steady([80.0] * 60, af=af), np.random.default_rng(4), BURST_S)
        rr = [beats.rr_s[beats.burst == burst] for burst in range(60)]
        spread[af] = np.mean([np.std(values) / np.mean(values) for values in rr])
        neighbours[af] = np.mean([np.corrcoef(values[1:], values[:-1])[0, 1] for values in rr])
    assert spread[True] == pytest.approx(0.19, abs=0.03)  # midway between the limits that are drawn from
    assert spread[False] < 0.08
    assert abs(neighbours[True]) < 0.2  # no memory, as a drawn-out loop of independent draws would give
    assert neighbours[False] > 0.3


def test_respiration_modulates_rr_at_its_own_frequency(subject: Subject) -> None:
    pure = replace(subject, rsa=0.05, lf=0.0, jitter=0.0)
    beats = draw_beats(pure, steady([75.0]), np.random.default_rng(0), 240.0)
    grid_s = np.arange(0.0, 240.0, 0.25)
    power = np.abs(np.fft.rfft(np.interp(grid_s, beats.time_s, beats.rr_s) - beats.rr_s.mean())) ** 2
    assert np.fft.rfftfreq(len(grid_s), 0.25)[np.argmax(power)] == pytest.approx(0.25, abs=0.01)


def test_episodes_take_their_share_of_the_time_and_last_as_long_as_asked() -> None:
    time_min = np.arange(0.0, 200_000.0, 1.0)
    inside = draw_episodes(np.random.default_rng(0), time_min, gap_min=60.0, length_min=20.0)
    assert inside.mean() == pytest.approx(0.25, abs=0.02)
    n_episodes = np.count_nonzero(np.diff(inside.astype(int)) == 1)
    assert inside.sum() / n_episodes == pytest.approx(20.0, rel=0.1)


def test_episodes_are_as_likely_at_the_start_of_a_recording_as_later() -> None:
    at_start = [draw_episodes(np.random.default_rng(seed), np.zeros(1), 30.0, 30.0)[0] for seed in range(400)]
    assert np.mean(at_start) == pytest.approx(0.5, abs=0.08)


def test_stress_and_activity_raise_the_rate_and_lower_the_variability(subject: Subject) -> None:
    time_min = 5.0 * np.arange(20_000)
    states = draw_states(replace(subject, af_share=0.0, circadian_share=0.0), np.random.default_rng(0), time_min, 7.0)
    calm = ~states.stress & ~states.active
    for special in (states.stress & ~states.active, states.active & ~states.stress):
        assert states.mean_bpm[special].mean() > 1.1 * states.mean_bpm[calm].mean()
        assert states.hrv[special].mean() < 0.6 * states.hrv[calm].mean()


def test_the_rate_follows_the_hour_of_the_day(subject: Subject) -> None:
    pure = replace(subject, af_share=0.0, circadian_share=0.1, circadian_peak_h=15.0)
    time_min = 5.0 * np.arange(288 * 30)
    states = draw_states(pure, np.random.default_rng(0), time_min, 0.0)
    hour = (time_min / 60.0) % 24.0
    calm = ~states.stress & ~states.active
    by_day = states.mean_bpm[calm & (np.abs(hour - 15.0) < 1.0)].mean()
    by_night = states.mean_bpm[calm & (np.abs(hour - 3.0) < 1.0)].mean()
    assert by_day / by_night == pytest.approx(1.1 / 0.9, rel=0.03)
