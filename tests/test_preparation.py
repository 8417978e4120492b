"""Windows against SciPy on whole stretches, beats and labels against loops, drops against hand-made faults."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt

import tiles_ecg.preparation
from tiles_ecg.beat import detect_beats
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import Annotations, LabelSpec, Recording, RecordingError


def preparation(**changed: Any) -> Preparation:
    values = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 10.0, "step_s": 10.0}
    return Preparation(**{**values, **changed})


def ecg(duration_s: float, rate: float, seed: int = 0) -> NDArray[np.float32]:
    """Narrow beats about once a second, drift and noise, on an offset."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(duration_s * rate)) / rate
    beats = np.cumsum(rng.uniform(0.7, 1.1, int(duration_s * 1.5) + 1))
    impulses = np.zeros(len(time))
    impulses[(beats[beats < duration_s] * rate).astype(int)] = 1.0
    wave = np.exp(-((np.arange(-0.06 * rate, 0.06 * rate + 1) / rate / 0.02) ** 2))
    signal = (
        np.convolve(impulses, wave)[: len(time)]
        + 0.3 * np.sin(2 * np.pi * 0.2 * time)
        + rng.normal(0, 0.02, len(time))
        + 0.7
    )
    return np.asarray(signal, np.float32)


def recording(signal: NDArray[np.float32], rate: float, **changed: Any) -> Recording:
    """From (T,), (C, T) or (S, C, T)."""
    signal = signal.reshape((1,) * (3 - signal.ndim) + signal.shape)
    values = {"id": "a", "leads": tuple("XYZ"[: signal.shape[1]]), "source": "a.dat"}
    return Recording(signal=signal, sample_rate=rate, **{**values, **changed})


def scipy_stretch(signal: NDArray[np.float32], up: int, down: int) -> NDArray[np.float64]:
    """One lead of one stretch at 100 Hz, band-passed, in double precision: (T,) -> (T',)."""
    x = signal.astype(np.float64)
    line = np.linspace(x[0], x[-1], len(x))
    resampled = resample_poly(x - line, up, down)
    slope = (x[-1] - x[0]) / (len(x) - 1)
    resampled += x[0] + slope * np.arange(len(resampled)) * down / up
    sos = butter(2, (0.5, 40.0), "bandpass", fs=100.0, output="sos")
    return np.asarray(sosfiltfilt(sos, resampled, padtype="even", padlen=200))


@pytest.mark.parametrize(("rate", "up", "down"), [(250.0, 2, 5), (100.0, 1, 1), (360.0, 5, 18)])
def test_windows_are_slices_of_the_whole_stretch_resampled_and_filtered_by_scipy(
    rate: float, up: int, down: int
) -> None:
    signal = ecg(65.0, rate)
    found = preparation()(recording(signal, rate), ())
    whole = scipy_stretch(signal, up, down)
    assert found.signal.shape == (6, 1, 1000)
    assert found.signal.dtype == np.float32
    for window in range(6):
        np.testing.assert_allclose(found.signal[window, 0], whole[window * 1000 : window * 1000 + 1000], atol=2e-4)


def test_every_stretch_and_lead_is_filtered_for_itself() -> None:
    signal = np.stack([[ecg(23.0, 250.0, 10 * s + c) for c in range(3)] for s in range(4)])
    start_s = np.array([0.0, 300.0, 600.0, 1200.0])
    found = preparation(step_s=5.0)(recording(signal, 250.0, start_s=start_s, wall_time=start_s + 1e9), ())
    expected = [
        [scipy_stretch(signal[s, c], 2, 5)[first : first + 1000] for c in range(3)]
        for s in range(4)
        for first in (0, 500, 1000)
    ]
    np.testing.assert_allclose(found.signal, np.array(expected), atol=2e-4)
    begins = [begin + into for begin in start_s for into in (0.0, 5.0, 10.0)]
    np.testing.assert_allclose(found.start_s, begins)
    np.testing.assert_allclose(found.wall_time_s, np.array(begins) + 1e9)


def test_times_are_from_zero_and_unknown_where_the_recording_does_not_say() -> None:
    found = preparation()(recording(ecg(35.0, 250.0), 250.0), ())
    assert found.start_s.tolist() == [0.0, 10.0, 20.0]
    assert np.isnan(found.wall_time_s).all()


def test_beats_of_a_window_are_those_of_its_stretch_moved_to_its_start() -> None:
    signal = np.stack([ecg(33.0, 250.0, seed)[None] for seed in range(3)])
    found = preparation(step_s=3.0)(recording(signal, 250.0), ())
    filtered = np.stack([scipy_stretch(stretch[0], 2, 5) for stretch in signal]).astype(np.float32)
    position, offset = detect_beats(filtered, 100.0)
    expected, counts = [], []
    for stretch in range(3):
        beats = position[offset[stretch] : offset[stretch + 1]]
        for first in range(0, 3300 - 1000 + 1, 300):
            inside = [int(beat - first) for beat in beats if first <= beat < first + 1000]
            expected += inside
            counts.append(len(inside))
    assert found.beat_count.tolist() == counts
    assert found.beat_position.tolist() == expected
    assert min(counts) >= 7


def test_a_window_counts_once_under_its_first_reason() -> None:
    signal = ecg(60.0, 250.0)
    signal[:2500] = 0.0  # flat, of low quality
    signal[10] = np.nan  # and not finite: that comes first
    signal[2500:5000] = 0.25
    signal[5000:7500] = np.clip(2 * np.sin(2 * np.pi * 5 * np.arange(2500) / 250), -1, 1)  # runs too short to be flat
    signal[7500:10000] = np.random.default_rng(0).normal(size=2500)
    found = preparation(max_flat=0.5, max_clipped=0.5, min_quality=0.5)(recording(signal, 250.0), ())
    assert dict(found.dropped) == {"nonfinite": 1, "flat": 1, "clipped": 1, "low quality": 1}
    assert found.start_s.tolist() == [40.0, 50.0]
    assert len(found.signal) == len(found.quality) == len(found.beat_count) == 2
    assert found.beat_count.sum() == len(found.beat_position)


def test_nothing_is_dropped_where_no_limit_is_set() -> None:
    signal = ecg(20.0, 250.0)
    signal[:2500] = 0.0
    found = preparation()(recording(signal, 250.0), ())
    assert dict(found.dropped) == {}
    assert found.quality[0] == 0
    assert found.quality[1] > 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_one_bad_value_in_half_an_hour_costs_one_window(value: float) -> None:
    signal = ecg(1800.0, 250.0)
    clean = preparation()(recording(signal, 250.0), ())
    signal[101_234] = value  # in the 41st window
    if value == 3e38:
        with np.errstate(all="ignore"):
            found = preparation()(recording(signal, 250.0), ())
        assert found.dropped["nonfinite"] >= 1
        assert np.isfinite(found.signal).all()
        assert np.isfinite(found.quality).all()
        return
    found = preparation()(recording(signal, 250.0), ())
    assert dict(found.dropped) == {"nonfinite": 1}
    kept = np.delete(np.arange(180), 40)
    np.testing.assert_array_equal(found.start_s, kept * 10.0)
    np.testing.assert_allclose(found.signal, clean.signal[kept], atol=0.02)


def test_raw_signal_judged_by_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.stack([ecg(31.0, 250.0, seed)[None] for seed in range(5)])
    signal[1, 0, 100:3000] = 0
    signal[3, 0, 4000] = np.nan
    strict = preparation(step_s=4.0, max_flat=0.3)
    whole = strict(recording(signal, 250.0), ())
    for points in (1, 8000, 40_000):
        monkeypatch.setattr(tiles_ecg.preparation, "POINTS_AT_ONCE", points)
        found = strict(recording(signal, 250.0), ())
        np.testing.assert_array_equal(found.signal, whole.signal)
        assert found.dropped == whole.dropped
    assert whole.dropped == {"nonfinite": 3, "flat": 3}


@pytest.mark.parametrize("duration_s", [0.004, 1.0, 9.99])
def test_stretches_shorter_than_a_window_are_counted(duration_s: float) -> None:
    signal = np.stack([ecg(duration_s, 250.0, seed)[None] for seed in range(3)])
    found = preparation()(recording(signal, 250.0), ())
    assert dict(found.dropped) == {"short": 3}
    assert found.signal.shape == (0, 1, 1000)


def test_a_recording_without_stretches_gives_nothing_and_drops_nothing() -> None:
    found = preparation()(recording(np.empty((0, 2, 5000), np.float32), 250.0), ())
    assert found.signal.shape == (0, 2, 1000)
    assert dict(found.dropped) == {}


@pytest.mark.parametrize("rate", [100.0, 127.94, 128.0, 250.0, 256.0, 300.0, 360.0, 500.0, 1000.0])
def test_a_stretch_of_exactly_one_window_gives_one_at_any_rate(rate: float) -> None:
    found = preparation(window_s=15.0)(recording(ecg(15.0, rate), rate), ())
    assert len(found.signal) + found.dropped.get("short", 0) == 1
    assert len(found.signal) == 1 or rate == 127.94  # 1,919 points are 14.9992 s


def test_a_stretch_too_short_for_the_band_pass_is_short_even_if_windows_are_shorter() -> None:
    quick = preparation(window_s=1.0, step_s=1.0)
    assert dict(quick(recording(ecg(1.5, 250.0), 250.0), ()).dropped) == {"short": 1}
    assert len(quick(recording(ecg(2.5, 250.0), 250.0), ()).signal) == 2


def test_labels_are_aligned_to_the_windows_that_are_kept() -> None:
    spec = LabelSpec("rhythm", "window", "categorical", ("n", "v"))
    other = LabelSpec("other", "window", "continuous")
    age = LabelSpec("age", "subject", "continuous")
    signal = ecg(40.0, 250.0)
    signal[2600] = np.nan  # drops the second window
    events = Annotations("rhythm", np.array([0.0, 20.0]), ["n", "v"], np.array([20.0, 10.0]))
    found = preparation()(recording(signal, 250.0, annotations=(events,)), (spec, other, age))
    assert found.start_s.tolist() == [0.0, 20.0, 30.0]
    assert found.label["rhythm"].tolist() == [0, 1, -1]
    assert np.isnan(found.label["other"]).all()
    assert set(found.label) == {"rhythm", "other"}


def test_a_rate_that_cannot_hold_the_band_is_refused_with_the_key_to_change() -> None:
    with pytest.raises(RecordingError, match=r"a\.dat: recorded at 64 Hz.*set preparation\.high_hz to at most 32"):
        preparation()(recording(ecg(20.0, 64.0), 64.0), ())


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"high_hz": 50.0}, "need 0 < low_hz < high_hz < 50"),
        ({"low_hz": 45.0}, "band 45.0 to 40.0 Hz"),
        ({"window_s": 0.0}, "both must be positive"),
        ({"step_s": -1.0}, "both must be positive"),
        ({"window_s": math.inf}, "both must be positive and finite"),
        ({"sample_rate": 50.0, "high_hz": 20.0}, "R-peaks need at least 60 Hz"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(changed: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        preparation(**changed)
