"""The id of the W&B run of a folder."""

from pathlib import Path

from tiles_ecg.logger.wandb_folder import run_id


def test_the_id_of_a_folder_is_made_once_and_anew_only_for_a_run_that_begins_anew(tmp_path: Path) -> None:
    first = run_id(tmp_path / "a")
    assert run_id(tmp_path / "a") == run_id(tmp_path / "a", is_anew=True) == first
    assert run_id(tmp_path / "b") != first
    (tmp_path / "a" / "wandb" / f"offline-run-20260101_000000-{first}").mkdir(parents=True)
    assert run_id(tmp_path / "a") == first
    assert run_id(tmp_path / "a", is_anew=True) != first
