"""Features of beats whose intervals are known."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.heart_rate import FEATURES, heart_rate_features, interval_features


def test_the_features_are_those_worked_out_by_hand() -> None:
    found = dict(zip(FEATURES, interval_features(np.array([800.0, 900.0, 800.0, 740.0]), 72.0), strict=True))
    assert found["heart rate (1/min)"] == 75
    assert found["shortest interval (ms)"] == 740
    assert found["longest interval (ms)"] == 900
    assert found["SDNN (ms)"] == pytest.approx(np.sqrt((10**2 + 90**2 + 10**2 + 70**2) / 3))
    assert found["RMSSD (ms)"] == pytest.approx(np.sqrt((100**2 + 100**2 + 60**2) / 3))
    assert found["pNN50"] == 1
    assert found["coefficient of variation"] == pytest.approx(found["SDNN (ms)"] / 810)
    assert found["RMSSD / SDNN"] == pytest.approx(found["RMSSD (ms)"] / found["SDNN (ms)"])
    assert found["interquartile range of intervals (ms)"] == pytest.approx(825 - 785)
    assert found["beats a minute"] == 72
    assert found["fewer than three intervals"] == 0


def test_an_even_rhythm_has_no_variability() -> None:
    found = dict(zip(FEATURES, interval_features(np.full(9, 800.0), 75.0), strict=True))
    assert [found[name] for name in ("SDNN (ms)", "RMSSD (ms)", "pNN50", "RMSSD / SDNN")] == [0, 0, 0, 0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_beats_are_marked_and_nothing_is_missing(n: int) -> None:
    found = interval_features(np.full(n, 800.0), 8.0)
    assert np.isfinite(found).all()
    assert len(found) == len(FEATURES)
    assert found[-2:].tolist() == [8.0, 1.0]


def test_the_heart_rate_of_stored_windows_is_that_of_their_beats(small_store: Path) -> None:
    windows = Windows([small_store, small_store])
    rows = np.array([200, 3, 150])
    features = heart_rate_features(windows, rows)
    assert features.shape == (3, len(FEATURES))
    np.testing.assert_allclose(features[:, 0], windows.heart_rate(rows), rtol=1e-6)
