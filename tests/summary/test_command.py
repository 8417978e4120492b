from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.summary.command import applies, command
from tiles_ecg.summary.runs import find_runs
from tiles_ecg.summary.section import Section, sections

Fabricate = Callable[..., Any]


@pytest.fixture
def section(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> Callable[[str], Section]:
    def make(text: str, **about: Any) -> Section:
        run_folder(tmp_path, [fabricate()], command=text, about=about)
        return sections(find_runs([tmp_path])[0])[0]

    return make


def test_a_control_is_judged_by_the_protocol_of_the_runs_at_hand(section: Callable[..., Section]) -> None:
    typed = (
        "tiles-train -m objective=finetune task=af 'dataset.store=[a b.h5,c.h5]' protocol.folds=5 task.min_share=0.2 "
        "dataset.min_quality=0.5 dataset.fold=3 dataset.batch_size=8 seed=2 encoder=pretrained encoder.path=x"
    )
    shared = "task=af 'dataset.store=[a b.h5,c.h5]' protocol.folds=5 task.min_share=0.2 dataset.min_quality=0.5"
    assert command("untrained", section(typed)) == f"tiles-evaluate {shared}"
    assert command("from scratch", section(typed)) == (
        f"tiles-train -m objective=finetune {shared} dataset.fold=0,1,2,3,4"
    )


@pytest.mark.parametrize("typed", ["", "python my.py", "tiles-evaluate 'task=af"])
def test_where_no_command_is_known_the_store_is_left_to_be_filled_in(
    typed: str, section: Callable[..., Section]
) -> None:
    assert command("untrained", section(typed)) == "tiles-evaluate task=af dataset.store=..."


def test_telling_people_apart_has_no_majority(section: Callable[..., Section]) -> None:
    assert not applies("majority", section("", kind="verification"))
    assert applies("majority", section(""))
    assert applies("untrained", section("", kind="verification"))
