"""What an embedding map is coloured by."""

from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.map_target import map_target, part_of
from tiles_ecg.task.classification import Classification


@pytest.fixture(scope="module")
def windows(tone_store: Path) -> Windows:
    return Windows([tone_store])


ROWS = np.array([40, 3, 77, 12])


def test_a_label_gives_each_window_its_value_in_the_order_of_the_store(windows: Windows) -> None:
    rows = np.sort(ROWS)
    tone = map_target(windows, ROWS, "tone")
    assert (tone.kind, tone.classes, tone.row.tolist()) == ("multiclass", ("low", "high"), rows.tolist())
    np.testing.assert_array_equal(tone.value, windows.label("tone").value[rows])
    pitch = map_target(windows, ROWS, "pitch")
    assert (pitch.kind, pitch.unit) == ("regression", "Hz")
    np.testing.assert_array_equal(pitch.value, windows.label("pitch").value[rows])
    parts = map_target(windows, ROWS, "parts")
    assert (parts.kind, parts.value.shape) == ("multilabel", (4, 3))


def test_windows_without_a_value_are_left_out(windows: Windows) -> None:
    every = np.arange(len(windows))
    hint = map_target(windows, every, "hint")
    known = np.isfinite(windows.label("hint").value)
    assert 0 < known.sum() < len(windows)
    np.testing.assert_array_equal(hint.row, every[known])


def test_without_a_label_there_are_the_subjects(windows: Windows) -> None:
    found = map_target(windows, ROWS, None)
    assert found.kind == "verification"
    assert [found.subject_id[i] for i in found.subject] == [
        windows.subject_id[windows.subject[row]] for row in np.sort(ROWS)
    ]


def test_every_store_knows_the_heart_rate(windows: Windows) -> None:
    every = np.arange(len(windows))
    rate = windows.heart_rate(every)
    found = map_target(windows, every, "heart_rate")
    np.testing.assert_allclose(found.value, rate[np.isfinite(rate)])


def test_part_of_a_task_keeps_its_values(windows: Windows) -> None:
    whole = Classification("tone", "tone", ["low", "high"], "recording").target(windows, np.arange(len(windows)))
    part = part_of(whole, ROWS)
    np.testing.assert_array_equal(part.row, np.sort(ROWS))
    np.testing.assert_array_equal(part.value[part.example], windows.label("tone").value[np.sort(ROWS)])
