"""metrics.csv: rows, columns, crashes."""

from pathlib import Path

import torch

from tiles_ecg.logger.metrics_csv import MetricsCsv


def test_a_step_is_one_row_and_a_metric_one_column(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    logger.log_metrics({"train/loss": torch.tensor(0.5), "epoch": 0}, 1)
    logger.log_metrics({"val/loss": 2.0, "epoch": 0}, 1)
    logger.log_metrics({"train/loss": 0.25}, 3)
    assert logger.path.read_text() == "step,train/loss,val/loss\n1,0.5,2.0\n3,0.25,\n"


def test_a_row_is_in_the_file_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    logger.log_metrics({"a": 1.0, "b": 2.0}, 0)
    logger.log_metrics({"a": 3.0}, 1)
    assert logger.path.read_text().endswith("\n1,3.0,\n")
    logger.log_metrics({"b": 4.0}, 1)
    assert logger.path.read_text().endswith("\n1,3.0,4.0\n")
    logger.log_metrics({"a": 5.0}, 1)
    assert logger.path.read_text().endswith("\n1,5.0,4.0\n")


def test_numbers_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    value = torch.tensor(1 / 3)
    logger.log_metrics({"a": value}, 0)
    assert float(logger.path.read_text().split(",")[-1]) == float(value)


def test_a_resumed_run_drops_the_rows_of_the_steps_it_makes_again(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    for step in range(5):
        logger.log_metrics({"a": float(step)}, step)
    again = MetricsCsv(str(tmp_path / "metrics.csv"))
    again.resume(3)
    assert again.path.read_text() == "step,a\n0,0.0\n1,1.0\n2,2.0\n"
    again.log_metrics({"a": 33.0, "b": 1.0}, 3)
    assert again.path.read_text() == "step,a,b\n0,0.0,\n1,1.0,\n2,2.0,\n3,33.0,1.0\n"


def test_a_run_that_begins_anew_in_the_folder_begins_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,old\n0,1.0\n")
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    logger.resume(0)
    logger.log_metrics({"a": 1.0}, 0)
    assert logger.path.read_text() == "step,a\n0,1.0\n"


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    whole = "step,a,b\n0,1.0,2.0\n1,3.0,4.0\n"
    for cut in ("2", "2,5", "2,5.0,", "2,5.0,6.", "2,5.0,6.0"):
        path.write_text(whole + cut)
        logger = MetricsCsv(str(path))
        logger.resume(2)
        logger.log_metrics({"a": 7.0}, 2)
        assert path.read_text() == whole + "2,7.0,\n"


def test_a_file_cut_short_in_its_first_line_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,trai")
    logger = MetricsCsv(str(path))
    logger.resume(4)
    logger.log_metrics({"a": 7.0}, 4)
    assert path.read_text() == "step,a\n4,7.0\n"


def test_nothing_to_log_writes_nothing(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path / "metrics.csv"))
    logger.log_metrics({"epoch": 3.0}, 0)
    assert not logger.path.exists()
