"""Survey: what somebody answers on a day, from the ECG of that day."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.answers import Answers, read_answers
from tiles_ecg.task.day import HourOfDay, day_name, day_of, find_zone, wall_seconds
from tiles_ecg.task.example import Grouping, counted, listed, target_of
from tiles_ecg.task.labelled import check_rows
from tiles_ecg.task.metric_name import BinaryMetric, RegressionMetric, unfit_metric
from tiles_ecg.task.target import Kind, Target, TaskError, person_of_subject

_DAYS = 10_000_000
"""More than there are days in a calendar of four-digit years; makes one number of a person and a day."""


class Survey:
    """Predicts the score of a daily survey; an example is a day of a subject that has both ECG and an answer.

    Answers are joined by participant (the subject id) and day; of several answers a day the mean counts. A day begins
    at `day_starts_h` of local wall time, so that no shift is cut at midnight: at 4.0, what happens before 04:00 belongs
    to the evening before. A shift from 19:00 to 07:00 is still cut there, and the answer after it counts for the day
    that it is given on; for night workers alone 12.0 keeps shift and answer together. A note tells how many recordings
    are cut.

    Args:
        name: Of the task.
        file: Scored survey of the release, such as `surveys/scored/EMAs/stressd.csv.gz`.
        column: Name of the score in it.
        threshold: A number makes two classes, at least this (looked for) or below; null predicts the score itself.
        metric: That decides; null: `ccc` for the score, `auroc` for classes.
        unit: Of the score.
        time_zone: Of the times in the file, which have no offset.
        day_starts_h: Hour at which a day begins.

    Raises:
        ValueError: If the time zone is unknown, or the metric is not for such a task.

    References:
        Mundnich et al., TILES-2018, a longitudinal physiologic and behavioral data set of hospital workers, Scientific
        Data 7:354, 2020. Columns: the scripts `copy_to_opendata.sh` and `SCORING_Daily_scoring_Version2.0_PR.r` in
        github.com/usc-sail/tiles-dataset-release.
    """

    def __init__(
        self,
        name: str,
        file: str,
        column: str,
        threshold: float | None = None,
        metric: RegressionMetric | BinaryMetric | None = None,
        unit: str = "",
        time_zone: str = "America/Los_Angeles",
        day_starts_h: HourOfDay = 4.0,
    ) -> None:
        self.name = name
        self.file = Path(file)
        self.column = column
        self.threshold = threshold
        self.kind: Kind = "regression" if threshold is None else "binary"
        self.metric: str = metric or ("ccc" if threshold is None else "auroc")
        if problem := unfit_metric(self.kind, self.metric):
            raise ValueError(problem)
        self.unit = unit
        self.zone = find_zone(time_zone)
        self.day_starts_h = day_starts_h

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The days that have windows among rows (M,) and an answer; see `Task`.

        Raises:
            TaskError: If the file cannot be used, no window knows its wall time, nothing is joined, or all scores are
                the same.
        """
        check_rows(rows, self.name)
        answers = read_answers(self.file, self.column, self.zone)
        rows, day, notes = self._days(windows, rows)
        persons = np.unique(windows.subject_id).tolist()
        person = person_of_subject(windows)[windows.subject[rows]]
        number = {name: index for index, name in enumerate(persons)}
        of_answer = np.array([number.get(name, -1) for name in answers.participant], np.int64)
        asked, score = _daily_mean(
            _keys(of_answer, day_of(answers.wall_s, self.day_starts_h)), answers.score, of_answer
        )
        key = _keys(person, day)
        is_answered = np.isin(key, asked)
        if not is_answered.any():
            raise TaskError(self._nothing_joined(windows, rows, day, answers))
        days, example = np.unique(key[is_answered], return_inverse=True)
        names = tuple(f"{persons[at // _DAYS]}/{day_name(at % _DAYS - _DAYS // 10)}" for at in days.tolist())
        grouping = Grouping(rows[is_answered], example.astype(np.int64), names)
        value, classes = self._value(score[np.searchsorted(asked, days)])
        notes += [*answers.notes, *_join_notes(answers, of_answer, asked, person, key)]
        return target_of(
            windows, grouping, value, name=self.name, kind=self.kind, level="day", classes=classes,
            unit=self.unit if self.threshold is None else "", metric=self.metric, notes=notes,
        )  # fmt: skip

    def _days(
        self, windows: Windows, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """Rows that know their wall time, the day of each, and notes."""
        time_s = np.concatenate([store.read("window/wall_time_s") for store in windows.stores])[rows]
        is_known = np.isfinite(time_s)
        if not is_known.any():
            raise TaskError(
                f"{self.name}: none of {counted(len(rows), 'window')} knows its wall time, so it belongs to no day; "
                "prepare recordings that say when they begin (reader=tiles)"
            )
        notes = []
        if not is_known.all():
            notes.append(
                f"{int((~is_known).sum()):,} of {counted(len(rows), 'window')} have no wall time and are left out"
            )
        rows = rows[is_known]
        day = day_of(wall_seconds(time_s[is_known], self.zone), self.day_starts_h)
        days_of_recordings = np.unique(windows.recording[rows] * _DAYS + day + _DAYS // 10) // _DAYS
        recordings, n_days = np.unique(days_of_recordings, return_counts=True)
        if n_cut := int((n_days > 1).sum()):
            start = f"{int(self.day_starts_h):02d}:{round(60 * (self.day_starts_h % 1)):02d}"
            notes.append(f"{n_cut:,} of {counted(len(recordings), 'recording')} go on past {start} and are of two days")
        return rows, day, notes

    def _value(self, score: NDArray[np.float64]) -> tuple[NDArray[np.float64] | NDArray[np.int64], tuple[str, ...]]:
        """Scores as they are, or codes and names of their classes."""
        if self.threshold is None:
            if score.min() == score.max():
                raise TaskError(
                    f"{self.name}: {counted(len(score), 'day')}, all with {self.column} = {score[0]:g}; there is "
                    "nothing to predict: give more answers"
                )
            return score, ()
        value = (score >= self.threshold).astype(np.int64)
        if value.min() == value.max():
            raise TaskError(
                f"{self.name}: threshold = {self.threshold:g} puts all {counted(len(score), 'day')} into one class; "
                f"{self.column} goes from {score.min():g} to {score.max():g}: choose a threshold between"
            )
        return value, (f"{self.column} < {self.threshold:g}", f"{self.column} >= {self.threshold:g}")

    def _nothing_joined(
        self, windows: Windows, rows: NDArray[np.int64], day: NDArray[np.int64], answers: Answers
    ) -> str:
        sides = []
        with_ecg = sorted({windows.subject_id[i] for i in np.unique(windows.subject[rows]).tolist()})
        of_answers = day_of(answers.wall_s, self.day_starts_h)
        for what, names, days in (("ECG", with_ecg, day), ("answers", sorted(set(answers.participant)), of_answers)):
            sides.append(
                f"{what} of {counted(len(names), 'participant')} ({listed(names, 3)}), {day_name(int(days.min()))} to "
                f"{day_name(int(days.max()))}"
            )
        return (
            f"{self.name}: no day of any participant has both ECG and an answer in {self.file}: {'; '.join(sides)}. "
            "Ids and days must be the same in both"
        )


def _keys(person: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for a person and a day (which may lie before 1970)."""
    return person * _DAYS + day + _DAYS // 10


def _daily_mean(
    key: NDArray[np.int64], score: NDArray[np.float64], person: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keys of the days with answers of known persons, ascending, and the mean score of each."""
    asked, which = np.unique(key[person >= 0], return_inverse=True)
    return asked, np.bincount(which, score[person >= 0], len(asked)) / np.bincount(which, minlength=len(asked))


def _join_notes(
    answers: Answers,
    of_answer: NDArray[np.int64],
    asked: NDArray[np.int64],
    person: NDArray[np.int64],
    key: NDArray[np.int64],
) -> list[str]:
    """What either side has and the other has not."""
    with_ecg, days = np.unique(person), np.unique(key)
    asked_of = asked[np.isin(asked // _DAYS, with_ecg)]
    n_participants, n_both = len(set(answers.participant)), int(np.isin(with_ecg, of_answer).sum())
    n_unanswered, n_unworn = int((~np.isin(days, asked)).sum()), int((~np.isin(asked_of, days)).sum())
    n_more = int((of_answer >= 0).sum()) - len(asked)
    counts = (
        (n_participants - n_both, f"of {counted(n_participants, 'participant')} with answers have no ECG"),
        (len(with_ecg) - n_both, f"of {counted(len(with_ecg), 'participant')} with ECG have no answer"),
        (n_unanswered, f"of {counted(len(days), 'day')} with ECG have no answer"),
        (n_unworn, f"of {counted(len(asked_of), 'day')} with answers have no ECG, though the participant has"),
        (n_more, f"of {counted(int((of_answer >= 0).sum()), 'answer')} are further ones of a day: its mean is taken"),
    )
    return [f"{n:,} {text}" for n, text in counts if n]
