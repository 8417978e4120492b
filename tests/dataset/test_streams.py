"""Streams: the same numbers as one window at a time."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.streams import stream_values
from tiles_ecg.dataset.windows import Windows


def test_a_heart_rate_that_is_no_label_is_known_from_the_beats(tone_store: Path) -> None:
    windows = Windows([tone_store])
    found = stream_values(windows, ["heart_rate"]).value[:, 0]
    np.testing.assert_array_equal(found, windows.heart_rate(np.arange(len(windows))))


def test_a_number_is_one_column_and_a_class_one_each(small_store: Path) -> None:
    windows = Windows([small_store])
    found = stream_values(windows, ["age", "activity", "beat_type"])
    assert found.columns == (1, 2, 3)
    np.testing.assert_array_equal(found.value[:, 0], windows.label("age").value)
    code = windows.label("activity").value
    np.testing.assert_array_equal(found.value[:, 1], code == 0)
    np.testing.assert_array_equal(found.value[:, 2], code == 1)
    np.testing.assert_array_equal(found.value[:, 3:], windows.label("beat_type").value)


def test_what_is_missing_is_nan_in_all_columns_of_its_stream(tone_store: Path) -> None:
    windows = Windows([tone_store])
    hint = windows.label("hint").value
    assert 0 < np.isnan(hint).sum() < len(hint)
    found = stream_values(windows, ["place", "hint"]).value
    np.testing.assert_array_equal(np.isnan(found[:, 2]), np.isnan(hint))
    assert not np.isnan(found[:, :2]).any()


def test_no_streams_are_no_columns(small_store: Path) -> None:
    assert stream_values(Windows([small_store]), []).value.shape == (144, 0)


def test_a_stream_that_does_not_exist_is_named_beside_those_there_are(small_store: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"objective.streams = agee: no store .* did you mean age\?; there are activity"
    ):
        stream_values(Windows([small_store]), ["agee"])


def test_a_stream_given_twice_is_refused(small_store: Path) -> None:
    with pytest.raises(ConfigError, match="age: given twice"):
        stream_values(Windows([small_store]), ["age", "age"])
