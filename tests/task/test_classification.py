from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelSpec
from tiles_ecg.task.classification import Classification, Contains, most_frequent
from tiles_ecg.task.target import Target, TaskError

NAMES = ("normal", "af", "other", "noise")
RHYTHM = LabelSpec("rhythm", "window", "categorical", NAMES)
BEATS = LabelSpec("beat_type", "window", "multilabel", ("N", "S", "V"))
SEX = LabelSpec("sex", "subject", "categorical", ("female", "male"))
AF = {"rest": ["normal", "other"], "af": ["af"]}
MakeWindows = Callable[..., Windows]


def rhythm_windows(windows_of: MakeWindows, values: list[list[int]]) -> Windows:
    """One recording of one subject for each list."""
    recordings = [(f"r{i}", f"s{i}", len(codes)) for i, codes in enumerate(values)]
    return windows_of(recordings, [(RHYTHM, [code for codes in values for code in codes])])


def classify(windows: Windows, classes: Any, level: Any = "window", **words: Any) -> Target:
    return Classification("t", "rhythm", classes, level, **words).target(windows, np.arange(len(windows)))


def test_classes_of_the_store_become_those_of_the_task_in_its_order(windows_of: MakeWindows) -> None:
    found = classify(rhythm_windows(windows_of, [[0, 1, 2], [3, 1]]), AF)
    assert (found.kind, found.classes, found.metric) == ("binary", ("rest", "af"), "auroc")
    assert (found.value.tolist(), found.row.tolist()) == ([0, 1, 0, 1], [0, 1, 2, 4])
    assert found.notes == ("1 window of classes that the task does not name are left out: noise 1",)
    swapped = classify(rhythm_windows(windows_of, [[0, 1, 2], [3, 1]]), ["af", "normal", "other"])
    assert (swapped.kind, swapped.value.tolist()) == ("multiclass", [1, 0, 2, 0])


def test_the_value_of_a_recording_is_its_most_frequent_class_and_of_equals_the_rarer(windows_of: MakeWindows) -> None:
    found = classify(rhythm_windows(windows_of, [[0, 0, 1], [0, 1], [0, 0], [2, 2, 1]]), AF, "recording")
    assert found.value.tolist() == [0, 1, 0, 0]  # af has 3 windows in all, so it takes the tie
    assert "3 of 4 recordings have windows of several classes: the most frequent is taken" in found.notes


def test_the_most_frequent_class_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    example, code = np.sort(rng.integers(0, 40, 300)), rng.integers(0, 4, 300)
    example = np.unique(example, return_inverse=True)[1]
    in_all = Counter(code.tolist())
    for number, value in enumerate(most_frequent(example, code, 4)[0]):
        count = Counter(code[example == number].tolist())
        assert value == min(count, key=lambda name: (-count[name], in_all[name], name))


def test_without_classes_those_that_occur_are_taken_and_the_others_named(windows_of: MakeWindows) -> None:
    found = classify(rhythm_windows(windows_of, [[1, 3], [3]]), None)
    assert (found.kind, found.classes, found.value.tolist()) == ("binary", ("af", "noise"), [0, 1, 1])
    assert "of no window: normal, other" in found.notes


def test_a_class_named_that_does_not_occur_stays_and_is_told(windows_of: MakeWindows) -> None:
    found = classify(rhythm_windows(windows_of, [[0, 1], [1]]), ["normal", "af", "noise"])
    assert (found.classes, found.value.tolist()) == (("normal", "af", "noise"), [0, 1, 1])
    assert "of no window: noise" in found.notes


def test_a_label_of_the_subject_is_that_of_its_recordings(windows_of: MakeWindows) -> None:
    windows = windows_of([("r1", "anna", 2), ("r2", "anna", 1), ("r3", "bo", 1), ("r4", "cy", 1)], [(SEX, [0, 1, -1])])
    found = Classification("t", "sex", ["female", "male"], "subject").target(windows, np.arange(5))
    assert (found.example_id, found.value.tolist()) == (("anna", "bo"), [0, 1])
    assert found.recording.tolist() == [-1, 2]
    assert found.notes[0] == "1 of 5 windows have no sex and are left out"


def test_one_class_only_is_an_error_that_tells_what_was_found(windows_of: MakeWindows) -> None:
    windows = rhythm_windows(windows_of, [[0, 0, 2], [0]])
    with pytest.raises(TaskError, match=r"t: at least two classes are needed, found are rest 4, af 0 \(windows\)"):
        classify(windows, AF)
    with pytest.raises(TaskError, match="found are normal 2, af 0, other 0, noise 0"):
        classify(windows, None, "recording")


def test_no_window_of_the_classes_named_is_an_error_that_tells_what_there_is(windows_of: MakeWindows) -> None:
    with pytest.raises(
        TaskError, match=r"t: no window has one of the classes named \(af, noise\); 2 windows .*normal 2"
    ):
        classify(rhythm_windows(windows_of, [[0, 0]]), ["af", "noise"])


def test_a_class_that_the_store_does_not_have_is_an_error(windows_of: MakeWindows) -> None:
    with pytest.raises(TaskError, match=r"rhythm has no class 'afib'; did you mean af\?; its classes are normal, af"):
        classify(rhythm_windows(windows_of, [[0, 1]]), {"rest": ["normal"], "af": ["afib"]})


@pytest.mark.parametrize(
    ("classes", "metric", "message"),
    [
        (["af"], "auroc", "at least two different ones are needed"),
        (["af", "af"], "auroc", "at least two different ones are needed"),
        ({"rest": [], "af": ["af"]}, "auroc", r"classes.rest = \[\]: name one or more classes"),
        ({"rest": ["normal", "af"], "af": ["af"]}, "auroc", "af of the store is named twice, by rest and af"),
        (AF, "accuracy", "metric = accuracy: not for a binary task; choose one of auroc, average_precision"),
        (list(NAMES), "brier", "metric = brier: not for a multiclass task"),
    ],
)
def test_classes_and_metrics_that_cannot_work_are_refused(classes: Any, metric: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classification("t", "rhythm", classes, "window", metric)


def test_a_metric_that_does_not_fit_the_classes_found_is_an_error(windows_of: MakeWindows) -> None:
    windows = rhythm_windows(windows_of, [[0, 1]])
    with pytest.raises(TaskError, match=r"t: metric = accuracy: not for a binary task; .* \(2 classes were found\)"):
        classify(windows, None, metric="accuracy")


def test_a_window_contains_what_any_of_its_classes_says(windows_of: MakeWindows) -> None:
    beats = [[1, 0, 0], [1, 0, 1], [0, 1, 0], [-1, -1, -1], [1, 0, 0]]
    windows = windows_of([("r1", "anna", 3), ("r2", "bo", 2)], [(BEATS, beats)])
    found = Contains("t", "beat_type", ["V"], "window").target(windows, np.arange(5))
    assert (found.kind, found.classes, found.value.tolist()) == ("binary", ("no V", "V"), [0, 1, 0, 0])
    assert found.notes == ("1 of 5 windows have no beat_type and are left out",)
    either = Contains("t", "beat_type", ["S", "V"], "recording").target(windows, np.arange(5))
    assert (either.classes, either.value.tolist()) == (("no S or V", "S or V"), [1, 0])


def test_a_recording_contains_a_class_of_any_of_its_windows(windows_of: MakeWindows) -> None:
    windows = rhythm_windows(windows_of, [[0, 0, 1], [0, 2]])
    found = Contains("t", "rhythm", ["af"], "recording").target(windows, np.arange(5))
    assert found.value.tolist() == [1, 0]


def test_what_is_in_every_example_or_in_none_is_an_error(windows_of: MakeWindows) -> None:
    windows = rhythm_windows(windows_of, [[0, 1], [1]])
    with pytest.raises(TaskError, match="t: af occurs in every one of 2 recordings; two classes are needed"):
        Contains("t", "rhythm", ["af"], "recording").target(windows, np.arange(3))
    with pytest.raises(TaskError, match="t: noise occurs in none of 3 windows"):
        Contains("t", "rhythm", ["noise"], "window").target(windows, np.arange(3))
    with pytest.raises(ValueError, match="nothing to look for"):
        Contains("t", "rhythm", [], "window")
