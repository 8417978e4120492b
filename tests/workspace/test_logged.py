import json
from pathlib import Path

import pytest

from tiles_ecg.workspace.description import DashboardError
from tiles_ecg.workspace.logged import find_logged


def written(folder: Path, columns: str = "step,train/loss,val/loss", **files: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(f"{columns}\n0,1.0,\n")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_the_columns_of_metrics_csv_are_numbers(tmp_path: Path) -> None:
    (found,) = find_logged([written(tmp_path / "run")])
    assert found.kinds == {"trainer/global_step": "number", "train/loss": "number", "val/loss": "number"}
    assert found.job_type == "pretrain"
    assert not found.has_wandb


def test_pictures_of_a_run_without_wandb_are_images(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    (run / "pictures").mkdir()
    for name in ("views", "embedding_map", "embedding_map_untrained"):
        (run / "pictures" / f"{name}.png").touch()
    (found,) = find_logged([run])
    assert {name for name, kind in found.kinds.items() if kind == "image"} == {
        "pictures/views",
        "pictures/embedding_map",
        "pictures/embedding_map/untrained",
    }


@pytest.mark.parametrize(
    ("files", "job_type"),
    [
        ({"protocol": {"job": "fusion"}}, "fusion"),
        ({"protocol": {"hash": "aa"}}, "pretrain"),
        ({"status": {"program": "tiles-evaluate"}, "protocol": {"hash": "aa"}}, "evaluate"),
        ({"status": [], "protocol": 3}, "pretrain"),
    ],
)
def test_what_a_run_is_stands_in_its_folder(files: dict[str, object], job_type: str, tmp_path: Path) -> None:
    (found,) = find_logged([written(tmp_path / "run", **files)])
    assert found.job_type == job_type


def test_runs_are_found_below_a_folder_each_once(tmp_path: Path) -> None:
    for name in ("sweep/0-seed=0", "sweep/1-seed=1", "other"):
        written(tmp_path / name, status={})
    assert [run.folder.name for run in find_logged([tmp_path])] == ["other", "0-seed=0", "1-seed=1"]


def test_jobs_that_have_logged_nothing_yet_are_left_out(tmp_path: Path) -> None:
    written(tmp_path / "sweep" / "0")
    (tmp_path / "sweep" / "1").mkdir()
    (tmp_path / "sweep" / "1" / "status.json").write_text("{}")
    assert [run.folder.name for run in find_logged([tmp_path / "sweep"])] == ["0"]


def test_a_folder_without_a_run_is_answered(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="nowhere: no such folder; give run folders"):
        find_logged([tmp_path / "nowhere"])
    with pytest.raises(DashboardError, match="no run that logged anything is in it"):
        find_logged([tmp_path])


def test_a_wandb_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    broken = run / "wandb" / "offline-run-1-abc" / "run-abc.wandb"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(DashboardError, match=r"run-abc\.wandb: W&B cannot read it \(.+\); remove that folder"):
        find_logged([run])
