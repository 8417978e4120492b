import csv
import math

import numpy as np
import pytest
import scipy.io
import scipy.signal
import wfdb
from sklearn.metrics import roc_auc_score

from tiles_ecg.beat import detect_beats
from tiles_ecg.waveform import (
    bandpass,
    clipped_share,
    fill_nonfinite,
    flat_share,
    location_scale,
    quality,
    resample,
)

RATE = 100.0


def sine(frequency_hz, duration_s, rate):
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate)) / rate).astype(np.float32)


def ecg(duration_s, rate, rr_s=0.8, first_s=0.5):
    time = np.arange(round(duration_s * rate)) / rate
    signal = np.zeros(len(time))
    for beat in np.arange(first_s, duration_s, rr_s):
        signal += np.exp(-((time - beat) ** 2) / (2 * 0.012**2)) + 0.3 * np.exp(
            -((time - beat - 0.28) ** 2) / (2 * 0.05**2)
        )
    return signal.astype(np.float32)


def index(filtered, rate=RATE):
    """Quality of filtered windows (N, T) with their own beats."""
    return quality(filtered[:, None], *detect_beats(filtered, rate), rate)


def from_mitdb(real_data, record, minutes):
    raw = wfdb.rdrecord(str(real_data / "mitdb" / record), channels=[0], sampto=round(minutes * 60 * 360))
    return raw.p_signal[:, 0].astype(np.float32)


# resample


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "up", "down"),
    [
        (250, 100, 2, 5),
        (360, 100, 5, 18),
        (300.0, 100.0, 1, 3),
        (51.2, 100, 125, 64),
        (100, 250, 5, 2),
        (128, 100, 25, 32),
    ],
)
def test_resampled_length_is_rounded_up_and_dtype_and_leading_axes_stay(from_rate, to_rate, up, down):
    signal = np.random.default_rng(0).standard_normal((2, 3, 1001)).astype(np.float32)
    resampled = resample(signal, from_rate, to_rate)
    assert resampled.shape == (2, 3, math.ceil(1001 * up / down))
    assert resampled.dtype == np.float32
    np.testing.assert_array_equal(resampled[1, 2], resample(signal[1, 2], from_rate, to_rate))


@pytest.mark.parametrize("from_rate", [250.0, 360.0, 500.0, 300.0, 128.0])
def test_a_sine_below_both_nyquist_frequencies_stays_the_same_sine(from_rate):
    resampled = resample(sine(7.0, 15, from_rate), from_rate, RATE)
    np.testing.assert_allclose(resampled[50:-50], sine(7.0, 15, RATE)[50:-50], atol=5e-3)


def test_what_the_new_rate_cannot_hold_is_removed_instead_of_folded():
    assert np.abs(resample(sine(80.0, 15, 500), 500, RATE)[50:-50]).max() < 2e-3


@pytest.mark.parametrize("trend", [np.full(3750, 1000.0), np.linspace(-50, 80, 3750)])
def test_an_offset_or_a_drift_makes_no_transients_at_the_ends(trend):
    resampled = resample(trend.astype(np.float32), 250, RATE)
    np.testing.assert_allclose(
        resampled, np.interp(np.arange(1500) * 2.5, np.arange(3750), trend), rtol=1e-5, atol=1e-4
    )


def test_equal_rates_change_nothing():
    signal = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    np.testing.assert_array_equal(resample(signal, 250.0, 250), signal)


def test_a_single_point_can_be_resampled():
    np.testing.assert_allclose(resample(np.float32([3]), 250, 100), [3], rtol=1e-5)


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "message"),
    [
        (0, 100, "from_rate = 0 Hz"),
        (250, -1, "to_rate = -1 Hz"),
        (float("nan"), 100, "from_rate = nan"),
        (1e9, 1, "1000000000.0 Hz to 1 Hz: their ratio is no fraction of integers up to 10000; round"),
        (1, 1e9, "no fraction of integers"),
    ],
)
def test_rates_that_cannot_be_are_refused_by_value(from_rate, to_rate, message):
    with pytest.raises(ValueError, match=message):
        resample(np.zeros(1000, np.float32), from_rate, to_rate)


def test_a_signal_without_time_points_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 0\).*at least one time point"):
        resample(np.zeros((2, 0), np.float32), 250, 100)


# bandpass


def test_a_5_hz_sine_keeps_its_amplitude_and_phase():
    signal = sine(5.0, 15, RATE)
    filtered = bandpass(signal, RATE)
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered[200:-200], signal[200:-200], atol=0.01)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("frequency_hz", [0.2, 0.5, 1.0, 10.0, 40.0, 48.0])
def test_the_gain_is_the_squared_butterworth_response(frequency_hz, order):
    sos = scipy.signal.butter(order, [0.5, 40.0], "bandpass", fs=RATE, output="sos")
    response = scipy.signal.sosfreqz(sos, [frequency_hz], fs=RATE)[1]
    signal = sine(frequency_hz, 60, RATE).astype(np.float64)
    filtered = bandpass(signal, RATE, order=order)
    middle = slice(1000, 5000)  # a whole number of periods of every frequency
    gain = 2 * np.mean(filtered[middle] * signal[middle])
    assert gain == pytest.approx(np.abs(response[0]) ** 2, abs=5e-3)


def test_leading_axes_are_filtered_one_by_one():
    signal = np.random.default_rng(0).standard_normal((2, 3, 1500)).astype(np.float32)
    np.testing.assert_allclose(bandpass(signal, RATE)[1, 2], bandpass(signal[1, 2], RATE), atol=1e-6)


def test_an_offset_vanishes_up_to_the_edges():
    np.testing.assert_allclose(bandpass(np.full((2, 1500), 500, np.float32), RATE), 0, atol=1e-2)


def test_the_edges_of_15_s_stretches_differ_little_from_the_uncut_record(real_data):
    signal = resample(from_mitdb(real_data, "112", 10), 360, RATE)
    whole = bandpass(signal, RATE)
    cut = bandpass(signal.reshape(-1, 1500), RATE)
    difference = (cut - whole.reshape(-1, 1500))[1:-1]
    assert np.sqrt(np.mean(difference[:, :100] ** 2)) < 0.2 * whole.std()
    assert np.sqrt(np.mean(difference[:, 400:1100] ** 2)) < 0.001 * whole.std()


@pytest.mark.parametrize(
    ("length", "changed", "message"),
    [
        (1500, {"high_hz": 50.0}, "high_hz = 50.0 Hz is not below half the sample rate of 100.0 Hz"),
        (1500, {"low_hz": 0.0}, "0 < low_hz"),
        (1500, {"low_hz": 41.0}, "0 < low_hz < high_hz"),
        (1500, {"order": 0}, "order = 0"),
        (200, {}, "2 s is too short.*0.5 Hz.*more than 2 s"),
    ],
)
def test_impossible_filters_are_refused_by_value(length, changed, message):
    with pytest.raises(ValueError, match=message):
        bandpass(np.zeros(length, np.float32), RATE, **changed)


# fill_nonfinite


def test_holes_are_interpolated_and_ends_take_the_nearest_finite_value():
    signal = np.float32([[np.nan, 1, np.nan, np.inf, 4, -np.inf], [np.nan] * 6, [0, 1, 2, 3, 4, 5]])
    filled, bad = fill_nonfinite(signal)
    np.testing.assert_allclose(filled, [[1, 1, 2, 3, 4, 4], [0] * 6, [0, 1, 2, 3, 4, 5]])
    np.testing.assert_array_equal(bad, ~np.isfinite(signal))
    assert filled.dtype == np.float32
    assert np.isnan(signal[0, 0])


def test_rows_of_any_leading_shape_are_filled_for_themselves():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((3, 2, 50)).astype(np.float32)
    signal[rng.random(signal.shape) < 0.3] = np.nan
    filled, _ = fill_nonfinite(signal)
    for row, original in zip(filled.reshape(-1, 50), signal.reshape(-1, 50), strict=True):
        good = np.flatnonzero(np.isfinite(original))
        np.testing.assert_allclose(row, np.interp(np.arange(50), good, original[good]), rtol=1e-6)


# flat_share and clipped_share


def share_in_runs(hit, shortest):
    """The definition as a loop: share of points in runs of at least `shortest` hits."""
    count = run = 0
    for is_hit in [*hit, False]:
        if is_hit:
            run += 1
            continue
        count += run if run >= shortest else 0
        run = 0
    return count / len(hit)


def noisy_ecg(rate=250.0, n=4):
    rng = np.random.default_rng(0)
    return np.stack([ecg(15, rate, rr) + 0.01 * rng.standard_normal(round(15 * rate)) for rr in np.linspace(0.6, 1, n)])


@pytest.mark.parametrize("units_per_mv", [1000, 200, 50])
@pytest.mark.parametrize("in_mv", [True, False])
def test_a_clean_quantised_ecg_is_neither_flat_nor_clipped(units_per_mv, in_mv):
    counts = np.round(noisy_ecg() * units_per_mv)
    windows = (counts / (units_per_mv if in_mv else 1)).astype(np.float32)[:, None]
    assert flat_share(windows, 250.0).max() < 0.01
    assert clipped_share(windows).max() < 0.005


def test_a_clean_real_ecg_is_neither_flat_nor_clipped(real_data):
    windows = from_mitdb(real_data, "112", 5).reshape(-1, 1, 5400)
    assert flat_share(windows, 360.0).max() < 0.01
    assert clipped_share(windows).max() < 0.005


@pytest.mark.parametrize("scale", [1.0, 0.001, 1 / 3])
def test_the_flat_share_counts_the_points_of_long_runs_as_a_loop_does(scale):
    rng = np.random.default_rng(0)
    windows = np.repeat(rng.integers(0, 99, (6, 2, 300)), rng.integers(1, 40, 300), axis=-1)[..., :1500]
    expected = []
    for window in windows:
        shares = []
        for lead in window:
            run_length = np.diff(np.flatnonzero(np.r_[True, np.diff(lead) != 0, True]))
            shares.append(run_length[run_length >= 20].sum() / 1500)
        expected.append(max(shares))
    np.testing.assert_allclose(flat_share((windows * scale).astype(np.float32), RATE), expected, rtol=1e-5)


def test_a_stretch_without_contact_is_flat_for_its_share_of_the_window():
    windows = noisy_ecg().astype(np.float32)[:, None]
    windows[1, 0, 1000:2500] = windows[1, 0, 1000]
    windows[2] = 5.0
    shares = flat_share(windows, 250.0)
    np.testing.assert_allclose(shares, [0, 0.4, 1, 0], atol=0.001)
    assert shares.dtype == np.float32


def test_runs_shorter_than_asked_are_not_flat():
    windows = np.tile(np.repeat(np.float32([0, 1, 2, 1]), 10), 25)[None, None]  # steps of 0.1 s
    assert flat_share(windows, RATE)[0] == 0
    assert flat_share(windows, RATE, shortest_s=0.1)[0] == 1


def test_the_clipped_share_counts_long_runs_at_both_rails_as_a_loop_does():
    rng = np.random.default_rng(0)
    signal = scipy.signal.lfilter([1], [1, -0.95], rng.standard_normal((5, 2, 2000)))
    windows = np.clip(signal, -2, 3).astype(np.float32)
    expected = [
        max(share_in_runs(lead == lead.max(), 4) + share_in_runs(lead == lead.min(), 4) for lead in window)
        for window in windows
    ]
    assert min(expected) > 0.05
    np.testing.assert_allclose(clipped_share(windows), expected, rtol=1e-5)


def test_a_window_that_never_moves_is_not_clipped():
    assert clipped_share(np.full((2, 1, 100), 5.0, np.float32)).tolist() == [0, 0]


def test_the_worst_lead_decides():
    windows = np.stack([noisy_ecg(), np.zeros((4, 3750))], axis=1).astype(np.float32)
    assert flat_share(windows, 250.0).min() == 1


def test_values_that_are_not_finite_are_neither_flat_nor_an_error():
    windows = np.full((1, 1, 100), np.nan, np.float32)
    windows[0, 0, :10] = np.inf
    assert flat_share(windows, RATE)[0] == 0
    assert clipped_share(windows)[0] == 0


# quality


def agreement_by_loop(window, beats, rate):
    before, after = round(0.2 * rate), round(0.3 * rate)
    whole = [window[b - before : b + after + 1] for b in beats if b >= before and b + after < len(window)]
    unit = [(x - x.mean()) / np.linalg.norm(x - x.mean()) for x in whole]
    r = [np.corrcoef(x, np.sum([y for k, y in enumerate(unit) if k != i], axis=0))[0, 1] for i, x in enumerate(unit)]
    return max(np.mean(r), 0)


def test_for_a_steady_rhythm_the_quality_is_the_agreement_of_the_beats():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 1500)) * np.array([[0.0], [0.05], [0.1], [0.2], [0.3]])
    windows = bandpass(ecg(15, RATE) + noise.astype(np.float32), RATE)
    beats = np.rint(np.arange(0.5, 15, 0.8) * RATE).astype(np.int64)
    found = quality(windows[:, None], np.tile(beats, 5), np.arange(6) * len(beats), RATE)
    np.testing.assert_allclose(found, [agreement_by_loop(w, beats, RATE) for w in windows], rtol=1e-4)
    assert found[0] > 0.98
    assert (np.diff(found) < 0).all()
    assert found.dtype == np.float32


def test_windows_are_judged_for_themselves_and_those_without_beats_get_zero():
    windows = bandpass(np.stack([ecg(15, RATE, rr) for rr in (0.6, 0.9, 1.3)]), RATE)
    windows = np.insert(windows, [0, 1, 3], 0.0, axis=0)  # flat, good, flat, good, good, flat
    together = index(windows)
    np.testing.assert_allclose(together, [index(w[None])[0] for w in windows], rtol=1e-5)
    assert (together[[0, 2, 5]] == 0).all()
    assert (together[[1, 3, 4]] > 0.95).all()


def test_a_pause_and_a_dead_stretch_cost_their_share_of_the_window():
    window = bandpass(ecg(15, RATE), RATE)
    whole = index(window[None])[0]
    window[900:] = 0
    half = index(window[None])[0]
    assert half == pytest.approx(whole * 0.6 * 0.6, abs=0.08)  # 9 s of 15 s; 4 or 5 stretches of 7


def test_an_irregular_rhythm_is_no_lack_of_quality():
    rng = np.random.default_rng(0)
    time = np.arange(1500) / RATE
    beats = np.cumsum(rng.uniform(0.45, 1.3, 30))
    signal = sum(np.exp(-((time - b) ** 2) / (2 * 0.012**2)) for b in beats[beats < 15])
    assert index(bandpass(signal[None].astype(np.float32), RATE))[0] > 0.95


def test_noise_alone_scores_low():
    noise = bandpass(np.random.default_rng(0).standard_normal((50, 1500)).astype(np.float32), RATE)
    assert np.mean(index(noise)) < 0.45


def test_the_quality_of_several_leads_is_their_mean():
    windows = bandpass(np.stack([ecg(15, RATE, 0.8), ecg(15, RATE, 0.9)]), RATE)
    position, offset = detect_beats(windows, RATE)
    two = np.stack([windows, np.zeros_like(windows)], axis=1)
    one = quality(windows[:, None], position, offset, RATE)
    np.testing.assert_allclose(quality(two, position, offset, RATE), one / 2, rtol=1e-5)


def test_no_windows_have_no_quality():
    empty = np.empty(0, np.int64)
    assert quality(np.empty((0, 1, 1500), np.float32), empty, np.zeros(1, np.int64), RATE).shape == (0,)


def test_offsets_that_do_not_fit_the_windows_are_refused():
    with pytest.raises(ValueError, match="2 windows with 2 beat offsets and 3 positions"):
        quality(np.zeros((2, 1, 1500), np.float32), np.arange(3), np.array([0, 3]), RATE)


@pytest.mark.parametrize("kind", ["em", "ma", "bw"])
def test_real_noise_lowers_the_quality_the_more_the_louder_it_is(real_data, kind):
    clean = from_mitdb(real_data, "119", 10)
    noise = wfdb.rdrecord(str(real_data / "nstdb" / kind), channels=[0], sampto=len(clean)).p_signal[:, 0]
    ratio = clean.std() / noise.std()
    means = []
    for snr_db in (24, 18, 12, 6, 0, -6):
        noisy = (clean + 10 ** (-snr_db / 20) * ratio * noise).astype(np.float32)
        means.append(index(bandpass(resample(noisy, 360, RATE), RATE).reshape(-1, 1500)).mean())
    assert (np.diff(means) < 0).all(), means
    assert means[0] > 0.85


def test_low_quality_marks_the_recordings_that_cinc2017_calls_too_noisy(real_data):
    with (real_data / "cinc2017" / "REFERENCE-v3.csv").open(newline="") as file:
        label_of = dict(csv.reader(file))
    records = [r for c in "~NAO" for r in [k for k, v in label_of.items() if v == c][:80]]
    scores = []
    for record in records:
        raw = scipy.io.loadmat(real_data / "cinc2017" / "training2017" / f"{record}.mat")["val"][0]
        filtered = bandpass(resample((raw / 1000).astype(np.float32), 300, RATE), RATE)
        scores.append(index(filtered[None, :1500])[0])
    assert roc_auc_score([label_of[r] == "~" for r in records], -np.array(scores)) > 0.92


# location_scale


def test_location_and_scale_are_those_of_all_points_of_a_lead_together():
    windows = (np.random.default_rng(0).standard_normal((7, 2, 300)) * [[2.0], [5.0]] + [[1.0], [-3.0]]).astype(
        np.float32
    )
    found = location_scale(windows)
    for lead in range(2):
        points = sorted(float(x) for window in windows for x in window[lead])
        mean = math.fsum(points) / len(points)
        assert found.mean[lead] == pytest.approx(mean)
        assert found.std[lead] == pytest.approx(math.sqrt(math.fsum((x - mean) ** 2 for x in points) / len(points)))
        assert found.median[lead] == pytest.approx((points[1049] + points[1050]) / 2)
        assert found.robust_std[lead] == pytest.approx(found.std[lead], rel=0.06)
    assert found.mean.dtype == found.robust_std.dtype == np.float64


def test_time_points_are_not_standardised_each_for_itself():
    same_in_every_window = np.tile(sine(1.0, 15, RATE), (20, 1, 1))
    found = location_scale(same_in_every_window)
    assert found.mean.shape == found.std.shape == found.median.shape == found.robust_std.shape == (1,)
    assert found.std[0] == pytest.approx(np.sqrt(0.5), rel=1e-4)  # across windows it would be 0 at every time point


def test_artefacts_move_the_plain_but_not_the_robust_statistics():
    windows = np.random.default_rng(0).standard_normal((50, 1, 1000)).astype(np.float32)
    windows[0, 0, :200] = 1000
    found = location_scale(windows)
    assert found.std[0] > 50
    assert found.robust_std[0] == pytest.approx(1, rel=0.03)
    assert found.median[0] == pytest.approx(0, abs=0.03)


def test_a_large_offset_costs_no_precision():
    windows = (4000 + np.random.default_rng(0).standard_normal((500, 1, 1000))).astype(np.float32)
    found = location_scale(windows)
    assert found.mean[0] == pytest.approx(windows.astype(np.float64).mean(), rel=1e-12)
    assert found.std[0] == pytest.approx(windows.astype(np.float64).std(), rel=1e-6)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((0, 1, 100)), "at least one point"),
        (np.full((1, 1, 5), np.nan), "not finite"),
        (np.zeros((3, 100)), r"\(3, 100\); they must be \(windows, leads, time points\)"),
    ],
)
def test_windows_without_a_location_are_refused(windows, message):
    with pytest.raises(ValueError, match=message):
        location_scale(windows.astype(np.float32))
