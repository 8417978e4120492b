import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tiles_ecg.summary.ledger import Ledger, Wishes, ledgers
from tiles_ecg.summary.ledger_runs import find_bundles
from tiles_ecg.summary.runs import ReportError

Make = Callable[..., Any]
LOSS = {"a": [1.0, 2.0, 4.0], "b": [1.5, 2.4, 4.6]}


def read(root: Path, *metrics: str, **against: str) -> list[Ledger]:
    return ledgers(
        find_bundles([root])[0], Wishes(metrics, {key.replace("__", "."): value for key, value in against.items()})
    )


def two_encoders(folder: Path, sweep: Make) -> Path:
    jobs = [
        ({"encoder": e, "seed": str(s)}, {"val/loss": x}) for e, values in LOSS.items() for s, x in enumerate(values)
    ]
    return sweep(folder, jobs)


def test_means_intervals_and_differences_are_scipys(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(two_encoders(tmp_path, sweep))
    first, second = ledger.lines
    for line, values in ((first, LOSS["a"]), (second, LOSS["b"])):
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        found = line.means["val/loss"]
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    expected = stats.ttest_rel(LOSS["b"], LOSS["a"]).confidence_interval(0.95)
    assert first.difference is None
    assert second.difference is not None
    assert (second.difference.low, second.difference.high) == pytest.approx((expected.low, expected.high))


def test_another_row_can_be_the_reference(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(two_encoders(tmp_path, sweep), encoder="b")
    assert ledger.reference == 1
    assert ledger.lines[0].difference is not None
    assert ledger.lines[0].difference.value == pytest.approx(-0.5)


def test_a_reference_is_found_by_equal_numbers_and_by_shortened_paths(tmp_path: Path, sweep: Make) -> None:
    jobs = [
        ({"optimizer.lr": lr, "encoder.path": p}, {"val/loss": 1.0})
        for lr in ("1e-3", "0.1")
        for p in ("x/a/b", "x/a/c")
    ]
    (ledger,) = read(sweep(tmp_path, jobs), optimizer__lr="0.001", encoder__path="a/c")
    assert ledger.reference == 1


@pytest.mark.parametrize("against", [{"encoder": "c"}, {"speed": "1"}])
def test_a_reference_that_is_not_one_row_is_answered_by_those_there_are(
    against: dict[str, str], tmp_path: Path, sweep: Make
) -> None:
    with pytest.raises(ReportError, match=r"not exactly one row has that; there are:\n  encoder=a\n  encoder=b"):
        read(two_encoders(tmp_path, sweep), **against)


def test_where_no_rows_differ_there_is_none_to_compare_with(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": str(n)}, {"val/loss": float(n)}) for n in range(2)])
    with pytest.raises(ReportError, match="not exactly one row has that; nothing differs but seeds and folds"):
        read(folder, seed="0")


def test_only_finished_runs_count(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": str(n)}, {"val/loss": float(n)}) for n in range(4)])
    path = folder / "3-seed=3" / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "failed"}))
    (ledger,) = read(folder)
    assert (ledger.lines[0].means["val/loss"].value, ledger.lines[0].n_finished) == (1.0, 3)


def test_numbers_that_are_none_are_left_out(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(
        sweep(tmp_path, [({"seed": str(n)}, {"val/loss": x}) for n, x in enumerate([1.0, 2.0, math.nan, math.inf])])
    )
    assert (ledger.lines[0].means["val/loss"].value, ledger.lines[0].means["val/loss"].n) == (1.5, 2)


def test_folds_within_seeds_and_folds_alone_are_told_apart(tmp_path: Path, sweep: Make) -> None:
    both = sweep(tmp_path / "a", [({"seed": s, "dataset.fold": f}, {"val/loss": 1.0}) for s in "01" for f in "012"])
    alone = sweep(tmp_path / "b", [({"dataset.fold": f}, {"val/loss": 1.0}) for f in "012"])
    neither = sweep(tmp_path / "c", [({"encoder": e}, {"val/loss": 1.0}) for e in "ab"])
    found = [(ledger.unit, ledger.inner) for root in (both, alone, neither) for ledger in read(root)]
    assert found == [("seed", ["fold"]), ("fold", []), ("", [])]


def test_metrics_that_matter_are_shown_the_monitored_one_first(tmp_path: Path, sweep: Make) -> None:
    metrics = {"train/loss": 1.0, "probe/x": 1.0, "val/alignment": 1.0, "best/val/loss": 1.0, "val/loss": 1.0}
    (ledger,) = read(sweep(tmp_path, [({"seed": "0"}, metrics)]))
    assert ledger.metrics == ("val/loss", "best/val/loss", "val/alignment", "probe/x")
    assert ledger.mode == "min"


def test_the_test_side_decides_by_the_metric_of_the_protocol(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": "0"}, {"val/loss": 1.0, "test/f1": 0.5, "test/auroc": 0.9})])
    about = {"metric": "auroc", "task": "af"}
    (folder / "0-seed=0" / "protocol.json").write_text(json.dumps({"hash": "h", "about": about}))
    (ledger,) = read(folder)
    assert ledger.metrics == ("test/auroc", "test/f1", "val/loss")
    assert ledger.mode == ""


def test_metrics_are_chosen_and_ordered_by_wish(tmp_path: Path, sweep: Make) -> None:
    folder = sweep(tmp_path, [({"seed": "0"}, {"val/loss": 1.0, "train/loss": 2.0})])
    (ledger,) = read(folder, "train/loss", "val/loss")
    assert ledger.metrics == ("train/loss", "val/loss")
    with pytest.raises(ReportError, match="--metric val/los: no run has logged it; there are: train/loss, val/loss"):
        read(folder, "val/los")


def test_without_any_number_there_is_still_a_ledger(tmp_path: Path, sweep: Make) -> None:
    (ledger,) = read(sweep(tmp_path, [({"encoder": e}, None) for e in "ab"]))
    assert (ledger.metrics, ledger.deciding, len(ledger.lines)) == ((), "", 2)


@pytest.mark.parametrize(("direction", "order"), [("minimize", [1, 0, 3, 2]), ("maximize", [0, 1, 3, 2])])
def test_trials_are_listed_best_first_pruned_ones_after_them(
    direction: str, order: list[int], tmp_path: Path, sweep: Make
) -> None:
    jobs = [
        ({"optimizer.lr": "1"}, {"best/val/x": 3.0, "val/x": 9.0, "test/auroc": 1.0}),
        ({"optimizer.lr": "2"}, {"best/val/x": 2.0, "val/x": 2.5}),
        ({"optimizer.lr": "3"}, None),
        ({"optimizer.lr": "4"}, {"best/val/x": 1.0}),
    ]
    folder = sweep(tmp_path, jobs, search={"monitor": "val/x", "direction": direction})
    path = folder / "3-lr=4" / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "pruned"}))
    (ledger,) = read(folder)
    assert ledger.deciding == "best/val/x"
    assert [run.number for run in ledger.trials] == order
