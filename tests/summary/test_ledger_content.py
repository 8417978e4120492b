import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiles_ecg.summary.document import Listing, Picture, Table
from tiles_ecg.summary.ledger import Ledger, Wishes, ledgers
from tiles_ecg.summary.ledger_content import caption, combinations, failures, jobs, runs_section, terminal_text
from tiles_ecg.summary.ledger_csv import ledger_csv, runs_csv
from tiles_ecg.summary.ledger_pictures import ledger_pictures
from tiles_ecg.summary.ledger_runs import find_bundles
from tiles_ecg.summary.rounding import MINUS, NONE

Make = Callable[..., Any]


def read(root: Path) -> list[Ledger]:
    return ledgers(find_bundles([root])[0], Wishes())


def texts(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def half_done(folder: Path, sweep: Make) -> Path:
    """Two temperatures, three seeds: one failed, one not begun."""
    values = {"0.1": [2.0, 2.2, 2.4], "0.5": [3.0, 3.2, None]}
    rows = [
        ({"objective.temperature": t, "seed": str(s)}, "failed" if x is None else {"val/loss": x, "val/rank": 10.0})
        for t, of_row in values.items()
        for s, x in enumerate(of_row)
    ]
    return sweep(folder, [*rows, ({"objective.temperature": "1.0", "seed": "0"}, None)])


def test_all_jobs_are_rows_with_state_step_what_differs_and_what_came_out(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(half_done(tmp_path, sweep))
    table = jobs(ledger)
    assert table.head == ("Run", "State", "Step", "objective.temperature", "seed", "val/loss", "val/rank")
    found = texts(table)
    assert found[0] == ["0-temperature=0.1,seed=0", "finished", "100 of 100", "0.1", "0", "2.000", "10.00"]
    assert found[5][1:] == ["failed", "100 of 100", "0.5", "2", NONE, NONE]
    assert found[6][1:] == ["planned", NONE, "1", "0", NONE, NONE]


def test_a_row_for_what_differs_has_mean_interval_and_difference(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(half_done(tmp_path, sweep))
    table = combinations(ledger)
    assert table is not None
    assert table.head[:4] == ("objective.temperature", "Runs", "val/loss [95 %]", "val/loss: difference [95 %]")
    assert [row[:4] for row in texts(table)] == [
        ["0.1", "3", "2.20 [1.70, 2.70]", "reference"],
        ["0.5", "2 of 3", "3.1 [1.8, 4.4]", "1.000 [1.000, 1.000] (2 pairs)"],
        ["1", "0 of 1", NONE, NONE],
    ]
    assert [row[3].style for row in table.rows] == ["quiet", "strong", "plain"]


def test_one_run_has_no_interval(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(sweep(tmp_path, [({"encoder": e}, {"val/loss": x}) for e, x in (("a", 2.0), ("b", 1.5))]))
    table = combinations(ledger)
    assert table is not None
    assert table.caption.startswith("One finished run each, so no interval.")
    assert texts(table) == [["a", "1", "2.000", "reference"], ["b", "1", "1.500", f"{MINUS}0.5000 (1 pair)"]]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["seed"], "Mean over seeds of finished runs [95 % interval, Student's t over seeds]. The interval speaks"),
        (["dataset.fold"], "Folds share most of the people trained on, so the interval is too short"),
        (["seed", "dataset.fold"], "Mean over seeds of finished runs, folds averaged within each first [95 % interval"),
        (["dataset.draw", "dataset.fold"], "Mean over draws of finished runs, folds averaged within each first"),
        (["protocol.seed"], "All divisions are of the same people"),
    ],
)  # fmt: skip
def test_the_caption_says_what_an_interval_is_of(keys: list[str], said: str, tmp_path: Path, sweep: Make) -> None:
    cells = [{}]
    for key in keys:
        cells = [{**cell, key: value} for cell in cells for value in "01"]
    (ledger,) = read(sweep(tmp_path, [(cell, {"val/loss": 1.0}) for cell in cells]))
    assert said in caption(ledger)


def test_of_judged_runs_the_intervals_over_subjects_are_to_be_quoted(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"dataset.fold": f}, {"test/f1": 0.5}) for f in "01"])
    for run in folder.glob("*/"):
        (run / "protocol.json").write_text(json.dumps({"hash": "h", "about": {"metric": "f1"}}))
    (ledger,) = read(folder)
    assert "The intervals to quote are those over subjects, in the section of the task." in caption(ledger)


def test_a_search_has_its_trials_and_no_means(tmp_path: Path, sweep: Make) -> None:
    rows = [({"optimizer.lr": "0.1"}, {"best/val/loss": 2.0}), ({"optimizer.lr": "0.2"}, {"best/val/loss": 1.0})]
    (ledger,) = read(sweep(tmp_path, rows, search={"monitor": "val/loss", "direction": "minimize"}))
    assert combinations(ledger) is None
    assert jobs(ledger).caption.startswith("All jobs, best best/val/loss first; pruned trials")
    assert [row[3:] for row in texts(jobs(ledger))] == [["0.2", "1.000"], ["0.1", "2.000"]]


def test_failed_jobs_are_named_with_their_error_and_the_command_that_goes_on(tmp_path: Path, sweep: Make) -> None:
    folder = half_done(tmp_path / "my sweep", sweep)
    failed, left = (block for block in runs_section(read(folder), [()]) if isinstance(block, Listing))
    assert failed.items == (f"{folder}/5-temperature=0.5,seed=2: RuntimeError: no space left on the device",)
    assert left.items == (f"""tiles-train -m 'resume='"'"'{folder}'"'"''""",)


def test_a_long_error_keeps_its_head_and_its_end(tmp_path: Path, sweep: Make) -> None:
    folder = half_done(tmp_path, sweep)
    path = folder / "5-temperature=0.5,seed=2" / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "error": f"RuntimeError: {'x' * 999} full disk"}))
    ledgers_ = read(folder)
    (told,) = failures(ledgers_[0].sheet.runs)
    assert len(told) < len(str(folder)) + 350
    assert "RuntimeError: xx" in told
    assert told.endswith("x full disk")
    assert "x" * 999 in runs_csv(ledgers_)


def test_runs_by_themselves_go_on_from_their_checkpoint_or_begin_again(tmp_path: Path, trained: Make) -> None:
    begun = trained(tmp_path / "begun", None, "failed", overrides=["encoder=tcn"])
    (begun / "checkpoints").mkdir()
    (begun / "checkpoints" / "last.ckpt").touch()
    trained(tmp_path / "early", None, "failed", overrides=["encoder=tcn", "seed=1"])
    trained(tmp_path / "done", {"val/loss": 1.0})
    *_, left = (block for block in runs_section(read(tmp_path), [()]) if isinstance(block, Listing))
    assert left.items == (f"tiles-train resume={begun}", "tiles-train encoder=tcn seed=1")


def test_the_terminal_has_jobs_means_failures_and_how_to_go_on(tmp_path: Path, sweep: Make) -> None:
    folder = half_done(tmp_path, sweep)
    text = terminal_text(read(folder), 100)
    assert f"{folder}: simclr: 7 jobs: 5 finished, 1 failed, 1 planned." in text
    assert "#  State           Step  temperature  seed  val/loss  val/rank" in text
    assert "1.000 [1.000, 1.000] (2 pairs) *" in text
    assert "starred where its" in " ".join(text.split())
    assert "failed:\n  " in text
    assert text.endswith(f"go on with:\n  tiles-train -m resume={folder}")
    assert max(map(len, text.splitlines())) <= max(100, len(str(folder)) + 80)


def test_the_sheet_of_runs_has_every_job_and_every_metric(tmp_path: Path, sweep: Make) -> None:
    folder = half_done(tmp_path, sweep)
    rows = list(csv.DictReader(io.StringIO(runs_csv(read(folder)))))
    assert [row["state"] for row in rows] == ["finished"] * 5 + ["failed", "planned"]
    assert rows[1]["objective.temperature"] == "0.1"
    assert rows[1]["seed"] == "1"
    assert float(rows[1]["val/loss"]) == 2.2
    assert rows[5]["error"] == "RuntimeError: no space left on the device"
    assert rows[6]["val/loss"] == rows[6]["step"] == ""


def test_the_sheet_of_the_ledger_has_full_numbers(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(half_done(tmp_path, sweep))
    rows = [row for row in csv.DictReader(io.StringIO(ledger_csv([ledger]))) if row["metric"] == "val/loss"]
    assert [(row["objective.temperature"], row["runs"], row["finished"], row["over"], row["n"]) for row in rows] == [
        ("0.1", "3", "3", "seed", "3"), ("0.5", "3", "2", "seed", "2"), ("1", "1", "0", "seed", "0"),
    ]  # fmt: skip
    found = ledger.lines[0].means["val/loss"]
    assert float(rows[0]["low"]) == pytest.approx(found.low, rel=1e-9)
    assert [row["is_reference"] for row in rows] == ["true", "false", "false"]
    assert (float(rows[1]["difference"]), rows[1]["pairs"], rows[2]["mean"]) == (pytest.approx(1.0), "2", "")


def test_figures_are_drawn_where_there_is_something_to_see(tmp_path: Path, sweep: Make, trained: Make) -> None:
    several, search, single = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    half_done(several, sweep)
    trials = [
        ({"optimizer.lr": str(n)}, came)
        for n, came in enumerate([{"val/loss": 1.0}, "pruned", None, {"val/loss": 0.5}])
    ]
    sweep(search, trials, search={"monitor": "val/loss", "direction": "minimize"})
    trained(single, {"val/loss": 1.0})
    found = {
        root.name: [picture for ledger in read(root) for picture in ledger_pictures(ledger)]
        for root in (several, search, single)
    }
    assert [picture.title for picture in found["a"]] == ["val/loss by what differs", "Differences to the reference"]
    assert "Not shown: 1 of 3 rows." in found["a"][0].caption
    assert "the reference is temperature=0.1" in found["a"][1].caption
    assert [picture.title for picture in found["b"]] == ["The search, trial by trial"]
    assert found["c"] == []
    for picture in (*found["a"], *found["b"]):
        assert isinstance(picture, Picture)
        assert picture.png.startswith(b"\x89PNG")
