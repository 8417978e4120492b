"""Verification: are two windows of different recordings of one person?"""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.example import Grouping, counted, group, recording_column, target_of
from tiles_ecg.task.labelled import check_rows
from tiles_ecg.task.metric_name import VerificationMetric
from tiles_ecg.task.target import Kind, Target, TaskError, person_of_subject


class Verification:
    """Tells people apart by windows of different recordings; an example is a window, its value its subject.

    A subject with a single recording takes part as an impostor only. Recordings without a subject id are left out: two
    of them may be of one person, and would count as two people.

    Args:
        name: Of the task.
        metric: That decides.
    """

    kind: Kind = "verification"

    def __init__(self, name: str, metric: VerificationMetric = "eer") -> None:
        self.name = name
        self.metric = metric

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The windows among rows (M,) whose subject is known; see `Task`. `value` is the index into `subject_id`.

        Raises:
            TaskError: If no recording has a subject id, there is one subject only, or nobody has two recordings.
        """
        check_rows(rows, self.name)
        is_known = recording_column(windows, "has_subject_id").astype(bool)[windows.recording[rows]]
        if not is_known.any():
            raise TaskError(
                f"{self.name}: no recording has a subject id (in "
                f"{', '.join(store.path.name for store in windows.stores)}), so nobody can be recognised; give a store "
                "whose recordings say whose they are"
            )
        notes = []
        if not is_known.all():
            n_unknown = len(np.unique(windows.recording[rows[~is_known]]))
            notes.append(
                f"{counted(int((~is_known).sum()), 'window')} of {counted(n_unknown, 'recording')} without a subject "
                "id are left out"
            )
        grouping = group(windows, rows[is_known], "window")
        value = person_of_subject(windows)[windows.subject[grouping.rows]]
        notes += self._impostors(windows, grouping, value)
        ids = tuple(np.unique(windows.subject_id).tolist())
        return target_of(
            windows, grouping, value, name=self.name, kind=self.kind, level="window", classes=ids, metric=self.metric,
            notes=notes,
        )  # fmt: skip

    def _impostors(self, windows: Windows, grouping: Grouping, value: NDArray[np.int64]) -> list[str]:
        """A note on the subjects with a single recording."""
        first_of_recording = np.unique(windows.recording[grouping.rows], return_index=True)[1]
        n_recordings = np.bincount(value[first_of_recording])
        n_subjects, n_single = int((n_recordings > 0).sum()), int((n_recordings == 1).sum())
        if n_subjects < 2:
            raise TaskError(f"{self.name}: one subject only; there is nobody to take them for: give more subjects")
        if n_single == n_subjects:
            raise TaskError(
                f"{self.name}: each of {counted(n_subjects, 'subject')} has one recording, so nobody can be recognised "
                "in another; give subjects with two recordings or more"
            )
        if not n_single:
            return []
        return [f"{n_single:,} of {counted(n_subjects, 'subject')} have one recording: they are impostors only"]
