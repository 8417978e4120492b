import importlib.util
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tiles_ecg.beat import detect_beats
from tiles_ecg.waveform import bandpass

RATE = 100.0


def ecg(beats_s, duration_s, rate=RATE, height=1.0):
    """Hand-made lead: a narrow QRS complex and a broad T wave (0.3 of its height) for each beat."""
    time = np.arange(round(duration_s * rate)) / rate
    signal = np.zeros(len(time))
    for beat in beats_s:
        signal += np.exp(-((time - beat) ** 2) / (2 * 0.012**2)) + 0.3 * np.exp(
            -((time - beat - 0.28) ** 2) / (2 * 0.05**2)
        )
    return (height * signal).astype(np.float32)


def regular(duration_s, rr_s=0.83, first_s=0.41):
    return np.arange(first_s, duration_s - 0.2, rr_s)


def split(position, offset):
    return np.split(position, offset[1:-1])


def mixed_stretches():
    rng = np.random.default_rng(0)
    return np.stack(
        [ecg(regular(15, rr), 15) + 0.03 * rng.standard_normal(1500) for rr in (0.5, 0.7, 0.9, 1.2)]
    ).astype(np.float32)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "beats.py"
    spec = importlib.util.spec_from_file_location("benchmark_beats", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rate", [60.0, 100.0, 250.0, 360.0, 500.0])
@pytest.mark.parametrize("polarity", [1, -1])
def test_hand_placed_beats_are_found_where_they_are_upright_or_inverted(rate, polarity):
    beats = regular(15)
    position, offset = detect_beats(polarity * ecg(beats, 15, rate)[None], rate)
    assert position.dtype == np.int64
    assert offset.dtype == np.int64
    assert offset.tolist() == [0, len(beats)]
    np.testing.assert_allclose(position / rate, beats, atol=1 / rate)


@pytest.mark.parametrize("rr_s", [0.32, 0.5, 1.0, 1.9])
def test_heart_rates_from_32_to_188_per_minute_are_followed(rr_s):
    beats = regular(15, rr_s)
    position, _ = detect_beats(ecg(beats, 15)[None], RATE)
    np.testing.assert_allclose(position / RATE, beats, atol=0.011)


def test_scale_and_offset_do_not_matter():
    signal = mixed_stretches()
    expected, _ = detect_beats(signal, RATE)
    for scale in (1e-6, 1e3, 1e25):
        np.testing.assert_array_equal(detect_beats(np.float32(scale) * signal, RATE)[0], expected)
    np.testing.assert_array_equal(detect_beats(signal + np.float32(10), RATE)[0], expected)


def test_every_stretch_is_judged_as_if_it_were_alone_whatever_its_neighbours_hold():
    good = mixed_stretches()
    rng = np.random.default_rng(1)
    bad = [np.zeros(1500), 1e6 * good[0], np.full(1500, np.nan), 1e30 * rng.standard_normal(1500), np.full(1500, 7.0)]
    stretches = np.stack([x for pair in zip(good, bad, strict=False) for x in pair]).astype(np.float32)
    together = split(*detect_beats(stretches, RATE))
    for signal, found in zip(stretches, together, strict=True):
        np.testing.assert_array_equal(found, detect_beats(signal[None], RATE)[0])
    for signal, found in zip(good, together[::2], strict=True):
        np.testing.assert_array_equal(found, detect_beats(signal[None], RATE)[0])


@pytest.mark.parametrize("value", [0.0, -3.5, 1e30, np.nan, np.inf])
def test_a_stretch_that_never_moves_has_no_beats(value):
    position, offset = detect_beats(np.full((3, 1500), value, dtype=np.float32), RATE)
    assert len(position) == 0
    assert offset.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "shape", [(0, 1500), (3, 0), (0, 0), *((2, t) for t in (1, 2, 3, 10, 49, 50, 51, 100, 149, 151))]
)
def test_any_number_of_stretches_of_any_length_is_taken(shape):
    signal = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    position, offset = detect_beats(signal, RATE)
    assert len(offset) == shape[0] + 1
    assert offset[-1] == len(position)
    assert ((position >= 0) & (position < max(shape[1], 1))).all()


@pytest.mark.parametrize("kind", ["white", "walk", "square", "spike", "ramp", "alternating", "limits"])
def test_hopeless_signals_neither_raise_nor_give_beats_closer_than_200_ms(kind):
    rng = np.random.default_rng(0)
    time = np.arange(6000)
    signal = {
        "white": rng.standard_normal((5, 6000)),
        "walk": rng.standard_normal((5, 6000)).cumsum(-1),
        "square": np.tile(np.sign(np.sin(time / 40)), (5, 1)),
        "spike": np.eye(5, 6000, 3000) * 1e20,
        "ramp": np.tile(time * 1.0, (5, 1)),
        "alternating": np.tile((-1.0) ** time, (5, 1)),
        "limits": np.tile(np.finfo(np.float32).max * (-1.0) ** (time // 30), (5, 1)),
    }[kind].astype(np.float32)
    for found in split(*detect_beats(signal, RATE)):
        assert (np.diff(found) >= 20).all()


def test_points_that_are_not_finite_cost_no_beat_elsewhere():
    beats = regular(15)
    signal = ecg(beats, 15)
    signal[700:760] = np.nan
    signal[760] = np.inf
    position, _ = detect_beats(signal[None], RATE)
    kept = beats[(beats < 6.9) | (beats > 7.7)]
    assert all(np.abs(position / RATE - beat).min() < 0.02 for beat in kept)


def test_an_artefact_a_thousand_times_as_high_hides_no_beat_a_second_away():
    beats = regular(15)
    signal = ecg(beats, 15)
    signal[700:710] += 1000
    position, _ = detect_beats(signal[None], RATE)
    assert all(np.abs(position / RATE - beat).min() < 0.03 for beat in beats[np.abs(beats - 7.05) > 1])


def test_a_lead_that_falls_off_halfway_keeps_its_beats_and_gains_none():
    beats = regular(6)
    signal = np.zeros(1500, dtype=np.float32)
    signal[:600] = ecg(beats, 6)
    position, _ = detect_beats(signal[None], RATE)
    np.testing.assert_allclose(position / RATE, beats, atol=0.02)


@pytest.mark.parametrize("duration_s", [18.5, 19.5, 40.0, 61.3, 600.0])
def test_stretches_that_are_cut_into_pieces_lose_and_double_no_beat(duration_s):
    beats = regular(duration_s, 0.77)
    position, offset = detect_beats(np.stack([ecg(beats, duration_s), ecg(beats, duration_s)]), RATE)
    for found in split(position, offset):
        np.testing.assert_allclose(found / RATE, beats, atol=0.011)


def test_six_hours_in_one_stretch_take_little_memory_beside_the_signal():
    hour = ecg(regular(60.0, 0.75, 0.4), 60)
    signal = np.tile(hour, 360)[None]
    tracemalloc.start()
    position, _ = detect_beats(signal, RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
    assert abs(len(position) - 360 * len(regular(60.0, 0.75, 0.4))) <= 2


def test_the_input_is_left_untouched():
    signal = mixed_stretches()
    signal[0, 3] = np.nan
    before = signal.copy()
    detect_beats(signal, RATE)
    np.testing.assert_array_equal(signal, before)


def test_a_signal_with_a_lead_axis_or_a_rate_below_60_hz_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 1, 1500\).*one lead"):
        detect_beats(np.zeros((2, 1, 1500), np.float32), RATE)
    for rate in (0.0, 50.0, float("nan")):
        with pytest.raises(ValueError, match="at least 60 Hz"):
            detect_beats(np.zeros((2, 1500), np.float32), rate)


def test_one_to_one_matching_equals_the_largest_matching_found_by_search(benchmark):
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(0)
    for _ in range(20):
        reference, detected = np.sort(rng.uniform(0, 5, 12)), np.sort(rng.uniform(0, 5, 9))
        near = np.abs(reference[:, None] - detected) <= 0.1
        rows, columns = linear_sum_assignment(~near)
        assert benchmark.count_matches(reference, detected) == near[rows, columns].sum()


def test_beats_of_four_mitdb_records_are_found_with_the_measured_accuracy(real_data, benchmark):
    recordings = [benchmark.read_mitdb(real_data, record) for record in ("101", "119", "201", "215")]
    whole, windows = (benchmark.score(d, recordings) for d in (benchmark.detect_whole, benchmark.detect_windows))
    assert min(whole) > 0.996
    assert min(windows) > 0.995


def test_electrode_motion_at_12_db_costs_few_beats(real_data, benchmark):
    noisy = benchmark.add_noise(real_data, ("118", "205"), "em", 12)
    sensitivity, predictivity = benchmark.score(benchmark.detect_windows, noisy)
    assert sensitivity > 0.99
    assert predictivity > 0.93


def test_the_noise_gain_gives_the_signal_to_noise_ratio_that_was_asked_for(benchmark):
    beats = np.arange(1.0, 59.0, 1.0)
    time = np.arange(60 * 360) / 360
    signal = np.zeros(len(time), np.float32)
    signal[(beats * 360).astype(int)] = 2.0  # peak to peak 2: power of a sine of amplitude 1, 0.5
    noise = np.random.default_rng(0).standard_normal(len(time)).astype(np.float32)
    gain = benchmark.noise_gain(signal, beats, noise, 6.0)
    assert 10 * np.log10(0.5 / gain**2) == pytest.approx(6.0, abs=0.1)


def test_the_filter_of_preparation_leaves_the_beats_where_they_are():
    beats = regular(15)
    position, _ = detect_beats(bandpass(ecg(beats, 15)[None], RATE), RATE)
    np.testing.assert_allclose(position / RATE, beats, atol=0.011)
