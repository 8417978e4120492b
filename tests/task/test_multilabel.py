from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelSpec
from tiles_ecg.task.multilabel import MultiLabel
from tiles_ecg.task.target import Target, TaskError

BEATS = LabelSpec("beat_type", "window", "multilabel", ("N", "S", "V", "F"))
VALUES = [[1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [-1, -1, -1, -1]]


def find(windows_of: Callable[..., Windows], classes: Any, level: Any, values: Any = VALUES) -> Target:
    windows = windows_of([("r1", "anna", 3), ("r2", "bo", 2)], [(BEATS, values)])
    return MultiLabel("t", "beat_type", classes, level).target(windows, np.arange(5))


def test_a_window_has_all_its_classes_in_the_order_named(windows_of: Callable[..., Windows]) -> None:
    found = find(windows_of, ["V", "S"], "window")
    assert (found.kind, found.classes, found.n_outputs) == ("multilabel", ("V", "S"), 2)
    assert found.value.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert found.notes == ("1 of 5 windows have no beat_type and are left out",)


def test_a_recording_has_every_class_of_its_windows(windows_of: Callable[..., Windows]) -> None:
    found = find(windows_of, ["N", "S", "V"], "recording")
    assert found.value.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert "in every recording, so kept, but cannot be judged: N" in found.notes


def test_without_classes_those_that_can_be_told_apart_are_taken(windows_of: Callable[..., Windows]) -> None:
    found = find(windows_of, None, "window")
    assert found.classes == ("S", "V")
    assert found.value.tolist() == [[0, 0], [0, 1], [1, 0], [0, 0]]
    assert found.notes[1:] == ("in no window, so left out: F", "in every window, so left out: N")


def test_nothing_to_tell_apart_is_an_error(windows_of: Callable[..., Windows]) -> None:
    with pytest.raises(TaskError, match=r"t: nothing to tell apart \(in no window, so .*: S, V, F; in every window"):
        find(windows_of, None, "window", [[1, 0, 0, 0]] * 5)


def test_a_class_that_is_not_there_or_named_twice_is_refused(windows_of: Callable[..., Windows]) -> None:
    with pytest.raises(TaskError, match="beat_type has no class 'Q'; its classes are N, S, V, F"):
        find(windows_of, ["Q"], "window")
    for classes in ([], ["V", "V"]):
        with pytest.raises(ValueError, match="name one or more, each once"):
            MultiLabel("t", "beat_type", classes, "window")
