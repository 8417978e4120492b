"""Every YAML in conf/ composes and validates, each option of each group beside the defaults of the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tiles_ecg.config import config_directory, register_resolvers, validate

CONF = config_directory()
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
FILES = sorted(
    path for path in CONF.rglob("*.yaml") if path.parent != CONF and path.relative_to(CONF).parts[0] != "hydra"
)
FOLDERS = [path.name for path in CONF.iterdir() if path.is_dir()]
PLACES = {
    "augmentation/step": "augmentation.steps.added"
}  # groups that are no part by themselves: where their options go


@pytest.fixture(scope="module", autouse=True)
def hydra_at_conf() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def rounds() -> list[tuple[str, list[str]]]:
    """Root configs and overrides that together choose every file.

    In round i, option i of every group at once; experiments, which build on the defaults, each by itself.
    """
    by_group: dict[str, list[str]] = {}
    for file in FILES:
        by_group.setdefault(str(file.parent.relative_to(CONF)), []).append(file.stem)
    listed = [("train", [f"+{group}@{PLACES[group]}.{name}={name}" for name in by_group[group]]) for group in PLACES]
    listed += [("train", [f"experiment={name}"]) for name in by_group.pop("experiment")]
    for root in ROOTS:
        parts = {
            group: options
            for group, options in by_group.items()
            if f"- {group}:" in (CONF / f"{root}.yaml").read_text()
        }
        for i in range(max(map(len, parts.values()))):
            listed.append((root, [f"{group}={options[i % len(options)]}" for group, options in parts.items()]))
    return listed


def test_the_rounds_leave_no_file_out() -> None:
    chosen = {override.lstrip("+") for _, overrides in rounds() for override in overrides}
    named = {(override.split("@")[0].split("=")[0], override.split("=")[-1]) for override in chosen}
    assert named == {(str(file.parent.relative_to(CONF)), file.stem) for file in FILES}


def check(root: str, overrides: list[str], folder: Path) -> None:
    """Compose and validate; values that only a user can give (`???`) are given as an existing folder."""
    cfg = compose(root, overrides)
    plain = OmegaConf.to_container(cfg, resolve=False)
    for key in list(missing(plain)):
        OmegaConf.update(cfg, key, str(folder))
    validate(cfg)


def missing(node: object, key: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from missing(child, f"{key}.{name}" if key else name)
    elif node == "???":
        yield key


@pytest.mark.parametrize(
    ("root", "overrides"), rounds(), ids=lambda part: " ".join(part) if isinstance(part, list) else part
)
def test_the_options_compose_and_validate(root: str, overrides: list[str], tmp_path: Path) -> None:
    check(root, overrides, tmp_path)


@pytest.mark.parametrize("root", ROOTS)
def test_the_root_composes_and_validates_once_it_is_told_where_to_write(root: str, tmp_path: Path) -> None:
    check(root, [], tmp_path)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_only_experiments_are_packaged_globally(file: Path) -> None:
    is_global = "@package _global_" in file.read_text(encoding="utf-8")
    assert is_global == (file.parent.name == "experiment")
