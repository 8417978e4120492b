from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.target import TaskError
from tiles_ecg.task.verification import Verification

MakeWindows = Callable[..., Windows]


def test_the_value_of_a_window_is_its_subject(windows_of: MakeWindows) -> None:
    windows = windows_of([("r1", "bo", 2), ("r2", "anna", 1), ("r3", "bo", 1), ("r4", "cy", 1)])
    found = Verification("t").target(windows, np.arange(5))
    assert (found.kind, found.level, found.metric) == ("verification", "window", "eer")
    assert found.classes == found.subject_id == ("anna", "bo", "cy")
    assert [found.classes[code] for code in found.value] == ["bo", "bo", "anna", "bo", "cy"]
    assert found.recording.tolist() == [0, 0, 1, 2, 3]
    assert found.notes == ("2 of 3 subjects have one recording: they are impostors only",)


def test_a_person_is_recognised_across_stores(store_file: Callable[..., Path]) -> None:
    paths = [store_file(name, [("r1", "anna", 1), (name, name, 1)]) for name in ("a.h5", "b.h5")]
    found = Verification("t").target(Windows(paths), np.arange(4))
    assert found.value.tolist() == [1, 0, 1, 2]
    assert found.notes[0] == "2 of 3 subjects have one recording: they are impostors only"


def test_recordings_of_nobody_knows_whom_are_left_out(windows_of: MakeWindows) -> None:
    windows = windows_of([("r1", "bo", 1), ("r2", None, 2), ("r3", "bo", 1), ("r4", "cy", 1)])
    found = Verification("t").target(windows, np.arange(5))
    assert found.row.tolist() == [0, 3, 4]
    assert found.notes[0] == "2 windows of 1 recording without a subject id are left out"


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([("r1", None, 1), ("r2", None, 2)], r"t: no recording has a subject id \(in hand.h5\), so nobody can be"),
        ([("r1", "anna", 1), ("r2", "anna", 2)], "t: one subject only; there is nobody to take them for"),
        ([("r1", "anna", 1), ("r2", "bo", 2)], "t: each of 2 subjects has one recording, so nobody can be recognised"),
    ],
)
def test_where_nobody_can_be_told_apart_is_an_error(
    windows_of: MakeWindows, recordings: list[tuple[str, str | None, int]], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        Verification("t").target(windows_of(recordings), np.arange(3))
