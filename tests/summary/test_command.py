import shlex
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
    def make(text: str, encoders: Any = None, **about: Any) -> Section:
        run_folder(tmp_path, [fabricate()], command=text, about=about, encoders=encoders or {})
        return sections(find_runs([tmp_path])[0])[0]

    return make


def test_a_control_is_judged_by_the_protocol_of_the_runs_at_hand(section: Callable[..., Section]) -> None:
    typed = (
        "tiles-train -m objective=finetune task=af 'dataset.store=[a b.h5,c.h5]' protocol.folds=5 task.min_share=0.2 "
        "dataset.min_quality=0.5 dataset.fold=3 dataset.batch_size=8 seed=2 encoder=pretrained encoder.path=x"
    )
    shared = "task=af 'dataset.store=[a b.h5,c.h5]' protocol.folds=5 task.min_share=0.2 dataset.min_quality=0.5"
    assert command("majority", section(typed)) == f"tiles-evaluate {shared}"
    assert command("heart rate and HRV", section(typed)) == f"tiles-evaluate {shared}"


def test_a_network_without_a_file_is_the_one_that_was_typed(section: Callable[..., Section]) -> None:
    typed = section("tiles-evaluate task=af encoder=resnet18 'encoder.widths=[8,16]' controls.scratch_steps=0")
    assert command("untrained", typed) == "tiles-evaluate task=af encoder=resnet18 'encoder.widths=[8,16]'"
    assert command("from scratch", typed) == (
        "tiles-train -m objective=finetune task=af encoder=resnet18 'encoder.widths=[8,16]' dataset.fold=0,1,2,3,4"
    )


def test_the_untrained_and_from_scratch_are_the_network_of_the_encoder(section: Callable[..., Section]) -> None:
    typed = "tiles-evaluate task=af encoders=[runs/a] 'audit.accept=[pretraining]'"
    encoders = {"mine": {"path": "runs/a b/last.safetensors", "preprocessing": {"normalise": "window"}}}
    assert shlex.split(command("untrained", section(typed, encoders))) == [
        "tiles-evaluate", "task=af", "encoders=['runs/a b/last.safetensors']", "audit.accept=[pretraining]",
    ]  # fmt: skip
    assert shlex.split(command("from scratch", section(typed, encoders))) == [
        "tiles-train", "-m", "objective=finetune", "task=af", "encoder=pretrained",
        "encoder.path='runs/a b/last.safetensors'", "encoder.fresh=true", "dataset.normalise=window",
        "audit.accept=[pretraining]", "dataset.fold=0,1,2,3,4",
    ]  # fmt: skip


@pytest.mark.parametrize("typed", ["", "python my.py", "tiles-evaluate 'task=af"])
def test_where_no_command_is_known_the_store_is_left_to_be_filled_in(
    typed: str, section: Callable[..., Section]
) -> None:
    assert command("untrained", section(typed)) == "tiles-evaluate task=af dataset.store=..."


def test_telling_people_apart_has_no_majority(section: Callable[..., Section]) -> None:
    assert not applies("majority", section("", kind="verification"))
    assert applies("majority", section(""))
    assert applies("untrained", section("", kind="verification"))
