"""What a job asks Slurm for, by its settings and its trainer."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from tiles_ecg.config import ConfigError, config_directory
from tiles_ecg.slurm_settings import Demand, SlurmSettings, number_of_devices


def settings(**changed: Any) -> SlurmSettings:
    """The defaults of the YAML, with some changed."""
    defaults = yaml.safe_load((config_directory() / "hydra/launcher/slurm.yaml").read_text())
    del defaults["_target_"]
    return SlurmSettings.of(defaults | changed)


def trained(**trainer: Any) -> Any:
    return OmegaConf.create({"trainer": {"accelerator": "cpu", "devices": 1, **trainer}})


@pytest.mark.parametrize(
    ("devices", "number"), [(1, 1), (4, 4), ("2", 2), ([0, 3], 2), ("0,1,5", 3), (OmegaConf.create([1]), 1)]
)
def test_devices_are_counted_as_lightning_counts_them(devices: Any, number: int) -> None:
    assert number_of_devices(devices) == number


@pytest.mark.parametrize("devices", ["auto", -1, "-1", 0, None])
def test_a_number_that_only_the_node_knows_is_refused(devices: Any) -> None:
    with pytest.raises(ConfigError, match=rf"trainer.devices = {devices}: .*give trainer.devices=1"):
        number_of_devices(devices)


def test_a_job_asks_for_a_process_a_device() -> None:
    assert settings().demand(trained()) == Demand(1, 1, None)
    assert settings().demand(trained(devices=4, num_nodes=2)) == Demand(2, 4, None)
    assert settings().demand(trained(devices=[0, 1])).n_tasks == 2


def test_a_job_asks_for_gpus_where_its_trainer_wants_them() -> None:
    assert settings().demand(trained(accelerator="gpu", devices=2)) == Demand(1, 2, 2)
    assert settings(gpus_per_node=1).demand(trained(accelerator="auto")) == Demand(1, 1, 1)
    assert settings(gres="gpu:a100:2").demand(trained(accelerator="gpu", devices=2)) == Demand(1, 2, None)


def test_a_program_without_a_trainer_is_one_process() -> None:
    assert settings().demand(OmegaConf.create({"task": None})) == Demand(1, 1, None)


@pytest.mark.parametrize(("key", "of"), [("tasks_per_node", "devices"), ("nodes", "num_nodes")])
def test_settings_that_contradict_the_trainer_are_refused(key: str, of: str) -> None:
    with pytest.raises(ConfigError, match=rf"hydra.launcher.{key} = 3: trainer.{of} = 1; leave {key} out"):
        settings(**{key: 3}).demand(trained())


@pytest.mark.parametrize("minutes", [1, 2, 4])
def test_a_time_that_ends_as_the_job_begins_is_refused(minutes: int) -> None:
    with pytest.raises(ConfigError, match=rf"timeout_min = {minutes} min: .*120 s.*give at least 5 min"):
        settings(timeout_min=minutes)
    settings(timeout_min=5)
    settings(timeout_min=minutes, signal_delay_s=10)


@pytest.mark.parametrize(("key", "value"), [("timeout_min", 1.5), ("cpus_per_task", "many"), ("nodes", True)])
def test_what_is_no_number_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"hydra.launcher.{key} = {value}: a whole number is wanted")):
        settings(**{key: value})


def test_sbatch_is_told_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitit = pytest.importorskip("submitit", reason="pip install 'tiles_ecg[slurm]'")
    (tmp_path / "srun").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = settings(partition="gpu", mem_gb=8, setup=["module load cuda"], additional_parameters={"nice": 10})
    executor = submitit.AutoExecutor(cluster="slurm", folder=tmp_path / "%j")
    executor.update_parameters(**chosen.for_submitit(Demand(2, 4, 4)))
    script = executor._executor._make_submission_file_text("run", "id")
    asked = dict(re.findall(r"#SBATCH --([\w-]+)=?(.*)", script))
    wanted = {
        "partition": "gpu", "mem": "8GB", "nice": "10", "nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "4",
        "cpus-per-task": "4", "time": "1440", "signal": "USR2@120", "requeue": "",
    }  # fmt: skip
    assert {key: asked[key] for key in wanted} == wanted
    lines = script.splitlines()
    begin = lines.index("# setup") + 1
    before = ["export SRUN_CPUS_PER_TASK=4", "export OMP_NUM_THREADS=4", "module load cuda"]
    assert lines[begin : begin + 3] == before
