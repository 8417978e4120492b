from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.content import content, differences
from tiles_ecg.summary.document import Block, Heading, Listing, Paragraph, Picture, Table
from tiles_ecg.summary.illustration import Illustration
from tiles_ecg.summary.runs import Setback, find_runs
from tiles_ecg.summary.section import sections
from tiles_ecg.summary.standing import standing

Fabricate = Callable[..., Any]
SHOWN = Illustration((Picture("ROC", "Curves.", b"png"),), ("Confusion: not drawn",), ())


def report(root: Path) -> list[Block]:
    standings = [standing(section, 50) for section in sections(find_runs([root])[0])]
    setbacks = [Setback(Path("runs/x"), "not finished")]
    return content(standings, [SHOWN] * len(standings), setbacks, 50, datetime(2024, 5, 6, 7, 8))


def text_of(blocks: list[Block], kind: type[Block]) -> str:
    return "\n".join(str(block) for block in blocks if isinstance(block, kind))


def test_a_report_says_its_parts_in_order(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> None:
    run_folder(tmp_path, [fabricate(), fabricate(Method("untrained", "linear", "control"))])
    headings = [(block.level, block.text) for block in report(tmp_path) if isinstance(block, Heading)]
    assert headings == [
        (1, "Evaluation of ECG encoders"),
        (2, "Overview"),
        (2, "af"),
        (3, "Methods"),
        (3, "Paired comparisons"),
        (3, "Figures"),
        (3, "Audit and notes"),
        (2, "Commands"),
    ]


def test_date_versions_resamples_and_commands_are_said(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate()])
    blocks = report(tmp_path)
    said = text_of(blocks, Paragraph)
    for part in ("2024-05-06 07:08", "tiles_ecg", "torch", "numpy", "scikit-learn", "50 resamples", "Student's t"):
        assert part in said
    assert "tiles-evaluate task=af dataset.store=a.h5" in text_of(blocks, Listing)


def test_what_is_not_in_the_report_and_what_did_not_pass_stand_at_its_head(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate()])
    blocks = report(tmp_path)
    first_task = blocks.index(Heading("af", 2))
    head = text_of(blocks[:first_task], Listing)
    assert "runs/x: not finished" in head
    assert "af: pretraining failed, but accepted: saw these recordings" in head
    assert "af: sealed unknown: not at hand" in head


def test_notes_of_protocol_encoders_methods_and_figures_are_kept(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path, [fabricate(), fabricate(Method("untrained", "linear", "control"))])
    notes = text_of(report(tmp_path), Listing)
    for part in (
        "3 windows without a value are left out",
        "resnet8: read from runs/a, step 800; normalised by subject",
        "resnet8, linear; untrained, linear: linear: chosen in the folds: 1, 1, 1, 1, 1",
        "Confusion: not drawn",
    ):
        assert part in notes


def test_two_protocols_never_share_a_table_of_methods(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "a", [fabricate()])
    run_folder(tmp_path / "b", [fabricate(protocol="ba9876543210")], about={"seed": 1})
    blocks = report(tmp_path)
    tables = [block for block in blocks if isinstance(block, Table) and "methods, encoders first" in block.caption]
    assert len(tables) == 2
    assert all(sum(row[0].text == "resnet8, linear" for row in table.rows) == 1 for table in tables)
    differing = [block.text for block in blocks if isinstance(block, Paragraph) and "Not comparable" in block.lead]
    assert differing == [
        "What differs, this one first: seed: 0 against 1.",
        "What differs, this one first: seed: 1 against 0.",
    ]


def test_the_overview_has_a_table_for_each_protocol_of_a_task(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    run_folder(tmp_path / "a", [fabricate(protocol="aaaa")])
    run_folder(tmp_path / "b", [fabricate(protocol="bbbb")])
    run_folder(tmp_path / "c", [fabricate(protocol="cccc", task="sex")])
    blocks = report(tmp_path)
    head = [block for block in blocks[: blocks.index(Heading("af (aaaa)", 2))] if isinstance(block, Table)]
    assert [table.head[1:] for table in head] == [("af (aaaa): AUROC", "sex: AUROC"), ("af (bbbb): AUROC",)]


def test_the_protocol_is_said_in_words(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> None:
    run_folder(tmp_path, [fabricate()], about={"examples": 3146})
    said = text_of(report(tmp_path), Paragraph)
    assert "Binary of a window (rest, AF); 3,146 examples of 20 subjects" in said
    assert "decided by AUROC" in said


def test_differences_name_what_one_side_lacks_and_look_into_groups() -> None:
    first = {"a": 1, "windows": {"n": 3, "rate": 100.0}, "stores": ["x", "y"]}
    second = {"a": 1, "windows": {"n": 4, "rate": 100.0}, "stores": ["x"], "new": 2}
    assert differences(first, second) == [
        "windows: n: 3 against 4",
        "stores: x, y against x",
        "new: (nothing) against 2",
    ]
