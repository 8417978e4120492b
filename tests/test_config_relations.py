"""Relations between values that no single component sees."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import PositiveInt

from tiles_ecg.config_relations import expected_at, relations


def lines(values: dict[str, Any]) -> list[str]:
    return [line for _, line in relations(values)]


def test_a_crop_longer_than_the_window_is_told_with_both_lengths() -> None:
    values = {"dataset.window_s": 15.0, "augmentation.steps.crop.crop_s": 20.0}
    assert lines(values) == [
        "augmentation.steps.crop.crop_s = 20.0: longer than dataset.window_s = 15.0 s; choose at most 15.0 s"
    ]
    assert lines({**values, "augmentation.steps.crop.crop_s": 15}) == []


def test_a_step_to_leave_out_that_is_not_there_is_told_with_those_that_are() -> None:
    chain = {"augmentation._target_": "tiles_ecg.augmentation.apply.Chain", "augmentation.leave_out": []}
    values = {**chain, "augmentation.steps.crop.crop_s": 10.0, "augmentation.steps.permute.p": 0.6}
    assert lines({**values, "augmentation.leave_out": ["permute"]}) == lines(values) == []
    assert lines({**values, "augmentation.leave_out": ["permut"]}) == [
        "augmentation.leave_out = ['permut']: there is no step permut; there are crop, permute (did you mean permute?)"
    ]
    assert lines({**chain, "augmentation.steps": {}, "augmentation.leave_out": ["crop"]}) == [
        "augmentation.leave_out = ['crop']: there is no step crop; there are none"
    ]


def test_a_transformation_to_be_told_that_is_no_step_is_told_with_those_that_are() -> None:
    values = {"augmentation.steps.crop.crop_s": 10.0, "augmentation.steps.permute.p": 0.6}
    assert lines({**values, "objective.transforms": ["permute"]}) == []
    assert lines({**values, "objective.transforms": ["permut"]}) == [
        "objective.transforms = ['permut']: there is no step permut; there are crop, permute (did you mean permute?)"
    ]
    assert lines({**values, "objective.transforms": ["permute", "permute"]}) == [
        "objective.transforms = ['permute', 'permute']: permute is named twice; name each step once"
    ]


@pytest.mark.parametrize(
    ("size", "devices", "nodes", "right"),
    [(127, 2, 1, "126 or 128"), (1, 4, 1, "4"), (10, [0, 1, 2], 1, "9 or 12"), (6, 2, 2, "4 or 8")],
)
def test_a_batch_that_cannot_be_dealt_out_evenly_is_told_with_the_nearest_sizes(
    size: int, devices: Any, nodes: int, right: str
) -> None:
    found = lines({"dataset.batch_size": size, "trainer.devices": devices, "trainer.num_nodes": nodes})
    assert len(found) == 1
    assert found[0].endswith(f"choose {right}")


@pytest.mark.parametrize("target", ["simclr.SimCLR", "simclr_rhythm.SimCLRRhythm"])
def test_simclr_needs_at_least_two_windows(target: str) -> None:
    values = {"dataset.batch_size": 1, "objective._target_": f"tiles_ecg.objective.{target}"}
    assert lines(values) == [
        "dataset.batch_size = 1: SimCLR needs the other windows of a batch as negatives; choose at least 2"
    ]
    assert lines({**values, "dataset.batch_size": 2}) == []


def test_values_of_a_wrong_type_break_no_relation() -> None:
    assert lines({"dataset.batch_size": "many", "dataset.window_s": None, "augmentation.steps.crop.crop_s": 3.0}) == []


def test_a_missing_store_is_told_with_a_similar_name_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tiles_250.h5").touch()
    found = lines({"dataset.store": f"{tmp_path}/tiles_25.h5"})
    assert found == [
        f"dataset.store = {tmp_path}/tiles_25.h5: no such file; tiles-prepare writes stores "
        f"(did you mean {tmp_path}/tiles_250.h5?)"
    ]


def test_every_missing_store_of_several_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    found = lines({"dataset.store": [f"{tmp_path}/a.h5", f"{tmp_path}/nowhere/b.h5", str(tmp_path)]})
    assert len(found) == 2
    assert (
        f"there is no folder {tmp_path}/nowhere; tiles-prepare store={tmp_path}/nowhere/b.h5 would write it" in found[0]
    )
    assert f"{tmp_path}: a folder; name the file, such as {tmp_path}/a.h5" in found[1]


def test_a_store_given_twice_is_told_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    (tmp_path / "b.h5").touch()
    again = f"{tmp_path}/../{tmp_path.name}/a.h5"
    assert lines({"dataset.store": [f"{tmp_path}/a.h5", f"{tmp_path}/b.h5", again]}) == [
        f"dataset.store = {again}: given twice; its windows would be negatives of themselves; give it once"
    ]


def test_blocks_need_a_width_and_a_stride_each() -> None:
    values = {"encoder.widths": [8, 16], "encoder.strides": [1]}
    assert lines(values) == [
        "encoder.widths = [8, 16]: 2 blocks, but encoder.strides = [1] has 1; give one of each for every block"
    ]
    assert lines({**values, "encoder.strides": [1, 2]}) == []


def test_a_tilde_that_the_shell_left_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.h5").touch()
    assert lines({"dataset.store": "~/a.h5"}) == [
        f"dataset.store = ~/a.h5: the shell left the ~ as it is; write {tmp_path}/a.h5"
    ]


def test_a_band_beyond_half_of_the_sample_rate_is_told() -> None:
    values = {"preparation.low_hz": 0.5, "preparation.high_hz": 50.0, "preparation.sample_rate": 100.0}
    assert lines(values) == [
        "preparation.high_hz = 50.0: not below half of preparation.sample_rate = 50 Hz; "
        "choose less, or a higher sample rate"
    ]


def test_an_empty_pass_band_is_told() -> None:
    values = {"preparation.low_hz": 45.0, "preparation.high_hz": 40.0, "preparation.sample_rate": 100.0}
    assert lines(values) == [
        "preparation.low_hz = 45.0: not below preparation.high_hz = 40.0 Hz; the pass band would be empty"
    ]


def test_a_folder_to_resume_from_must_exist(tmp_path: Path) -> None:
    assert lines({"resume": str(tmp_path)}) == []
    assert lines({"resume": True}) == []
    assert lines({"resume": "nowhere"}) == [
        "resume = nowhere: no such folder; give true, or the path of a run folder below outputs/"
    ]


def test_keys_of_torch_and_lightning_are_known_by_their_ends_and_root_keys_exactly() -> None:
    assert expected_at("trainer.max_steps") is PositiveInt
    assert expected_at("other.trainer.max_steps") is PositiveInt
    assert expected_at("mytrainer.max_steps") is None
    assert expected_at("seed") is not None
    assert expected_at("dataset.seed") is None
