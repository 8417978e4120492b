from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelSpec
from tiles_ecg.task.labelled import check_classes, labelled
from tiles_ecg.task.target import TaskError

RHYTHM = LabelSpec("rhythm", "window", "categorical", ("normal", "af"))
AGE = LabelSpec("age", "subject", "continuous", unit="year")
TWO = [("r1", "anna", 2), ("r2", "bo", 2)]


def test_windows_without_a_value_are_left_out_and_counted(windows_of: Callable[..., Windows]) -> None:
    found = labelled(windows_of(TWO, [(RHYTHM, [0, -1, 1, 1])]), np.array([1, 2, 3]), "t", "rhythm", ("categorical",))
    assert (found.rows.tolist(), found.value.tolist()) == ([2, 3], [1, 1])
    assert found.notes == ("1 of 3 windows have no rhythm and are left out",)


def test_a_label_of_subjects_is_that_of_their_windows(windows_of: Callable[..., Windows]) -> None:
    found = labelled(windows_of(TWO, [(AGE, [np.nan, 40.0])]), np.arange(4), "t", "age", ("continuous",))
    assert (found.rows.tolist(), found.value.tolist()) == ([2, 3], [40.0, 40.0])


def test_a_store_that_means_something_else_by_the_label_is_named_with_what_it_means(
    store_file: Callable[..., Path],
) -> None:
    other = LabelSpec("rhythm", "window", "categorical", ("sinus", "flutter"))
    paths = [
        store_file("a.h5", TWO, [(RHYTHM, [0, 0, 1, 1])]),
        store_file("b.h5", TWO, [(other, [0, 0, 1, 1])]),
        store_file("c.h5", TWO),
    ]
    found = labelled(Windows(paths), np.arange(12), "t", "rhythm", ("categorical",))
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.notes == (
        "8 of 12 windows have no rhythm and are left out (b.h5 means something else by it: sinus, flutter; c.h5 has no "
        "such label)",
    )


def test_a_label_that_is_not_there_is_answered_with_those_that_are(windows_of: Callable[..., Windows]) -> None:
    windows = windows_of(TWO, [(RHYTHM, [0, 0, 1, 1]), (AGE, [30.0, 40.0])])
    with pytest.raises(TaskError, match=r"af: no store has a label 'rythm'; did you mean rhythm\?; the labels are age"):
        labelled(windows, np.arange(4), "af", "rythm", ("categorical",))


@pytest.mark.parametrize(
    ("label", "kind", "right"),
    [("rhythm", "continuous", "Classification"), ("age", "categorical", "Regression")],
)
def test_a_label_of_another_kind_is_answered_with_the_task_that_fits(
    windows_of: Callable[..., Windows], label: str, kind: str, right: str
) -> None:
    windows = windows_of(TWO, [(RHYTHM, [0, 0, 1, 1]), (AGE, [30.0, 40.0])])
    with pytest.raises(TaskError, match=rf"t: label {label} is \w+, and this task needs {kind}; .*\.{right}"):
        labelled(windows, np.arange(4), "t", label, (kind,))  # type: ignore[arg-type]


def test_a_label_without_any_value_is_an_error(windows_of: Callable[..., Windows]) -> None:
    with pytest.raises(TaskError, match="t: none of 4 windows has a value of rhythm; give a store in which"):
        labelled(windows_of(TWO, [(RHYTHM, [-1] * 4)]), np.arange(4), "t", "rhythm", ("categorical",))


def test_no_window_at_all_is_an_error(windows_of: Callable[..., Windows]) -> None:
    with pytest.raises(TaskError, match="t: no window is left; accept windows of lower quality"):
        labelled(windows_of(TWO, [(RHYTHM, [0, 0, 1, 1])]), np.arange(0), "t", "rhythm", ("categorical",))


def test_a_class_that_is_not_there_is_answered_with_those_that_are(windows_of: Callable[..., Windows]) -> None:
    with pytest.raises(TaskError, match=r"t: rhythm has no class 'norml'; did you mean normal\?; its classes are nor"):
        check_classes(windows_of(TWO, [(RHYTHM, [0] * 4)]), RHYTHM, "t", ["af", "norml"])
