"""W&B runs: their mode, their id, and what an offline run really holds."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.config import ConfigError
from tiles_ecg.logger.wandb_run import Mode, resolve_mode, run_id, wandb_logger
from tiles_ecg.objective.simclr import SimCLR

Run = Callable[..., Path]


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def inspected(folder: Path) -> list[dict[str, Any]]:
    """What `wandb leet inspect` reads from each run file of a folder, the earliest first."""
    wandb = str(Path(sys.executable).with_name("wandb"))
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        ended = subprocess.run(
            [wandb, "leet", "inspect", "--summary", "--json", str(file)], capture_output=True, text=True, check=True
        )
        found.append(json.loads(ended.stdout))
    return found


def test_auto_is_offline_without_a_key() -> None:
    assert resolve_mode("auto") == "offline"


def test_auto_is_online_with_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert resolve_mode("auto") == "online"


def test_auto_is_online_with_a_key_in_the_netrc_file(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert resolve_mode("auto") == "online"


def test_a_key_of_another_host_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine example.org login user password secret")
    assert resolve_mode("auto") == "offline"


@pytest.mark.parametrize("asked", ["online", "offline", "disabled"])
def test_auto_is_what_wandb_mode_says(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("WANDB_MODE", asked)
    assert resolve_mode("auto") == asked


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_mode_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolve_mode(mode) == mode


def test_online_without_a_key_is_a_mistake_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode = online: there is no API key"):
        wandb_logger(str(tmp_path), "test", mode="online")


def test_the_id_of_a_folder_is_made_once(tmp_path: Path) -> None:
    assert run_id(tmp_path / "a") == run_id(tmp_path / "a")
    assert run_id(tmp_path / "a") != run_id(tmp_path / "b")


def test_a_process_that_is_not_the_first_begins_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    wandb_logger(str(tmp_path), "test", mode="offline")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_offline_run_holds_config_and_metrics_and_goes_on_under_its_id(tiles_train: Run) -> None:
    folder = tiles_train("run", "logger=default", "trainer.max_steps=4")
    tiles_train("run", "logger=default", "trainer.max_steps=6", "resume=true")
    first, second = inspected(folder)
    assert first["config"]["encoder"]["widths"] == [8, 16]
    assert first["exit_code"] == second["exit_code"] == 0
    assert first["run_id"] == second["run_id"] == run_id(folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert second["summary"]["trainer/global_step"] == saved["global_step"] - 1 == 5
    text = (folder / "metrics.csv").read_text().splitlines()
    row = dict(zip(text[0].split(","), text[-1].split(","), strict=True))
    for name in ("train/loss", "val/loss", "probe/heart_rate_r2"):
        assert second["summary"][name] == pytest.approx(float(row[name]))


@pytest.mark.slow
def test_a_run_that_raises_is_finished_as_failed_and_the_next_is_its_own(
    tiles_train: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wandb

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    whole = SimCLR.training_step
    monkeypatch.setattr(SimCLR, "training_step", broken)
    with pytest.raises(ZeroDivisionError):
        tiles_train("failed", "logger=default")
    assert wandb.run is None
    monkeypatch.setattr(SimCLR, "training_step", whole)
    tiles_train("fine", "logger=default", "trainer.max_steps=2")
    (failed,), (fine,) = inspected(tmp_path / "failed"), inspected(tmp_path / "fine")
    assert (failed["exit_code"], fine["exit_code"]) == (1, 0)
    assert failed["run_id"] != fine["run_id"]
