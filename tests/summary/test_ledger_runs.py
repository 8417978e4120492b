import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.run_record import RunRecord
from tiles_ecg.summary.ledger_runs import find_bundles
from tiles_ecg.summary.runs import ReportError

Make = Callable[..., Any]
DONE = {"val/loss": 1.0}


def test_every_state_of_a_job_is_told(tmp_path: Path, sweep: Make) -> None:
    jobs = [({"seed": str(n)}, came_out) for n, came_out in enumerate([DONE, "failed", "stopped", "pruned", None])]
    sweep(tmp_path, jobs)
    ((bundle,), setbacks, holders) = find_bundles([tmp_path])
    assert [run.state for run in bundle.runs] == ["finished", "failed", "stopped", "pruned", "planned"]
    assert [run.is_open for run in bundle.runs] == [False, True, True, False, True]
    assert bundle.runs[1].status.error == "RuntimeError: no space left on the device"
    assert (setbacks, holders) == ([], {tmp_path})


def test_a_job_at_work_is_running_and_its_step_is_that_of_its_metrics(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": "0"}, None)])
    with RunRecord(folder / "0-seed=0", "tiles-train", {}, 50):
        (folder / "0-seed=0" / "metrics.csv").write_text("step,val/loss\n0,1.0\n24,0.5\n25,0.")
        ((bundle,), _, _) = find_bundles([tmp_path])
    assert (bundle.runs[0].state, bundle.runs[0].reached, bundle.runs[0].is_open) == ("running", 25, False)


def test_sweeps_and_single_runs_are_found_below_any_folder_once(tmp_path: Path, sweep: Make, trained: Make) -> None:
    folder = sweep(tmp_path / "out" / "b", [({"seed": "0"}, DONE)])
    trained(tmp_path / "out" / "a" / "alone", DONE)
    trained(tmp_path / "out" / "a" / "alone" / "wandb" / "not-a-run", DONE)
    bundles, _, _ = find_bundles([tmp_path, folder / "0-seed=0", folder])
    assert [(b.folder and b.folder.name, [run.folder.name for run in b.runs]) for b in bundles] == [
        ("b", ["0-seed=0"]),
        (None, ["alone"]),
    ]


def test_a_job_of_a_sweep_given_by_itself_is_a_run(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": "7"}, DONE)])
    ((bundle,), _, _) = find_bundles([folder / "0-seed=7"])
    assert (bundle.plan, bundle.runs[0].overrides["seed"]) == (None, "7")


def test_runs_of_tiles_evaluate_have_rows_in_sweeps_only(tmp_path: Path) -> None:
    with RunRecord(tmp_path / "run", "tiles-evaluate"):
        pass
    assert find_bundles([tmp_path])[0] == []


def test_what_is_damaged_is_named_and_the_others_are_read(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": str(n)}, DONE) for n in range(4)])
    (folder / "0-seed=0" / "status.json").write_text('{"state": "fini')
    (folder / "1-seed=1" / "status.json").write_text('{"state": "finished", "started": "x", "metrics": {"a": "b"}}')
    (folder / "2-seed=2" / "config.yaml").write_text("a: [")
    ((bundle,), setbacks, _) = find_bundles([tmp_path])
    assert [run.state for run in bundle.runs] == ["unknown", "unknown", "finished", "finished"]
    assert [(each.path.parent.name, each.path.name) for each in setbacks] == [
        ("0-seed=0", "status.json"), ("1-seed=1", "status.json"), ("2-seed=2", "config.yaml"),
    ]  # fmt: skip
    assert all(each.reason.startswith("damaged: ") for each in setbacks)


def test_the_runs_of_a_sweep_with_a_damaged_plan_are_told_by_themselves(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": str(n)}, DONE) for n in range(2)])
    (folder / "sweep.json").write_text("{")
    ((bundle,), (setback,), _) = find_bundles([tmp_path])
    assert (bundle.plan, len(bundle.runs)) == (None, 2)
    assert setback.path.name == "sweep.json"
    assert "its runs are told by themselves" in setback.reason


def test_a_run_of_an_earlier_version_is_named(tmp_path: Path, trained: Make) -> None:
    (trained(tmp_path / "old", DONE) / "status.json").unlink()
    bundles, (setback,), holders = find_bundles([tmp_path])
    assert (bundles, setback.reason, holders) == ([], "no status.json: made by an earlier version", {tmp_path})


def test_what_a_judged_run_trained_for_itself_is_part_of_it(tmp_path: Path, trained: Make) -> None:
    trained(tmp_path / "run" / "from-scratch-0" / "0", DONE)
    (tmp_path / "run" / "protocol.json").write_text(json.dumps({}))
    assert find_bundles([tmp_path])[0] == []


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="nowhere: no such folder; give the folder of a sweep"):
        find_bundles([tmp_path / "nowhere"])
