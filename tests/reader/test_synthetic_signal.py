import numpy as np
import pytest
from scipy.signal import find_peaks, peak_widths, periodogram

from tiles_ecg.reader.synthetic_session import Beats, States
from tiles_ecg.reader.synthetic_signal import (
    SATURATION_MV,
    add_gaussians,
    lose_contact,
    render_beats,
    render_fibrillation,
    render_noise,
)
from tiles_ecg.reader.synthetic_subject import Subject, draw_subject

RATE = 250.0
TIME_S = (np.arange(3750) / RATE).astype(np.float32)


def states(bpm: list[float], af: bool = False, active: bool = False) -> States:
    n = len(bpm)
    return States(
        active=np.full(n, active),
        stress=np.zeros(n, bool),
        af=np.full(n, af),
        mean_bpm=np.array(bpm),
        hrv=np.ones(n),
        breath_hz=np.full(n, 0.25),
        breath_phase=np.zeros(n),
        v_rate=np.zeros(n),
        s_rate=np.zeros(n),
    )


def lone_beats(bpm: list[float], kind: int = 0) -> Beats:
    n = len(bpm)
    return Beats(np.arange(n), np.full(n, 2.0), 60.0 / np.array(bpm), np.full(n, kind))


@pytest.fixture
def subject() -> Subject:
    return draw_subject(np.random.default_rng(0))


def test_gaussians_agree_with_a_plain_loop_over_all_samples() -> None:
    rng = np.random.default_rng(0)
    n = 60
    burst = rng.integers(0, 3, n)
    centre_s, height = rng.uniform(-0.5, 4.5, n), rng.normal(size=n)
    sigma_s = rng.uniform(0.008, 0.3, n)
    time_s = np.arange(1000) / RATE
    expected = np.zeros((3, 1000))
    for k in range(n):
        expected[burst[k]] += height[k] * np.exp(-((time_s - centre_s[k]) ** 2) / (2 * sigma_s[k] ** 2))
    half = n // 2
    drawn = add_gaussians(
        3,
        1000,
        RATE,
        [burst[:half], burst[half:]],
        [centre_s[:half], centre_s[half:]],
        [height[:half], height[half:]],
        [sigma_s[:half], sigma_s[half:]],
    )
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, expected, atol=3e-4)  # tails beyond 4.5 sigma are left out: 4e-5 each


def test_no_gaussians_give_zeros() -> None:
    none = np.zeros(0)
    assert not add_gaussians(2, 50, RATE, [np.zeros(0, np.int64)], [none], [none], [none]).any()


def test_the_t_wave_moves_with_the_square_root_of_rr(subject: Subject) -> None:
    signal = render_beats(lone_beats([60.0, 100.0]), states([60.0, 100.0]), subject.waves, 30_000, 5000.0)
    after = signal[:, 10_500:13_000].astype(np.float64)  # 0.1 to 0.6 s after the R-peak
    peak_s = 0.1 + np.argmax(after, axis=1) / 5000.0
    assert peak_s[1] / peak_s[0] == pytest.approx(np.sqrt(0.6), abs=0.01)


def test_fibrillation_has_no_p_wave_and_sinus_rhythm_has(subject: Subject) -> None:
    before = slice(int(1.8 * RATE), int(1.9 * RATE))
    sinus = render_beats(lone_beats([70.0]), states([70.0]), subject.waves, 3750, RATE)[0, before]
    fibrillating = render_beats(lone_beats([70.0]), states([70.0], af=True), subject.waves, 3750, RATE)[0, before]
    assert np.abs(fibrillating).max() < 0.1 * np.abs(sinus).max()


def test_a_ventricular_beat_is_more_than_twice_as_wide(subject: Subject) -> None:
    width = {}
    for kind in (0, 2):
        signal = np.abs(render_beats(lone_beats([70.0], kind), states([70.0]), subject.waves, 3750, RATE)[0])
        peak = find_peaks(signal, height=0.7 * signal.max())[0]
        assert abs(peak[0] / RATE - 2.0) <= 1.0 / RATE
        width[kind] = peak_widths(signal, peak)[0][0]
    assert width[2] > 2.0 * width[0]


def test_fibrillatory_waves_lie_between_4_and_9_hz_and_only_in_fibrillation() -> None:
    rng = np.random.default_rng(0)
    wave = render_fibrillation(states([80.0] * 20, af=True), rng, TIME_S)
    frequency_hz, power = periodogram(wave.astype(np.float64), RATE)
    assert np.all((frequency_hz[np.argmax(power, axis=1)] > 4.0) & (frequency_hz[np.argmax(power, axis=1)] < 9.0))
    assert 0.01 < wave.std() < 0.1
    assert not render_fibrillation(states([80.0] * 3), rng, TIME_S).any()


def test_noise_holds_mains_at_60_hz_and_grows_with_activity() -> None:
    rest = render_noise(states([70.0] * 100), 1.0, np.random.default_rng(0), TIME_S).astype(np.float64)
    active = render_noise(states([70.0] * 100, active=True), 1.0, np.random.default_rng(0), TIME_S)
    frequency_hz, power = periodogram(rest, RATE)
    power = power.mean(0)
    mains = np.argmin(np.abs(frequency_hz - 60.0))
    assert power[mains] > 10.0 * np.median(power[(frequency_hz > 50.0) & (frequency_hz < 70.0)])
    assert power[(frequency_hz > 0.03) & (frequency_hz < 0.6)].mean() > 100.0 * power[frequency_hz > 70.0].mean()
    assert active.std() > 1.5 * rest.std()


def test_noise_is_proportional_to_its_level() -> None:
    one = render_noise(states([70.0] * 4), 1.0, np.random.default_rng(0), TIME_S)
    two = render_noise(states([70.0] * 4), 2.0, np.random.default_rng(0), TIME_S)
    np.testing.assert_allclose(two, 2.0 * one, rtol=1e-6)


def test_lost_contact_is_flat_or_at_the_limit_and_spares_the_other_bursts() -> None:
    rng = np.random.default_rng(0)
    original = rng.normal(size=(200, 3750)).astype(np.float32)
    signal = original.copy()
    chance = np.where(np.arange(200) < 100, 1.0, 0.0)
    lose_contact(signal, chance, np.random.default_rng(1))
    np.testing.assert_array_equal(signal[100:], original[100:])
    for burst in range(100):
        changed = np.flatnonzero(signal[burst] != original[burst])
        lost = signal[burst, changed]
        assert np.all(np.abs(lost) == SATURATION_MV) or np.abs(lost).max(initial=0.0) < 0.02
        assert len(changed) == 0 or changed[-1] - changed[0] < len(changed) + 2  # one piece
    assert np.any(np.abs(signal) == SATURATION_MV)
