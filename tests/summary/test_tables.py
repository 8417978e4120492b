import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary import tables
from tiles_ecg.summary.document import Table
from tiles_ecg.summary.runs import find_runs
from tiles_ecg.summary.section import sections
from tiles_ecg.summary.standing import Standing, standing

Fabricate = Callable[..., Any]
RESNET = Method("resnet8", "linear")
OTHER = Method("s4", "linear")
MAJORITY = Method("majority", "none", "control")
HEART_RATE = Method("heart rate and HRV", "linear", "control")
UNTRAINED = Method("untrained", "linear", "control")
SCRATCH = Method("from scratch", "fine-tuned", "control")


@pytest.fixture
def stand(tmp_path: Path, run_folder: Fabricate) -> Callable[..., list[Standing]]:
    """Statistics of predictions, one run for each protocol."""

    def make(*parts: Any, **facts: Any) -> list[Standing]:
        for number, hash_ in enumerate(dict.fromkeys(part.protocol for part in parts)):
            run_folder(tmp_path / str(number), [part for part in parts if part.protocol == hash_], **facts)
        return [standing(section, 60) for section in sections(find_runs([tmp_path])[0])]

    return make


def column(table: Table, title: str) -> dict[str, str]:
    at = table.head.index(title)
    return {row[0].text: row[at].text for row in table.rows}


def test_the_metric_that_decides_comes_first_with_the_value_of_scikit_learn(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    part = fabricate()
    (found,) = stand(part)
    shown = tables.methods(found)
    assert shown.head[:2] == ("Method", "AUROC [95 %]")
    text = column(shown, "AUROC [95 %]")["resnet8, linear"]
    assert float(text.split()[0]) == pytest.approx(roc_auc_score(part.value, part.score[:, 1]), abs=5e-4)
    assert "Brier score (lower is better) [95 %]" in shown.head
    assert column(shown, "Examples")["resnet8, linear"] == "80"
    assert column(shown, "Subjects")["resnet8, linear"] == "20"


def test_controls_that_were_not_run_have_their_row_and_the_command(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    (found,) = stand(
        fabricate(), fabricate(HEART_RATE), command="tiles-evaluate task=af dataset.store=a.h5 protocol.seed=3"
    )
    shown = tables.methods(found)
    names = ["resnet8, linear", "majority or mean", "heart rate and HRV, linear", "untrained", "from scratch"]
    assert [row[0].text for row in shown.rows] == names
    remarks, first = column(shown, "Remarks"), column(shown, "AUROC [95 %]")
    assert first["untrained"] == first["from scratch"] == first["majority or mean"] == "not run"
    assert remarks["untrained"] == "tiles-evaluate task=af dataset.store=a.h5 protocol.seed=3 'encoders=[runs/a]'"
    assert remarks["from scratch"] == (
        "tiles-train -m objective=finetune task=af dataset.store=a.h5 protocol.seed=3 encoder=pretrained "
        "encoder.path=runs/a encoder.fresh=true dataset.fold=0,1,2,3,4"
    )


def test_every_table_has_all_controls_whatever_was_run(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    (found,) = stand(*(fabricate(method) for method in (SCRATCH, UNTRAINED, RESNET, HEART_RATE, MAJORITY)))
    shown = tables.methods(found)
    assert [row[0].text for row in shown.rows] == [
        "resnet8, linear",
        "majority",
        "heart rate and HRV, linear",
        "untrained, linear",
        "from scratch, fine-tuned",
    ]
    assert "not run" not in column(shown, "AUROC [95 %]").values()


def test_the_mean_fills_the_row_of_the_majority_in_a_regression(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    (found,) = stand(*(fabricate(method, kind="regression") for method in (RESNET, MAJORITY)))
    names = [row[0].text for row in tables.methods(found).rows]
    assert names == ["resnet8, linear", "mean", "heart rate and HRV", "untrained", "from scratch"]


def test_each_encoder_is_compared_with_every_control_and_every_other_encoder_once(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    (found,) = stand(*(fabricate(method) for method in (RESNET, OTHER, MAJORITY, UNTRAINED)))
    pairs = {frozenset((c.first.encoder, c.second.encoder)) for c in found.comparisons}
    assert len(found.comparisons) == len(pairs) == 5
    assert frozenset(("majority", "untrained")) not in pairs
    assert "5 comparisons" in tables.comparisons(found).caption


def test_a_paired_difference_is_the_difference_of_the_metrics(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    one, other = fabricate(quality=2.0), fabricate(UNTRAINED, quality=0.5)
    (found,) = stand(one, other)
    expected = roc_auc_score(one.value, one.score[:, 1]) - roc_auc_score(other.value, other.score[:, 1])
    (comparison,) = found.comparisons
    assert comparison.difference.value == pytest.approx(expected)
    assert comparison.outcome == "better"
    assert found.winner == RESNET


def test_less_error_is_better_in_a_regression(stand: Callable[..., list[Standing]], fabricate: Fabricate) -> None:
    one = fabricate(quality=10.0, kind="regression")
    (found,) = stand(one, fabricate(UNTRAINED, quality=1.0, kind="regression"))
    (comparison,) = found.comparisons
    assert comparison.difference.value < 0
    assert comparison.outcome == "better"
    title = "MAE (bpm, lower is better) [95 %]"
    reached = float(column(tables.methods(found), title)["resnet8, linear"].split()[0])
    assert reached == pytest.approx(mean_absolute_error(one.value, one.score[:, 0]), abs=0.005)
    assert found.winner == RESNET


def test_a_method_without_all_folds_is_flagged_and_not_compared(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    (found,) = stand(fabricate(folds=[0, 1, 2]), fabricate(UNTRAINED), fabricate(OTHER))
    assert column(tables.methods(found), "Remarks")["resnet8, linear"].startswith("folds 0-2 of 5")
    assert {c.first.encoder for c in found.comparisons} == {"s4"}
    assert column(tables.overview([found], ["af"]), "af: AUROC")["resnet8, linear"] == "folds 0-2 of 5"


def test_the_best_is_bold_only_where_its_lead_is_resolved(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    clear = stand(fabricate(quality=3.0), fabricate(UNTRAINED, quality=0.2))
    alike = stand(*(replace(fabricate(m, quality=1.0), protocol="dd") for m in (RESNET, OTHER)))
    for found, bold in ((clear[0], 1), (alike[-1], 0)):
        shown = tables.overview([found], ["af"])
        assert sum(cell.style == "strong" for row in shown.rows for cell in row) == bold


def test_few_labels_are_averaged_over_draws(stand: Callable[..., list[Standing]], fabricate: Fabricate) -> None:
    draws = [fabricate(replace(RESNET, n_subjects=n, draw=draw)) for n in (3, 10) for draw in range(3)]
    (found,) = stand(fabricate(), *draws)
    shown = tables.label_efficiency(found)
    assert shown is not None
    assert shown.head == ("Method", "3 subjects", "10 subjects", "all (about 16)")
    mean = np.mean([roc_auc_score(part.value, part.score[:, 1]) for part in draws[:3]])
    text = shown.rows[0][1].text
    assert float(text.split()[0]) == pytest.approx(mean, abs=5e-4)
    assert text.endswith("(3 draws)")
    assert len(tables.methods(found).rows) == 1 + 4  # few labels have no row among the methods


def test_a_draw_without_all_folds_is_left_out_and_said(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    few = replace(RESNET, n_subjects=3)
    (found,) = stand(fabricate(few), fabricate(replace(few, draw=1), folds=[0]), fabricate())
    assert [point.n_draws for point in found.points if not point.is_full] == [1]
    assert "3 training subjects, draw 1: fold 0 of 5: left out of the label efficiency" in found.notes[0]


def test_a_metric_that_is_not_defined_is_said_and_not_a_number(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    part = fabricate()
    (found,) = stand(replace(part, value=np.ones_like(part.value)))
    shown = tables.methods(found)
    assert column(shown, "AUROC [95 %]")["resnet8, linear"] == "undefined"
    assert (
        "AUROC, average precision, balanced accuracy, F1: all 80 examples are of class AF"
        in (column(shown, "Remarks")["resnet8, linear"])
    )
    assert found.winner is None


def test_equal_checks_of_several_runs_are_one_line(tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate) -> None:
    for fold in range(5):
        run_folder(tmp_path / str(fold), [fabricate(folds=[fold])])
    shown = tables.audits(sections(find_runs([tmp_path])[0])[0])
    assert shown is not None
    assert [[cell.text for cell in row] for row in shown.rows] == [
        ["subjects", "passed", "no subject on two sides", "5"],
        ["pretraining", "failed, but accepted", "saw these recordings", "5"],
        ["sealed", "unknown", "not at hand", "5"],
    ]


def test_the_sheet_has_a_line_for_each_method_and_metric(
    stand: Callable[..., list[Standing]], fabricate: Fabricate
) -> None:
    few = fabricate(replace(RESNET, n_subjects=3))
    (found,) = stand(fabricate(), fabricate(UNTRAINED), few)
    rows = list(csv.DictReader(io.StringIO(tables.results([found]))))
    assert len(rows) == 2 * 5 + 1
    assert (
        len({(row["task"], row["protocol"], row["encoder"], row["training_subjects"], row["metric"]) for row in rows})
        == 11
    )
    first = rows[0]
    assert (first["task"], first["protocol"], first["encoder"], first["metric"]) == (
        "af",
        "0123456789ab",
        "resnet8",
        "auroc",
    )
    assert float(first["low"]) <= float(first["value"]) <= float(first["high"])
    assert (first["n_subjects"], first["n_examples"], first["folds"], first["seeds"]) == ("20", "80", "5", "1")
    assert rows[-1]["training_subjects"] == "3"


def test_the_sheet_says_of_which_weights_an_encoder_is(
    tmp_path: Path, run_folder: Fabricate, fabricate: Fabricate
) -> None:
    facts = {"resnet8": {"path": "runs/a", "digest": "01ab"}, "untrained": {"digest": "none of its own"}}
    run_folder(tmp_path / "run", [fabricate(), fabricate(UNTRAINED)], encoders=facts)
    found = standing(sections(find_runs([tmp_path])[0])[0], 50)
    rows = list(csv.DictReader(io.StringIO(tables.results([found]))))
    assert {(row["encoder"], row["weights"]) for row in rows} == {("resnet8", "01ab"), ("untrained", "")}
