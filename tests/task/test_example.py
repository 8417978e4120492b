from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.example import counted, group, listed, target_of
from tiles_ecg.task.target import Target, TaskError

RECORDINGS = [("r1", "anna", 2), ("r2", "anna", 1), ("r3", None, 2), ("r4", "bo", 0)]


def plain(windows: Windows, rows: np.ndarray) -> Target:
    grouping = group(windows, rows, "recording")
    return target_of(
        windows, grouping, np.arange(len(grouping)), name="t", kind="binary", level="recording", metric="auroc"
    )


@pytest.mark.parametrize(
    ("level", "example", "names"),
    [
        ("window", [0, 1, 2, 3, 4], ["r1@0", "r1@300", "r2@0", "r3@0", "r3@300"]),
        ("recording", [0, 0, 1, 2, 2], ["r1", "r2", "r3"]),
        ("subject", [0, 0, 0, 1, 1], ["anna", "r3"]),
    ],
)
def test_an_example_is_a_window_a_recording_or_a_subject_and_is_called_after_it(
    windows_of: Callable[..., Windows], level: str, example: list[int], names: list[str]
) -> None:
    found = group(windows_of(RECORDINGS), np.arange(5), level)  # type: ignore[arg-type]
    assert found.example.tolist() == example
    prefix = "" if level == "subject" else "hand0000:"
    assert found.example_id == tuple(prefix + name for name in names)


def test_an_example_keeps_its_name_when_other_windows_are_left_out(windows_of: Callable[..., Windows]) -> None:
    windows = windows_of(RECORDINGS)
    assert group(windows, np.array([1, 4]), "window").example_id == ("hand0000:r1@300", "hand0000:r3@300")
    assert group(windows, np.array([4]), "recording").example_id == ("hand0000:r3",)


def test_a_subject_of_two_stores_is_one_person_and_the_target_says_so(store_file: Callable[..., Path]) -> None:
    paths = [store_file(name, [("r", "anna", 1), (f"only-{name}", None, 1)]) for name in ("a.h5", "b.h5")]
    windows = Windows(paths)
    assert group(windows, np.arange(4), "subject").example.tolist() == [0, 1, 0, 2]
    assert group(windows, np.arange(4), "recording").example_id[2] == "b0000000:r"
    found = plain(windows, np.arange(4))
    assert "1 subject id stand in several stores and are taken for the same persons: anna" in found.notes
    assert found.subject[0] == found.subject[2] != found.subject[1]


def test_recordings_without_a_subject_or_without_a_window_are_counted(windows_of: Callable[..., Windows]) -> None:
    assert plain(windows_of(RECORDINGS), np.arange(5)).notes == (
        "1 of 4 recordings have no window that is used; they take no part",
        "1 of 3 recordings have no subject id: each counts as its own subject, so one person may stand on both sides "
        "of a split",
    )


def test_the_recording_of_an_example_is_that_of_its_windows(windows_of: Callable[..., Windows]) -> None:
    assert plain(windows_of(RECORDINGS), np.array([0, 3, 4])).recording.tolist() == [0, 2]


def test_a_store_given_twice_is_refused(store_file: Callable[..., Path]) -> None:
    path = store_file("a.h5", RECORDINGS)
    with pytest.raises(TaskError, match=r"a\.h5 and .*a\.h5 are the same store; give it once"):
        plain(Windows([path, path]), np.arange(10))


def test_counts_and_lists_read_as_text() -> None:
    assert (counted(1, "window"), counted(6375, "window")) == ("1 window", "6,375 windows")
    assert (listed(["a", "b"]), listed(list("abcdefg"), 3)) == ("a, b", "a, b, c and 4 more")
