"""What a run is called in W&B."""

import json
from pathlib import Path

from tiles_ecg.logger.wandb_about import LONGEST_TAG, about_run
from tiles_ecg.sweep.plan import SweepPlan, write_plan


def judged(folder: Path, job: str = "probe") -> None:
    folder.mkdir(parents=True)
    (folder / "protocol.json").write_text(json.dumps({"hash": "0123456789ab", "job": job}))


def test_a_single_pre_training_run_is_named_by_its_folder_and_has_no_group(tmp_path: Path) -> None:
    about = about_run(tmp_path / "simclr" / "today", {})
    assert (about.name, about.group, about.job_type, about.tags) == ("simclr/today", None, "pretrain", ())


def test_a_single_judged_run_is_grouped_by_its_protocol(tmp_path: Path) -> None:
    judged(tmp_path / "a" / "b")
    about = about_run(tmp_path / "a" / "b", {})
    assert (about.group, about.job_type, about.tags) == ("0123456789ab", "probe", ("protocol:0123456789ab",))


def test_a_job_is_named_within_its_sweep_and_grouped_by_it_whether_judged_or_not(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep-finetune" / "today"
    write_plan(sweep, SweepPlan("tiles-train", (), (), "2026-01-01T00:00:00+00:00"))
    judged(sweep / "finetune" / "seed=0,fold=1", "finetune")
    about = about_run(sweep / "finetune" / "seed=0,fold=1", {})
    assert (about.name, about.group, about.job_type) == ("finetune/seed=0,fold=1", "sweep-finetune/today", "finetune")
    assert about_run(sweep / "seed=0", {}).group == "sweep-finetune/today"


def test_a_relative_folder_finds_its_sweep(tmp_path: Path, monkeypatch: object) -> None:
    sweep = tmp_path / "x" / "y"
    write_plan(sweep, SweepPlan("tiles-train", (), (), "2026-01-01T00:00:00+00:00"))
    (sweep / "seed=0").mkdir()
    monkeypatch.chdir(sweep / "seed=0")  # type: ignore[attr-defined]
    assert about_run(Path(), {}).group == "x/y"


def test_tags_are_the_choices_the_protocol_and_the_users_each_once_and_short(tmp_path: Path) -> None:
    choices = {"objective": "simclr", "encoder": "resnet8", "task": "None", "trainer": "gpu", "augmentation": "tiles"}
    tags = about_run(tmp_path / "a" / "b", choices, ["mine", "encoder:resnet8", "x" * 100]).tags
    assert tags == ("objective:simclr", "encoder:resnet8", "augmentation:tiles", "mine", "x" * LONGEST_TAG)


def test_a_damaged_protocol_is_none(tmp_path: Path) -> None:
    for text in ("{", "[]", "3", '{"hash": 3}'):
        (tmp_path / "protocol.json").write_text(text)
        assert about_run(tmp_path, {}).job_type == "pretrain"
