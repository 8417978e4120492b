"""Processes that were started from outside: one config, one voice, and an end together."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning import Trainer

from tiles_ecg.config import ConfigError
from tiles_ecg.distributed.agreement import agree, as_config, in_turn
from tiles_ecg.run_record import RunPruned

PROGRAM = Path(__file__).with_name("several_ranks.py")
pytestmark = pytest.mark.filterwarnings("ignore:.*srun")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
    command = [sys.executable, *["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]]
    ended = subprocess.run(
        [*command, str(PROGRAM), str(folder)],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_all_ranks_get_the_config_of_the_first(ranks: list[dict[str, Any]]) -> None:
    assert [found["config"] for found in ranks] == [{"lr": 0.5}, {"lr": 0.5}]


@pytest.mark.slow
def test_what_the_first_makes_the_others_find(ranks: list[dict[str, Any]]) -> None:
    assert [found["was made"] for found in ranks] == [False, True]


@pytest.mark.slow
def test_a_failure_of_one_ends_all_and_the_first_tells_it(ranks: list[dict[str, Any]]) -> None:
    assert [found["mistake of rank 1"] for found in ranks] == [
        "ConfigError: process 1 of 2: dataset.store = x: not there",
        "SystemExit: 2",
    ]
    assert [found["failure of rank 1"] for found in ranks] == [
        "OtherProcessError: process 1 of 2: worn out",
        "SystemExit: 1",
    ]
    assert [found["failure of rank 0"] for found in ranks] == ["ValueError: worn out", "SystemExit: 1"]


@pytest.mark.slow
def test_another_config_store_or_step_on_one_rank_stops_all(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        assert found["same"] is None  # wherever the store lies
        for what in ("other seed", "other store", "other step"):
            assert found[what].startswith("DisagreementError: processes 1 of 2 were about to train by another config")


@pytest.mark.slow
def test_nobody_leaves_before_the_first_has_done_what_it_does_alone(ranks: list[dict[str, Any]]) -> None:
    assert [found["first was done"] for found in ranks] == [True, True]


def test_one_process_keeps_its_config_and_makes_its_parts_itself() -> None:
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    config = {"seed": 3}
    assert agree(trainer, config) is config
    assert in_turn(trainer, lambda: 5) == 5


def test_processes_that_would_be_forked_or_spawned_are_refused() -> None:
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp_spawn", logger=False, enable_checkpointing=False)
    with pytest.raises(ConfigError, match="forked or spawned are not served; give ddp"):
        agree(trainer, {})


def test_a_later_process_of_a_trial_that_the_search_gives_up_ends_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As torchrun or srun started it: a failure of its own would end the whole job as failed."""
    from tiles_ecg import train

    ran = []

    def run(*_: Any) -> None:
        ran.append("so far")
        raise RunPruned

    for name, does in {
        "build_trainer": lambda cfg: SimpleNamespace(is_global_zero=False, world_size=1),
        "agree": lambda trainer, config: config,
        "checkpoint_to_go_on_from": lambda *_: None,
        "build": lambda *_: None,
        "_run": run,
    }.items():
        monkeypatch.setattr(train, name, does)
    train.train(as_config({"run_dir": str(tmp_path / "run")}))
    assert ran == ["so far"]
    assert list(tmp_path.iterdir()) == []
