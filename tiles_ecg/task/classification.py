"""Classification: one class for each window, recording or subject, from a label of the store."""

from collections.abc import Mapping, Sized

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.recording import LabelLevel
from tiles_ecg.task.example import counted, group, target_of
from tiles_ecg.task.labelled import Labelled, check_classes, labelled
from tiles_ecg.task.metric_name import BinaryMetric, MulticlassMetric, unfit_metric
from tiles_ecg.task.target import Kind, Target, TaskError


class Classification:
    """Predicts the class of a categorical label.

    An example takes the most frequent class of its windows; of equally frequent ones that which has fewer windows in
    all. Where the label belongs to the recording or the subject, that is simply its class.

    Args:
        name: Of the task.
        label: A categorical label of the stores.
        classes: The task's classes in the order of their codes. A mapping gives each of them one or more classes of the
            store (`{rest: [normal, other], af: [af]}`), a list takes classes of the store by their own names, null all
            that occur. Windows of a class that is not named are left out. Of two classes, the second is looked for.
        level: What an example is.
        metric: That decides.

    Raises:
        ValueError: If fewer than two classes are named, one class of the store is named twice, or the metric is not for
            as many classes.
    """

    def __init__(
        self,
        name: str,
        label: str,
        classes: dict[str, list[str]] | list[str] | None,
        level: LabelLevel,
        metric: BinaryMetric | MulticlassMetric = "auroc",
    ) -> None:
        self.name = name
        self.label = label
        self.level = level
        self.metric = metric
        self._sources = _sources(classes)
        self.kind: Kind = _kind(self._sources or ())
        if self._sources and (problem := unfit_metric(self.kind, metric)):
            raise ValueError(problem)

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The examples among rows (M,) that have one of the classes; see `Task`.

        With `classes` null, `Target.kind` says how many there are.

        Raises:
            TaskError: If the label or a class named is not there, or fewer than two classes are left.
        """
        found = labelled(windows, rows, self.name, self.label, ("categorical",))
        sources = self._sources or {name: [name] for name in found.spec.classes}
        check_classes(windows, found.spec, self.name, (name for names in sources.values() for name in names))
        code_of = np.full(len(found.spec.classes), -1, np.int64)
        for code, names in enumerate(sources.values()):
            code_of[[found.spec.classes.index(name) for name in names]] = code
        code = code_of[found.value]
        notes = [*found.notes, *_unnamed(found, code)]
        if not (code >= 0).any():
            raise TaskError(
                f"{self.name}: no window has one of the classes named ({', '.join(map(str, sources))}); {notes[-1]}"
            )
        grouping = group(windows, found.rows[code >= 0], self.level)
        value, n_mixed = most_frequent(grouping.example, code[code >= 0], len(sources))
        if n_mixed:
            notes.append(
                f"{n_mixed:,} of {counted(len(grouping), self.level)} have windows of several classes: the most "
                "frequent is taken"
            )
        classes, value = self._present(tuple(sources), value, notes)
        return target_of(
            windows, grouping, value, name=self.name, kind=_kind(classes), level=self.level, classes=classes,
            metric=self.metric, notes=notes,
        )  # fmt: skip

    def _present(
        self, classes: tuple[str, ...], value: NDArray[np.int64], notes: list[str]
    ) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Classes and codes without the classes that do not occur, unless they were named."""
        count = np.bincount(value, minlength=len(classes))
        absent = [name for name, n in zip(classes, count, strict=True) if not n]
        if len(classes) - len(absent) < 2:
            found = ", ".join(f"{name} {n:,}" for name, n in zip(classes, count, strict=True))
            raise TaskError(
                f"{self.name}: at least two classes are needed, found are {found} ({self.level}s); give stores that "
                "hold others, or name other classes"
            )
        if absent:
            notes.append(f"of no {self.level}: {', '.join(absent)}")
        if self._sources is not None:
            return classes, value
        present = np.flatnonzero(count)
        if problem := unfit_metric(_kind(present), self.metric):
            raise TaskError(f"{self.name}: {problem} ({len(present)} classes were found)")
        return tuple(classes[code] for code in present), np.searchsorted(present, value).astype(np.int64)


class Contains:
    """Tells whether any of some classes occurs: in a window, or in any window of a recording or subject.

    Class 0 is called `no V` and class 1 `V` (`no S or V`, `S or V`).

    Args:
        name: Of the task.
        label: A multilabel or categorical label of the stores.
        any_of: Classes of the store that are looked for.
        level: What an example is.
        metric: That decides.

    Raises:
        ValueError: If `any_of` is empty.
    """

    kind: Kind = "binary"

    def __init__(
        self, name: str, label: str, any_of: list[str], level: LabelLevel, metric: BinaryMetric = "auroc"
    ) -> None:
        if not any_of:
            raise ValueError("any_of = []: nothing to look for; name one or more classes of the label")
        self.name = name
        self.label = label
        self.any_of = list(any_of)
        self.level = level
        self.metric = metric

    def target(self, windows: Windows, rows: NDArray[np.int64]) -> Target:
        """The examples among rows (M,) that were labelled at all; see `Task`.

        Raises:
            TaskError: If the label or a class is not there, or it occurs in every example or in none.
        """
        found = labelled(windows, rows, self.name, self.label, ("multilabel", "categorical"))
        check_classes(windows, found.spec, self.name, self.any_of)
        codes = [found.spec.classes.index(name) for name in self.any_of]
        if found.spec.kind == "multilabel":
            is_in = (found.value[:, codes] == 1).any(axis=1)
        else:
            is_in = np.isin(found.value, codes)
        grouping = group(windows, found.rows, self.level)
        value = (np.bincount(grouping.example, is_in, len(grouping)) > 0).astype(np.int64)
        wanted = " or ".join(self.any_of)
        if value.min() == value.max():
            which = "every one" if value[0] else "none"
            raise TaskError(
                f"{self.name}: {wanted} occurs in {which} of {counted(len(value), self.level)}; two classes are "
                "needed: give stores that hold both, or another level"
            )
        return target_of(
            windows, grouping, value, name=self.name, kind=self.kind, level=self.level,
            classes=(f"no {wanted}", wanted), metric=self.metric, notes=found.notes,
        )  # fmt: skip


def most_frequent(example: NDArray[np.int64], code: NDArray[np.int64], n_classes: int) -> tuple[NDArray[np.int64], int]:
    """The most frequent class of each example (E,), and how many examples have windows of several.

    Of equally frequent classes the one with fewer windows in all is taken, then the lower code.

    Args:
        example: (N,) 0 to E - 1.
        code: (N,) 0 to K - 1.
        n_classes: K.
    """
    n_examples = int(example.max()) + 1
    count = np.bincount(example * n_classes + code, minlength=n_examples * n_classes).reshape(n_examples, n_classes)
    rarest_first = np.argsort(count.sum(0), kind="stable")
    value = rarest_first[count[:, rarest_first].argmax(1)]
    return value.astype(np.int64), int(((count > 0).sum(1) > 1).sum())


def _sources(classes: dict[str, list[str]] | list[str] | None) -> dict[str, list[str]] | None:
    """Classes of the store by class of the task."""
    if classes is None:
        return None
    sources = dict(classes) if isinstance(classes, Mapping) else {name: [name] for name in classes}
    if len(sources) < 2:
        raise ValueError(f"classes = {classes}: at least two different ones are needed, or null for all of the store")
    named: dict[str, str] = {}
    for own, names in sources.items():
        if not names:
            raise ValueError(f"classes.{own} = []: name one or more classes of the store that it stands for")
        for name in names:
            if name in named:
                raise ValueError(f"classes: {name} of the store is named twice, by {named[name]} and {own}; keep one")
            named[name] = own
    return sources


def _kind(classes: Sized) -> Kind:
    return "binary" if len(classes) == 2 else "multiclass"


def _unnamed(found: Labelled, code: NDArray[np.int64]) -> list[str]:
    """A note on the windows of classes that the task does not name."""
    count = np.bincount(found.value[code < 0], minlength=len(found.spec.classes))
    parts = [f"{name} {n:,}" for name, n in zip(found.spec.classes, count, strict=True) if n]
    if not parts:
        return []
    return [
        f"{counted(int(count.sum()), 'window')} of classes that the task does not name are left out: {', '.join(parts)}"
    ]
