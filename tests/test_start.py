"""What the programs import before they answer, and before they train: each of these packages costs up to a second."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "lightning",
    "scipy",
    "sklearn",
    "pandas",
    "matplotlib",
    "wandb",
    "h5py",
    "optuna",
    "submitit",
    "dask",
}
EARLY = """
import sys, tiles_ecg.{module}
from hydra.core.plugins import Plugins
Plugins.instance()
print(*sys.modules)
"""
LATE = """
import importlib, sys
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiles_ecg import train
from tiles_ecg.config import config_directory, register_resolvers

def targets(node):
    if isinstance(node, dict):
        yield from [node["_target_"]] if "_target_" in node else []
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from targets(child)

register_resolvers()
with initialize_config_dir(str(config_directory()), version_base="1.3"):
    config = OmegaConf.to_container(compose("train"), resolve=False)
for target in targets(config):
    importlib.import_module(target.rpartition(".")[0])
print(*sys.modules)
"""


def imported(program: str) -> set[str]:
    """Top-level packages that a program leaves imported."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ended.stdout.split()}


@pytest.mark.parametrize("module", ["train", "prepare", "evaluate", "report", "dashboard"])
def test_nothing_heavy_is_imported_before_a_command_is_checked(module: str) -> None:
    assert not imported(EARLY.format(module=module)) & HEAVY


@pytest.mark.slow
def test_pre_training_starts_without_scikit_learn_and_pandas() -> None:
    found = imported(LATE)
    assert "lightning" in found
    assert not found & {"sklearn", "pandas", "pyarrow", "optuna", "submitit"}
