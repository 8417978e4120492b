"""Regression: a number for each window, recording or subject, from a label of the store."""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelLevel, LabelSpec
from tiles_ecg.task.example import counted, group, store_of, target_of
from tiles_ecg.task.labelled import check_rows, has_same_meaning, labelled
from tiles_ecg.task.metric_name import RegressionMetric
from tiles_ecg.task.target import Kind, Target, TaskError

HEART_RATE = LabelSpec("heart_rate", "window", "continuous", unit="bpm")


class Regression:
    """Predicts a continuous label; the value of a recording or subject is the mean of its windows.

    The label `heart_rate` (bpm) need not be in a store: for windows of stores without it, it is 60 over the median
    interval of their R-peaks in seconds, and a note says so.

    Args:
        name: Of the task.
        label: A continuous label of the stores.
        level: What an example is.
        metric: That decides.
        low: Windows with a lower value are left out as implausible, and counted; null: none.
        high: The same for higher values.

    Raises:
        ValueError: If `low` is not below `high`.
    """

    kind: Kind = "regression"

    def __init__(
        self,
        name: str,
        label: str,
        level: LabelLevel,
        metric: RegressionMetric = "mae",
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        if low is not None and high is not None and not low < high:
            raise ValueError(f"low = {low:g}, high = {high:g}: no value lies between them; choose low < high")
        self.name = name
        self.label = label
        self.level = level
        self.metric = metric
        self.low = low
        self.high = high

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The examples among rows (M,) with a plausible value; see `Task`.

        Raises:
            TaskError: If the label is not there, no window has a plausible value, or all examples have the same.
        """
        rows, number, unit, notes = self._numbers(windows, rows)
        is_kept = np.isfinite(number)
        for is_out, words in (
            (~is_kept, "infinite or not a number"),
            (is_kept & (number < (-np.inf if self.low is None else self.low)), f"below {self.low} {unit}".strip()),
            (is_kept & (number > (np.inf if self.high is None else self.high)), f"above {self.high} {unit}".strip()),
        ):
            if is_out.any():
                notes.append(
                    f"{int(is_out.sum()):,} of {counted(len(number), 'window')} have a {self.label} that is {words} "
                    "and are left out"
                )
                is_kept = is_kept & ~is_out
        if not is_kept.any():
            raise TaskError(f"{self.name}: no window has a plausible {self.label} ({'; '.join(notes)})")
        grouping = group(windows, rows[is_kept], self.level)
        value = np.bincount(grouping.example, number[is_kept]) / np.bincount(grouping.example)
        if value.min() == value.max():
            raise TaskError(
                f"{self.name}: {counted(len(value), self.level)}, all with {self.label} = {value[0]:g} {unit}".rstrip()
                + "; there is nothing to predict: give stores with several values"
            )
        return target_of(
            windows, grouping, value, name=self.name, kind=self.kind, level=self.level, unit=unit, metric=self.metric,
            notes=notes,
        )  # fmt: skip

    def _numbers(
        self, windows: Windows, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], str, list[str]]:
        """Rows that have a value, their values, the unit, and notes."""
        if self.label == HEART_RATE.name:
            return self._heart_rate(windows, rows)
        found = labelled(windows, rows, self.name, self.label, ("continuous",))
        return found.rows, found.value.astype(np.float64), found.spec.unit, list(found.notes)

    def _heart_rate(
        self, windows: Windows, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], str, list[str]]:
        """The label where a store has it in bpm, else from the beats; a window with fewer than three has none."""
        check_rows(rows, self.name)
        number = np.full(len(rows), np.nan)
        has_label = [has_same_meaning(HEART_RATE, store.labels.get(HEART_RATE.name)) for store in windows.stores]
        from_beats = ~np.array(has_label)[store_of(windows, rows)]
        for store, first, is_labelled in zip(windows.stores, windows.first_row[:-1], has_label, strict=True):
            if is_labelled:
                inside = (rows >= first) & (rows < first + len(store))
                number[inside] = store.label(HEART_RATE.name).value[rows[inside] - first]
        number[from_beats] = windows.heart_rate(rows[from_beats])
        notes = []
        if from_beats.any():
            notes.append(
                f"the heart rate of {counted(int(from_beats.sum()), 'window')} is from their R-peaks (60 s over the "
                "median interval): their stores have no label heart_rate in bpm"
            )
        is_missing = np.isnan(number)
        if is_missing.all():
            raise TaskError(f"{self.name}: none of {counted(len(rows), 'window')} has a heart rate: too few R-peaks")
        if is_missing.any():
            n = int(is_missing.sum())
            notes.append(f"{n:,} of {counted(len(rows), 'window')} have no heart_rate and are left out")
        return rows[~is_missing], number[~is_missing], HEART_RATE.unit, notes
