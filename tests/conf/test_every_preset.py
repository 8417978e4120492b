"""Every experiment that is a sweep: all its jobs compose and validate, by one command."""

import functools
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tiles_ecg import console_overrides
from tiles_ecg.config import config_directory, register_resolvers

GIVEN = {"pretrain_finetune": ["task=synthetic_stress", "audit.accept=[pretraining]"]}
"""What only a user can give."""


def is_grid(file: Path) -> bool:
    hydra = (yaml.safe_load(file.read_text()) or {}).get("hydra", {})
    return hydra.get("mode") == "MULTIRUN" and "sweeper" not in str((yaml.safe_load(file.read_text())).get("defaults"))


PRESETS = [file.stem for file in sorted((config_directory() / "experiment").glob("*.yaml")) if is_grid(file)]
JOBS = {"augmentation_ablation": 27, "encoder_size": 12, "temperature_batch": 32, "pretrain_finetune": 18}


@functools.cache
def checked(name: str) -> console_overrides.Checked:
    register_resolvers()
    return console_overrides.check_command("train", [f"experiment={name}", *GIVEN.get(name, [])], is_multirun=False)


@pytest.fixture(autouse=True)
def each_value_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiles_ecg.console_command.MAX_JOBS", 0)


@pytest.mark.parametrize("name", PRESETS)
def test_all_jobs_of_the_preset_compose_and_validate(name: str) -> None:
    found = checked(name)
    assert len(found.jobs) == JOBS[name]
    assert len({job.name for job in found.jobs}) == len(found.jobs)


def test_the_ablation_leaves_out_every_step_of_the_recipe_once_and_none_once() -> None:
    found = checked("augmentation_ablation")
    (steps, *_) = {tuple(cfg.augmentation.steps) for cfg in found.configs.values()}
    count = Counter(job.varied["augmentation.leave_out"] for job in found.jobs)
    assert count == {"[]": 3, **{f"[{step}]": 3 for step in steps}}
