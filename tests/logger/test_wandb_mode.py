"""Where W&B runs go."""

from pathlib import Path

import pytest

from tiles_ecg.logger.wandb_mode import Mode, resolve_mode


def test_auto_is_offline_without_a_key() -> None:
    assert resolve_mode("auto") == "offline"


def test_auto_is_online_with_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert resolve_mode("auto") == "online"


def test_auto_is_online_with_a_key_in_the_netrc_file(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert resolve_mode("auto") == "online"


def test_auto_is_online_with_a_key_that_wandb_login_wrote(tmp_path: Path) -> None:
    import wandb

    (tmp_path / "netrc").write_text(f"machine {wandb.Settings().base_url[8:]} login user password " + "0" * 40)
    assert resolve_mode("auto") == "online"


def test_the_key_of_a_server_of_ones_own_is_known_by_host_and_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine wandb.example:8080 login user password " + "0" * 40)
    assert resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.example:8080")
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
