"""Label columns of a manifest -> label specifications, and the values of each row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tiles_ecg.reader.manifest import COLUMNS, MISSING, Cells, Row, split_names
from tiles_ecg.recording import LabelKind, LabelLevel, LabelSpec, LabelValue, RecordingError

IGNORE = "ignore"
KINDS: tuple[LabelKind, ...] = get_args(LabelKind)
LEVELS: tuple[LabelLevel, ...] = ("recording", "subject")
DeclaredLabel = str | Mapping[str, str | Sequence[str]]
"""`categorical`, `multilabel`, `continuous` or `ignore`; or a mapping with `kind`, `level`, `unit` and `classes`."""


@dataclass(frozen=True)
class Declaration:
    """How a label column is to be read; None or empty: as the column itself suggests."""

    kind: LabelKind | None = None
    level: LabelLevel | None = None
    unit: str = ""
    classes: tuple[str, ...] = ()


def check_declarations(labels: Mapping[str, DeclaredLabel]) -> dict[str, Declaration | None]:
    """Declarations by label name; None for a column to ignore.

    Raises:
        ValueError: If a kind, level or key is unknown.
    """
    checked: dict[str, Declaration | None] = {}
    for name, declared in labels.items():
        given = {"kind": declared} if isinstance(declared, str) else dict(declared)
        if given == {"kind": IGNORE}:
            checked[name] = None
            continue
        if unknown := given.keys() - {"kind", "level", "unit", "classes"}:
            raise ValueError(f"labels.{name}: unknown key {', '.join(sorted(unknown))}; use kind, level, unit, classes")
        for key, allowed in (("kind", KINDS), ("level", LEVELS)):
            if given.get(key, allowed[0]) not in allowed:
                raise ValueError(f"labels.{name}: {key} = {given[key]!r}; choose {', '.join(allowed)}")
        classes = given.get("classes", ())
        checked[name] = Declaration(
            kind=next((kind for kind in KINDS if kind == given.get("kind")), None),
            level=next((level for level in LEVELS if level == given.get("level")), None),
            unit=str(given.get("unit", "")),
            classes=split_names(classes) if isinstance(classes, str) else tuple(str(value) for value in classes),
        )
    return checked


def read_labels(
    path: Path, cells: Cells, rows: Sequence[Row], declared: Mapping[str, Declaration | None]
) -> tuple[tuple[LabelSpec, ...], tuple[dict[str, LabelValue], ...]]:
    """Specifications of all label columns, in the order of the manifest, and the known values of each row.

    Where nothing is declared: a column of numbers is continuous, any other categorical; an empty one is passed over. A
    label belongs to the subject if every row has a subject and no two rows of one subject differ, else to the
    recording. Classes are in numerical order if all are numbers, else in alphabetical order.

    Raises:
        RecordingError: If a declared column is missing, a value does not fit its kind or classes, a subject-level label
            differs within a subject, or a name cannot be stored.
    """
    if missing := [name for name in declared if name not in cells.names or name in COLUMNS]:
        raise RecordingError(f"{path}: no label column {', '.join(missing)}; the columns are {', '.join(cells.names)}")
    specs = []
    values: tuple[dict[str, LabelValue], ...] = tuple({} for _ in rows)
    for name in cells.names:
        declaration = declared.get(name, Declaration())
        if name in COLUMNS or declaration is None:
            continue
        if not name or "/" in name:
            raise RecordingError(
                f"{path}: label column {name!r} cannot be stored; name it with letters, digits, underscores"
            )
        column = _Column(path, name, cells, rows)
        if not column.texts:
            continue
        spec = column.specify(declaration)
        specs.append(spec)
        for row, text in column.texts.items():
            values[row][name] = column.parse(spec, row, text)
    return tuple(specs), values


class _Column:
    """One label column; `texts` holds its values by number of the row, without the missing ones."""

    def __init__(self, path: Path, name: str, cells: Cells, rows: Sequence[Row]) -> None:
        self.path, self.name, self.lines, self.rows = path, name, cells.lines, rows
        self.texts = {n: row[name] for n, row in enumerate(cells.rows) if row[name].lower() not in MISSING}

    def specify(self, declaration: Declaration) -> LabelSpec:
        is_numeric = all(_number(text) is not None for text in self.texts.values())
        kind = declaration.kind or ("continuous" if is_numeric and not declaration.classes else "categorical")
        classes = declaration.classes
        if kind == "continuous":
            classes = ()
        elif not classes:
            found = {
                part for text in self.texts.values() for part in (split_names(text) if kind == "multilabel" else [text])
            }
            classes = tuple(sorted(found, key=lambda text: (_number(text) if is_numeric else 0.0, text)))
        return LabelSpec(self.name, self._level(declaration.level), kind, classes, declaration.unit)

    def parse(self, spec: LabelSpec, row: int, text: str) -> LabelValue:
        if spec.kind == "continuous":
            number = _number(text)
            if number is None:
                raise self._error(
                    row, text, f"a number{f' ({spec.unit})' if spec.unit else ''}, or declare it categorical"
                )
            return number
        parts = split_names(text) if spec.kind == "multilabel" else (text,)
        if not set(parts) <= set(spec.classes):
            raise self._error(row, text, f"one of {', '.join(spec.classes)}")
        return parts if spec.kind == "multilabel" else text

    def _level(self, declared: LabelLevel | None) -> LabelLevel:
        if declared == "recording":
            return declared
        first: dict[str, int] = {}
        for row, text in self.texts.items():
            subject = self.rows[row].subject
            if subject is not None and self.texts[first.setdefault(subject, row)] != text:
                if declared is None:
                    return "recording"
                raise RecordingError(
                    f"{self.path}: label {self.name} is declared for subjects, but subject {subject} has "
                    f"{self.texts[first[subject]]!r} in row {self.lines[first[subject]]} and {text!r} in row "
                    f"{self.lines[row]}; declare level: recording, or correct the rows"
                )
        return declared or ("recording" if any(row.subject is None for row in self.rows) else "subject")

    def _error(self, row: int, text: str, right: str) -> RecordingError:
        return RecordingError(f"{self.path}: row {self.lines[row]}, label {self.name} = {text!r}; it has to be {right}")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
