"""Multi-label: which classes occur in each window, recording or subject; several may, or none."""

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelLevel
from tiles_ecg.task.example import group, target_of
from tiles_ecg.task.labelled import check_classes, labelled
from tiles_ecg.task.metric_name import MultilabelMetric
from tiles_ecg.task.target import Kind, Target, TaskError


class MultiLabel:
    """Predicts the classes of a multilabel label; a recording or subject has every class that any window of it has.

    Args:
        name: Of the task.
        label: A multilabel label of the stores.
        classes: Classes of the store, in the order of the outputs; null takes those that occur in some examples but not
            in all, as no other can be told apart.
        level: What an example is.
        metric: That decides.

    Raises:
        ValueError: If `classes` is empty or names one twice.
    """

    kind: Kind = "multilabel"

    def __init__(
        self, name: str, label: str, classes: list[str] | None, level: LabelLevel, metric: MultilabelMetric = "auroc"
    ) -> None:
        if classes is not None and (not classes or len(set(classes)) < len(classes)):
            raise ValueError(f"classes = {classes}: name one or more, each once, or null for all of the store")
        self.name = name
        self.label = label
        self.classes = None if classes is None else tuple(classes)
        self.level = level
        self.metric = metric

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The examples among rows (M,) that were labelled at all; see `Task`.

        Raises:
            TaskError: If the label or a class named is not there, or every class occurs in all examples or in none.
        """
        found = labelled(windows, rows, self.name, self.label, ("multilabel",))
        names = self.classes or found.spec.classes
        check_classes(windows, found.spec, self.name, names)
        grouping = group(windows, found.rows, self.level)
        value = np.zeros((len(grouping), len(names)), np.int64)
        is_in = found.value[:, [found.spec.classes.index(name) for name in names]] == 1
        np.maximum.at(value, grouping.example, is_in)
        share = value.mean(0)
        varies = (share > 0) & (share < 1)
        notes = list(found.notes)
        for words, chosen in (("no", share == 0), ("every", share == 1)):
            same = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
            if same:
                outcome = "left out" if self.classes is None else "kept, but cannot be judged"
                notes.append(f"in {words} {self.level}, so {outcome}: {', '.join(same)}")
        if not varies.any():
            raise TaskError(f"{self.name}: nothing to tell apart ({'; '.join(notes)}); give other stores or classes")
        kept = varies if self.classes is None else np.ones(len(names), bool)
        return target_of(
            windows, grouping, value[:, kept], name=self.name, kind=self.kind, level=self.level,
            classes=tuple(name for name, is_kept in zip(names, kept, strict=True) if is_kept), metric=self.metric,
            notes=notes,
        )  # fmt: skip
