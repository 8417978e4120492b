"""Who started a process: Slurm's variables mislead within an allocation, and a mistake is told before anyone waits."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from tiles_ecg.config import ConfigError
from tiles_ecg.distributed.environment import (
    Started,
    check_devices,
    cluster_plugins,
    is_first_process,
    refuse_sweep_from_outside,
    started_from_outside,
)

ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
STEP = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_NODEID": "0"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("SLURM", "TORCHELASTIC")) or name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
            monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def trainer(devices: int, nodes: int = 1) -> Any:
    strategy = SimpleNamespace(cluster_environment=LightningEnvironment())
    return SimpleNamespace(num_devices=devices, num_nodes=nodes, strategy=strategy)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (TORCHRUN, Started("torchrun", 4, 3)),
        (ALLOCATION | STEP, Started("srun", 2, 1)),
        (ALLOCATION, None),  # a batch script, or a shell in an allocation
        (ALLOCATION | STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),  # srun --pty bash, or a job of one task
        (ALLOCATION | STEP | TORCHRUN, Started("torchrun", 4, 3)),  # srun starts a torchrun on each node
    ],
)
def test_only_torchrun_and_srun_with_several_tasks_start_several_processes(
    variables: dict[str, str], expected: Started | None
) -> None:
    assert started_from_outside(variables) == expected


def test_in_a_shell_of_an_allocation_this_process_starts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ALLOCATION)
    (environment,) = cluster_plugins()
    assert isinstance(environment, LightningEnvironment)
    assert not environment.creates_processes_externally
    check_devices(trainer(2))


def test_processes_of_srun_leave_requeueing_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ALLOCATION | STEP | {"SLURM_NTASKS_PER_NODE": "2"})
    (environment,) = cluster_plugins()
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    assert environment.global_rank() == 1


def test_srun_without_the_number_of_tasks_a_node_is_told_what_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ALLOCATION | STEP)
    with pytest.raises(ConfigError, match="srun --ntasks-per-node=N"):
        cluster_plugins()


def test_without_slurm_and_under_torchrun_lightning_finds_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_plugins() == []
    given(monkeypatch, TORCHRUN)
    assert cluster_plugins() == []


def test_another_number_of_processes_than_of_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, TORCHRUN)
    check_devices(trainer(2, 2))
    with pytest.raises(ConfigError, match=r"trainer.devices = 1, trainer.num_nodes = 1: torchrun started 4 processes"):
        check_devices(trainer(1))


def test_processes_of_other_nodes_need_somebody_to_start_them() -> None:
    with pytest.raises(ConfigError, match=r"trainer.num_nodes = 2: this process cannot start those of other nodes"):
        check_devices(trainer(4, 2))


def test_a_sweep_in_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sweep_from_outside()
    assert is_first_process()
    given(monkeypatch, TORCHRUN)
    assert not is_first_process()
    with pytest.raises(ConfigError, match="a sweep: torchrun started 4 processes of it; start one"):
        refuse_sweep_from_outside()
