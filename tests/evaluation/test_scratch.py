"""Training from scratch: the same task, stores and folds, the network of the candidate, and a failure that is told."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiles_ecg.evaluation.scratch import PROGRAM, ScratchError, network_overrides, scratch_command, train_from_scratch

TYPED = [
    "task=cinc2017_af",
    "task.metric=f1",
    "dataset.store=a.h5",
    "protocol.seed=3",
    "encoders=[x]",
    "encoder=resnet18",
    "encoder.dropout=0.1",
    "controls.scratch_steps=9",
    "audit.accept=[pretraining]",
]


def candidate(name: str, widths: list[int], path: str = "run/last.safetensors", normalise: str = "subject") -> Any:
    return SimpleNamespace(
        name=name,
        architecture={"widths": widths},
        windows=SimpleNamespace(normalise=normalise),
        strict=path != "loose.ckpt",
        trusted=("mine", "yours") if path == "loose.ckpt" else (),
        about=SimpleNamespace(path=Path(path)),
    )


def test_what_means_the_same_to_both_commands_is_passed_on() -> None:
    command = scratch_command(TYPED, ["encoder=resnet18"], 3, 9, "out/a=b")
    assert command == [
        "-m",
        "objective=finetune",
        "task=cinc2017_af",
        "task.metric=f1",
        "dataset.store=a.h5",
        "protocol.seed=3",
        "encoder=resnet18",
        "dataset.fold=0,1,2",
        "trainer.max_steps=9",
        "logger=csv",
        "hydra.sweep.dir='out/a=b'",
    ]


def test_without_candidates_the_network_is_that_of_the_command() -> None:
    assert network_overrides(TYPED, []) == {"": ["encoder=resnet18", "encoder.dropout=0.1"]}


def test_an_encoder_of_another_package_is_trained_as_it_was_opened() -> None:
    (network,) = network_overrides(TYPED, [candidate("a", [8], "loose.ckpt")]).values()
    assert network[-2:] == ["encoder.strict=false", "encoder.trusted=[mine,yours]"]


def test_every_architecture_is_trained_once_with_first_weights_and_its_own_normalisation() -> None:
    candidates = [
        candidate("a", [8]),
        candidate("b", [8], "other.ckpt"),
        candidate("c", [16], "it's.ckpt"),
        candidate("d", [8], normalise="window"),
    ]
    found = network_overrides([], candidates)
    assert list(found) == ["a", "c", "d"]
    assert found["a"] == [
        "encoder=pretrained",
        "encoder.path=run/last.safetensors",
        "encoder.fresh=true",
        "dataset.normalise=subject",
    ]
    assert found["c"][1] == r"encoder.path='it\'s.ckpt'"
    assert found["d"][3] == "dataset.normalise=window"


def test_training_ends_with_the_process_that_started_it_however_that_ends() -> None:
    command = [sys.executable, "-c", PROGRAM, "--help"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as left_alone:
        assert left_alone.stdin is not None
        left_alone.stdin.close()  # as the system does when a process is killed
    assert left_alone.returncode == -signal.SIGTERM
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as waited_for:
        assert waited_for.wait() == 0


def test_a_failure_names_the_log_and_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ScratchError, match=r"no such option.*tiles-train\.log"):
        train_from_scratch(["objective=nothing"], tmp_path / "scratch", 1)
