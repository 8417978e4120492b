"""What a card says of a report: every number as the sheet has it, and every method that is ahead."""

import csv
from pathlib import Path

import pytest

from tiles_ecg.encoder.encoder_file import EncoderFileError
from tiles_ecg.model_results import read_results, results_text
from tiles_ecg.summary.tables import COLUMNS

WEIGHTS = {"mine": "0123", "other": "4567"}
SHEET = """\
stress,aa,mine,linear,encoder,,auroc,0.8,0.7,0.9
stress,aa,mine,linear,encoder,,f1,0.5,0.4,0.6
stress,aa,mine,linear,encoder,10,auroc,0.99,0.9,1
stress,aa,mine,k-NN,encoder,,auroc,0.7,0.6,0.8
stress,aa,other,linear,encoder,,auroc,0.85,0.75,0.9
stress,aa,majority,none,control,,auroc,0.5,0.5,0.5
age,bb,mine,linear,encoder,,mae,9,8,10
age,bb,mean,none,control,,mae,10.5,9,12
age,bb,heart rate,linear,control,,mae,8.96,8,10
age,bb,other,linear,encoder,,mae,,,
sex,cc,other,linear,encoder,,auroc,0.9,0.8,1
"""


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    rows = [f"{line},20,200,5,5,1,1,{WEIGHTS.get(line.split(',')[2], '')}" for line in SHEET.splitlines()]
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path


def test_the_metric_that_decides_stands_in_the_table_with_its_interval(sheet: Path) -> None:
    text = results_text(read_results(sheet), "mine", "0123", sheet)
    table = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert table == [
        "| age (bb) | mae | **mine, linear** | **9.00 [8.00, 10.0]** | 20 |",
        "| age (bb) | mae | other, linear | not defined | 20 |",
        "| age (bb) | mae | mean | 10.5 [9.00, 12.0] | 20 |",
        "| age (bb) | mae | heart rate, linear | 8.96 [8.00, 10.0] | 20 |",
        "| stress (aa) | auroc | **mine, linear** | **0.800 [0.700, 0.900]** | 20 |",
        "| stress (aa) | auroc | **mine, k-NN** | **0.700 [0.600, 0.800]** | 20 |",
        "| stress (aa) | auroc | other, linear | 0.850 [0.750, 0.900] | 20 |",
        "| stress (aa) | auroc | majority | 0.500 [0.500, 0.500] | 20 |",
    ]


def test_who_is_ahead_is_said_whichever_way_the_metric_goes(sheet: Path) -> None:
    text = results_text(read_results(sheet), "mine", "0123", sheet)
    assert text.splitlines()[-2:] == [
        "- age (mae): 9.00 [8.00, 10.0] at best (linear), behind heart rate, linear 8.96 [8.00, 10.0]",
        "- stress (auroc): 0.800 [0.700, 0.900] at best (linear), behind other, linear 0.850 [0.750, 0.900]",
    ]


def test_where_nobody_is_ahead_that_is_said(sheet: Path) -> None:
    results = [result for result in read_results(sheet) if result.task == "sex"]
    assert results_text(results, "other", "4567", sheet).endswith("No other method here has a better value.")


def test_an_encoder_that_the_report_does_not_know_is_refused(sheet: Path) -> None:
    with pytest.raises(EncoderFileError, match="no encoder 'ours' in it; give --report-name, one of mine, other"):
        results_text(read_results(sheet), "ours", "0123", sheet)


def test_numbers_of_other_weights_are_refused(sheet: Path) -> None:
    with pytest.raises(EncoderFileError, match="mine there has the weights 0123, this model 89ab; judge this one"):
        results_text(read_results(sheet), "mine", "89ab", sheet)


def test_fine_tuned_rows_are_told_from_those_of_the_weights(sheet: Path) -> None:
    assert "not of these weights" not in results_text(read_results(sheet), "mine", "0123", sheet)
    sheet.write_text(sheet.read_text().replace("mine,k-NN", "mine,fine-tuned"))
    assert "not of these weights" in results_text(read_results(sheet), "mine", "0123", sheet)


def test_a_report_that_names_no_weights_is_told_from_one_that_does(sheet: Path) -> None:
    assert "does not say of which weights" not in results_text(read_results(sheet), "mine", "0123", sheet)
    sheet.write_text(sheet.read_text().replace("0123", ""))
    assert "does not say of which weights" in results_text(read_results(sheet), "mine", "0123", sheet)


def test_numbers_that_are_none_are_refused(sheet: Path) -> None:
    sheet.write_text(sheet.read_text().replace("0.85", "much"))
    with pytest.raises(EncoderFileError, match=r"results.csv: damaged \(.*much"):
        read_results(sheet)


def test_a_real_report_is_read_in_full() -> None:
    file = Path(__file__).resolve().parents[1] / "experiments" / "first-evaluation" / "results.csv"
    with file.open() as opened:
        tasks = {row["task"] for row in csv.DictReader(opened)}
    text = results_text(read_results(file), "simclr", "0123", file)
    assert all(f"| {task} (" in text for task in tasks)
    assert "- mitdb_ventricular (auroc): 0.859 [0.738, 0.930] at best (linear), behind heart rate and HRV" in text
