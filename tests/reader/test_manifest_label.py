"""Label columns: what they become, declared or not, and what does not fit."""

from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.reader.manifest import Defaults, check_rows, read_cells
from tiles_ecg.reader.manifest_label import check_declarations, read_labels
from tiles_ecg.recording import LabelSpec, LabelValue, RecordingError

LABELLED = """file,subject,age,stress,note,code,tags
a.npy,anna,31,low,x,0,af;pvc
b.npy,anna,31,high,,1,
c.npy,ben,,NA,y,10,pvc
"""


def labels_of(
    folder: Path, text: str, declared: dict[str, Any]
) -> tuple[tuple[LabelSpec, ...], tuple[dict[str, LabelValue], ...]]:
    path = folder / "manifest.csv"
    path.write_text(text)
    cells = read_cells(path)
    rows = check_rows(path, cells, Defaults(250.0, (), "mV", (), "UTC"))
    return read_labels(path, cells, rows, check_declarations(declared))


def test_undeclared_labels_follow_plain_rules(tmp_path: Path) -> None:
    specs, _ = labels_of(tmp_path, LABELLED, {})
    assert specs == (
        LabelSpec("age", "subject", "continuous"),
        LabelSpec("stress", "recording", "categorical", ("high", "low")),
        LabelSpec("note", "subject", "categorical", ("x", "y")),
        LabelSpec("code", "recording", "continuous"),
        LabelSpec("tags", "subject", "categorical", ("af;pvc", "pvc")),
    )


def test_a_declared_label_has_the_kind_level_unit_and_classes_asked_for(tmp_path: Path) -> None:
    declared = {
        "age": {"kind": "continuous", "level": "recording", "unit": "year"},
        "stress": {"kind": "categorical", "classes": ["low", "medium", "high"]},
        "note": "ignore",
        "code": "categorical",
        "tags": "multilabel",
    }
    specs, values = labels_of(tmp_path, LABELLED, declared)
    assert specs == (
        LabelSpec("age", "recording", "continuous", (), "year"),
        LabelSpec("stress", "recording", "categorical", ("low", "medium", "high")),
        LabelSpec("code", "recording", "categorical", ("0", "1", "10")),
        LabelSpec("tags", "subject", "multilabel", ("af", "pvc")),
    )
    assert values == (
        {"age": 31.0, "stress": "low", "code": "0", "tags": ("af", "pvc")},
        {"age": 31.0, "stress": "high", "code": "1"},
        {"code": "10", "tags": ("pvc",)},
    )


def test_without_subjects_a_label_belongs_to_the_recording(tmp_path: Path) -> None:
    specs, _ = labels_of(tmp_path, "file,subject,sex\na.npy,anna,f\nb.npy,,f\n", {})
    assert specs == (LabelSpec("sex", "recording", "categorical", ("f",)),)


def test_a_name_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="label column 'a/b' cannot be stored"):
        labels_of(tmp_path, "file,a/b\na.npy,1\n", {})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"mood": "categorical"}, "no label column mood; the columns are file, subject, age"),
        ({"subject": "categorical"}, "no label column subject"),
        ({"stress": "continuous"}, r"row 2, label stress = 'low'; it has to be a number"),
        (
            {"stress": {"kind": "categorical", "classes": ["low"]}},
            r"row 3, label stress = 'high'; it has to be one of low",
        ),
        ({"stress": {"level": "subject"}}, r"subject anna has 'low' in row 2 and 'high' in row 3"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path: Path, labels: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=rf"manifest\.csv: .*{message}"):
        labels_of(tmp_path, LABELLED, labels)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("categoric", r"labels\.a: kind = 'categoric'; choose categorical, multilabel, continuous"),
        ({"kind": "categorical", "level": "window"}, r"labels\.a: level = 'window'; choose recording"),
        ({"type": "categorical"}, r"labels\.a: unknown key type; use kind, level, unit, classes"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(declared: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_declarations({"a": declared})
