"""Target: what is to be predicted, from which windows, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.kind import Kind as Kind

Level = Literal["window", "recording", "day", "subject"]


class TaskError(Exception):
    """A task cannot be judged on these stores. The message names the label, what is wrong, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class Target:
    """What is to be predicted: E examples of N windows.

    An example is a window, a recording, a day of a subject or a subject, as `level` says. Models see windows, each with
    the value of its example; their outputs for the windows of an example are averaged into its prediction.

    Attributes:
        name: Of the task.
        kind: `binary` (class 1 is looked for), `multiclass`, `multilabel`, `regression`, or `verification` (are two
            windows of one subject?).
        level: What an example is.
        classes: Names in the order of the codes: two for `binary`, those of the subjects for `verification`, none for
            `regression`.
        unit: Of a regression's value, else empty.
        metric: Name of the metric that decides, one of `tiles_ecg.evaluation.metric` for the kind.
        row: (N,) int64, ascending: windows, as rows of `Windows`. Those without a value are not among them.
        example: (N,) int64: the example that each belongs to.
        value: (E,) int64 class codes (`verification`: subjects); (E, K) int64 of 0 and 1 for `multilabel`; (E,) float64
            for `regression`.
        subject: (E,) int64, index into `subject_id`.
        subject_id: Ids of the subjects; one id is one person, whatever the number of stores that name it.
        example_id: (E,) a name for each example that stays the same from run to run.
        recording: (E,) int64, the recording of each example; -1 where it has windows of several.
        notes: What the reader of a report must hear: values left out, recordings without a subject.
    """

    name: str
    kind: Kind
    level: Level
    classes: tuple[str, ...]
    unit: str
    metric: str
    row: NDArray[np.int64]
    example: NDArray[np.int64]
    value: NDArray[Any]
    subject: NDArray[np.int64]
    subject_id: tuple[str, ...]
    example_id: tuple[str, ...]
    recording: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        """Outputs of a model: a class each (two for `binary`), or one number."""
        return 1 if self.kind == "regression" else len(self.classes)

    @property
    def window_weight(self) -> NDArray[np.float64]:
        """(N,) such that every example weighs 1, whatever the number of its windows."""
        count = np.bincount(self.example, minlength=len(self.value))
        return np.asarray(1.0 / count[self.example], np.float64)

    def windows_of(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions, in `row`, of the windows of some examples, ascending."""
        chosen = np.zeros(len(self.value), bool)
        chosen[examples] = True
        return np.flatnonzero(chosen[self.example])

    def pool(self, output: NDArray[Any], windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predictions of examples from outputs for their windows.

        Args:
            output: (n, K) probabilities, or (n, 1) numbers.
            windows: (n,) positions in `row`.

        Returns:
            The examples that occur, ascending (m,), and the mean output of each (m, K).
        """
        examples, which = np.unique(self.example[windows], return_inverse=True)
        total = np.zeros((len(examples), output.shape[1]))
        np.add.at(total, which, output)
        return examples, total / np.bincount(which)[:, None]


class Task(Protocol):
    """What is predicted: a component of `conf/task/`."""

    name: str
    kind: Kind
    metric: str

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The examples among some windows.

        Args:
            windows: Of all stores.
            rows: (M,) ascending: those that may be used (of sufficient quality).

        Raises:
            TaskError: If the label is not there, no window has a value, or one class only is left.
        """
        ...


def examples_of(
    windows: Windows, rows: NDArray[np.int64], level: Literal["window", "recording", "subject"]
) -> NDArray[np.int64]:
    """(M,) a number for the example of each row: equal numbers, same example; not consecutive."""
    if level == "window":
        return rows
    if level == "recording":
        return np.asarray(windows.recording[rows], np.int64)
    return np.asarray(person_of_subject(windows)[windows.subject[rows]], np.int64)


def person_of_subject(windows: Windows) -> NDArray[np.int64]:
    """(subjects,) index into the sorted unique subject ids: subjects of several stores with one id are one person."""
    return np.asarray(np.unique(windows.subject_id, return_inverse=True)[1], np.int64)


def assemble(
    windows: Windows,
    rows: NDArray[np.int64],
    example: NDArray[np.int64],
    value: NDArray[Any],
    example_id: Sequence[str],
    *,
    name: str,
    kind: Kind,
    level: Level,
    classes: tuple[str, ...] = (),
    unit: str = "",
    metric: str,
    notes: Sequence[str] = (),
) -> Target:
    """Put a target together from rows that all have a value.

    Args:
        windows: Of all stores.
        rows: (N,) ascending.
        example: (N,) 0 to E - 1.
        value: (E,) or (E, K).
        example_id: (E,).
        name: See `Target`, as for all that follow.
        kind: As there.
        level: As there.
        classes: As there.
        unit: As there.
        metric: As there.
        notes: As there.
    """
    ids = np.unique(windows.subject_id)
    person = person_of_subject(windows)[windows.subject[rows]]
    subject = np.zeros(len(value), np.int64)
    subject[example] = person
    recording = np.full(len(value), -2, np.int64)
    recording[example] = windows.recording[rows]
    is_mixed = np.zeros(len(value), bool)
    is_mixed[example[recording[example] != windows.recording[rows]]] = True
    recording[is_mixed] = -1
    return Target(
        name, kind, level, classes, unit, metric, rows, example, value, subject,
        tuple(ids.tolist()), tuple(example_id), recording, tuple(notes),
    )  # fmt: skip
