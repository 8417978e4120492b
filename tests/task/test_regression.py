from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelSpec
from tiles_ecg.task.regression import HEART_RATE, Regression
from tiles_ecg.task.target import Target, TaskError

QT = LabelSpec("qt_ms", "window", "continuous", unit="ms")
TWO = [("r1", "anna", 3), ("r2", "bo", 2)]
MakeWindows = Callable[..., Windows]


def regress(windows_of: MakeWindows, values: list[float], level: Any = "window", **limits: float) -> Target:
    windows = windows_of(TWO, [(QT, values)])
    return Regression("t", "qt_ms", level, **limits).target(windows, np.arange(5))  # type: ignore[arg-type]


def test_a_window_has_its_value_in_the_unit_of_the_label(windows_of: MakeWindows) -> None:
    found = regress(windows_of, [400, 410, np.nan, 380, 390])
    assert (found.kind, found.unit, found.classes, found.metric) == ("regression", "ms", (), "mae")
    assert (found.value.tolist(), found.row.tolist()) == ([400, 410, 380, 390], [0, 1, 3, 4])
    assert found.value.dtype == np.float64
    assert found.notes == ("1 of 5 windows have no qt_ms and are left out",)


def test_the_value_of_a_recording_is_the_mean_of_its_windows(windows_of: MakeWindows) -> None:
    assert regress(windows_of, [400, 410, np.nan, 380, 390], "recording").value.tolist() == [405, 385]


def test_implausible_and_infinite_values_are_left_out_and_counted(windows_of: MakeWindows) -> None:
    found = regress(windows_of, [400, 900, np.inf, 100, 390], low=200.0, high=600.0)
    assert (found.value.tolist(), found.row.tolist()) == ([400, 390], [0, 4])
    assert found.notes == (
        "1 of 5 windows have a qt_ms that is infinite or not a number and are left out",
        "1 of 5 windows have a qt_ms that is below 200.0 ms and are left out",
        "1 of 5 windows have a qt_ms that is above 600.0 ms and are left out",
    )


def test_all_values_the_same_or_implausible_is_an_error(windows_of: MakeWindows) -> None:
    with pytest.raises(TaskError, match="t: 5 windows, all with qt_ms = 400 ms; there is nothing to predict"):
        regress(windows_of, [400] * 5)
    with pytest.raises(TaskError, match=r"t: no window has a plausible qt_ms \(5 of 5 windows .* above 300.0 ms"):
        regress(windows_of, [400] * 5, high=300.0)


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="low = 600, high = 200: no value lies between them"):
        Regression("t", "qt_ms", "window", low=600.0, high=200.0)


def test_a_heart_rate_that_no_store_has_is_taken_from_the_beats(windows_of: MakeWindows) -> None:
    beats = [[0, 100, 200], [0, 50, 100, 150], [0, 80], [], [10, 110, 220, 320]]  # time points at 100 Hz
    windows = windows_of(TWO, beats=beats)
    found = Regression("t", "heart_rate", "window").target(windows, np.arange(5))
    np.testing.assert_allclose(found.value, [60, 120, 60])  # 60 s over medians of 1, 0.5 and 1 s
    assert (found.unit, found.row.tolist()) == ("bpm", [0, 1, 4])
    assert found.notes[0].startswith("the heart rate of 5 windows is from their R-peaks")
    assert found.notes[1] == "2 of 5 windows have no heart_rate and are left out"


def test_a_heart_rate_that_a_store_has_is_taken_from_there_and_only_the_others_from_beats(
    store_file: Callable[..., Path],
) -> None:
    one = store_file("a.h5", TWO, [(HEART_RATE, [61, 62, np.nan, 63, 64])], beats=[[0, 100, 200]] * 5)
    two = store_file("b.h5", TWO, beats=[[0, 50, 100]] * 5)
    found = Regression("t", "heart_rate", "window").target(Windows([two, one]), np.array([0, 4, 5, 7, 9]))
    assert found.value.tolist() == [120, 120, 61, 64]
    assert found.notes[0].startswith("the heart rate of 2 windows is from their R-peaks")


def test_no_heart_rate_at_all_is_an_error(windows_of: MakeWindows) -> None:
    with pytest.raises(TaskError, match="t: none of 5 windows has a heart rate: too few R-peaks"):
        Regression("t", "heart_rate", "window").target(windows_of(TWO), np.arange(5))
