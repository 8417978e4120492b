import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.summary.ledger_runs import find_bundles
from tiles_ecg.summary.ledger_sheet import Sheet, canonical, sheets, short_keys, shown_values

Make = Callable[..., Any]
DONE = {"val/loss": 1.0}


def read(root: Path) -> list[Sheet]:
    return [sheet for bundle in find_bundles([root])[0] for sheet in sheets(bundle)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", "0.001"), ("0.0010", "0.001"), ("10.0", "10"), ("+5", "5"), ("-5", "-5"), ("1e6", "1000000"),
        ("True", "true"), ("None", "null"), ("", "null"), ("'a b'", "a b"), ("[a, b]", "[a,b]"), ("resnet8", "resnet8"),
        ("12:30", "12:30"), ("1_000", "1_000"),
    ],
)  # fmt: skip
def test_one_value_has_one_text(text: str, value: str) -> None:
    assert canonical(text) == value


def test_paths_are_shown_by_their_last_two_parts_where_that_tells_them_apart() -> None:
    assert shown_values(["out/a/best.ckpt", "out/b/best.ckpt"]) == {
        "out/a/best.ckpt": "a/best.ckpt", "out/b/best.ckpt": "b/best.ckpt",
    }  # fmt: skip
    alike = ["x/a/best.ckpt", "y/a/best.ckpt"]
    assert shown_values(alike) == {path: path for path in alike}


def test_keys_are_short_where_that_tells_them_apart() -> None:
    assert short_keys(["optimizer.lr", "seed", "a.p", "b.p"]) == {
        "optimizer.lr": "lr", "seed": "seed", "a.p": "a.p", "b.p": "b.p",
    }  # fmt: skip


def test_rows_are_what_differs_apart_from_seeds_and_folds(tmp_path: Path, sweep: Make) -> None:
    jobs = [
        ({"encoder": e, "seed": s, "dataset.fold": f}, DONE)
        for e in ("resnet8", "resnet18")
        for s in "01"
        for f in "012"
    ]
    sweep(tmp_path / "s", jobs)
    (sheet,) = read(tmp_path)
    assert sheet.keys == ("encoder",)
    assert sheet.replicates == ("seed", "dataset.fold")
    assert [row.values for row in sheet.rows] == [("resnet8",), ("resnet18",)]
    assert [len(row.cells) for row in sheet.rows] == [6, 6]


def test_what_is_the_same_for_all_is_not_told(tmp_path: Path, sweep: Make) -> None:
    sweep(
        tmp_path,
        [({"optimizer.lr": lr, "seed": s, "encoder": "resnet8"}, DONE) for lr in ("1e-3", "0.001") for s in "0"],
    )
    (sheet,) = read(tmp_path)
    assert sheet.keys == ()
    assert sheet.rows[0].n_repeats == 1


def test_a_planned_job_is_in_the_sheet_of_the_others(tmp_path: Path, sweep: Make) -> None:
    sweep(tmp_path, [({"encoder": "resnet8"}, DONE), ({"encoder": "resnet18"}, None), ({"encoder": "tcn"}, "failed")])
    (sheet,) = read(tmp_path)
    assert [run.state for run in sheet.runs] == ["finished", "planned", "failed"]
    assert sheet.objective == "simclr"
    assert sheet.level is None


def test_a_sweep_of_planned_jobs_only_is_one_sheet(tmp_path: Path, sweep: Make) -> None:
    sweep(tmp_path, [({"encoder": "resnet8", "seed": s}, None) for s in "01"])
    (sheet,) = read(tmp_path)
    assert len(sheet.rows) == 1
    assert sheet.replicates == ("seed",)


def test_stages_and_objectives_have_sheets_of_their_own(tmp_path: Path, sweep: Make, trained: Make) -> None:
    sweep(tmp_path / "s", [({"seed": "0"}, DONE), ({"seed": "0"}, None)], stages=["pretrain", "finetune"])
    trained(tmp_path / "alone", DONE, choices={"objective": "probe", "task": "af"})
    trained(tmp_path / "other", DONE)
    found = [(sheet.stage, sheet.objective, sheet.task) for sheet in read(tmp_path)]
    assert found == [("pretrain", "simclr", ""), ("finetune", "", ""), ("", "probe", "af"), ("", "simclr", "")]


def test_runs_judged_by_different_yardsticks_never_share_a_sheet(tmp_path: Path, sweep: Make) -> None:
    choices, config = {"objective": "finetune", "task": "af"}, {"task": {"name": "af"}}
    jobs = [({"dataset.min_quality": q, "protocol.seed": s}, DONE) for q in ("0.0", "0.5") for s in "01"]
    folder = sweep(
        tmp_path, [*jobs, ({"dataset.min_quality": "0.9", "protocol.seed": "0"}, None)], choices=choices, config=config
    )
    for number, run in enumerate(sorted(path.parent for path in folder.glob("*/status.json"))):
        about = {
            "task": "af",
            "windows": {"n": 90 - number // 2},
            "seed": number % 2,
            "split": str(number),
            "metric": "f1",
        }
        (run / "protocol.json").write_text(json.dumps({"hash": f"h{number}", "about": about}))
    found = read(tmp_path)
    assert [sheet.hashes for sheet in found] == [["h0", "h1"], ["h2", "h3"], []]
    assert [sheet.replicates for sheet in found] == [("protocol.seed",), ("protocol.seed",), ()]


def test_of_runs_by_themselves_what_a_command_does_not_say_is_looked_up(tmp_path: Path, trained: Make) -> None:
    trained(
        tmp_path / "a",
        DONE,
        overrides=["optimizer.lr=1e-3", "seed=0", "logger=csv"],
        config={"optimizer": {"lr": 0.001}},
    )
    trained(
        tmp_path / "b", DONE, overrides=["encoder=resnet18", "dataset.batch_size=32"], config={"optimizer": {"lr": 0.1}}
    )
    (sheet,) = read(tmp_path)
    assert dict(zip(sheet.keys, sheet.rows[0].values, strict=True)) == {
        "optimizer.lr": "0.001", "encoder": "resnet8", "dataset.batch_size": "64",
    }  # fmt: skip
    assert dict(zip(sheet.keys, sheet.rows[1].values, strict=True))["encoder"] == "resnet18"


def test_a_path_that_names_the_runs_own_seed_is_one_row(tmp_path: Path, sweep: Make) -> None:
    jobs = [
        ({"encoder.path": f"out/{name}/pretrain-seed={seed}", "seed": seed}, DONE)
        for name in ("simclr", "byol")
        for seed in ("1", "11")
    ]
    sweep(tmp_path, jobs)
    (sheet,) = read(tmp_path)
    assert [row.values for row in sheet.rows] == [("out/simclr/pretrain-seed=*",), ("out/byol/pretrain-seed=*",)]


def test_of_a_run_made_twice_the_one_that_finished_last_counts(tmp_path: Path, trained: Make) -> None:
    for name, ended, state in (
        ("a", "2026-01-02", "finished"),
        ("b", "2026-01-01", "finished"),
        ("c", "2026-01-03", "failed"),
    ):
        path = trained(tmp_path / name, DONE, overrides=["seed=3"]) / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "ended": ended, "state": state}))
    (sheet,) = read(tmp_path)
    ((cell, run),) = sheet.rows[0].cells.items()
    assert (cell[0], run.folder.name, sheet.rows[0].n_repeats) == ("3", "a", 2)
