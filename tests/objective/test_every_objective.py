"""Every objective: two processes give the gradient that one gives on the global batch, whoever starts them."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tiles_ecg.config import config_directory

PROGRAM = Path(__file__).with_name("two_processes.py")
STARTED = {
    "alone": [sys.executable, str(PROGRAM), "1"],
    "our launcher": [sys.executable, str(PROGRAM), "launcher"],
    "torchrun": [
        sys.executable,
        *["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
        str(PROGRAM),
        "2",
    ],
}


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_processes", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gradient(tone_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Tensor]]:
    """Gradients of all parameters of all cases, by what starts the processes; each is started once."""
    folder = tmp_path_factory.mktemp("gradients")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}

    def found(how: str) -> dict[str, Tensor]:
        file = folder / f"{how}.pt"
        if not file.exists():
            command = [*STARTED[how], str(tone_store), str(file)]
            ended = subprocess.run(
                command, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
            )
            assert ended.returncode == 0, ended.stderr
        return torch.load(file, weights_only=True)  # type: ignore[no-any-return]

    return found


def test_every_objective_has_a_case() -> None:
    names = {path.stem for path in (config_directory() / "objective").glob("*.yaml")}
    assert {name for name, _, _ in program().CASES.values()} == names


@pytest.mark.slow
@pytest.mark.parametrize("how", ["our launcher", "torchrun"])
def test_two_processes_give_the_gradient_of_one_on_the_global_batch(
    gradient: Callable[[str], dict[str, Tensor]], how: str
) -> None:
    alone, shared = gradient("alone"), gradient(how)
    assert shared.keys() == alone.keys()
    assert {name.split(".")[1] for name in alone} == set(program().CASES)
    for name, expected in alone.items():
        largest = expected.abs().max()
        assert largest > 1e-5, name
        assert (shared[name] - expected).abs().max() <= 1e-6 * largest, name
