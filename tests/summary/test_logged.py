"""What loggers are given of an evaluation."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tiles_ecg.evaluation.embedding_map import EmbeddingMap
from tiles_ecg.summary.logged import deciding, log_evaluation

RESULTS = """task,encoder,head,metric,training_subjects,value,low,high,n_subjects
t,mine,linear,auroc,,0.9,0.85,0.94,12
t,mine,linear,f1,,0.1,0.1,0.1,12
t,mine,linear,auroc,3,0.7,0.6,0.8,12
t,majority,none,auroc,,0.5,,,12
t,broken,k-NN,auroc,,,,,12
"""


class Listener:
    def __init__(self) -> None:
        self.tables: dict[str, tuple[list[str], list[list[Any]]]] = {}
        self.pictures: dict[str, tuple[Path, str]] = {}

    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        self.tables[key] = list(columns), [list(row) for row in rows]

    def log_picture(self, key: str, file: Path, caption: str, step: int) -> None:
        self.pictures[key] = file, caption


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_text(RESULTS)
    return path


def test_the_metric_that_decides_is_told_by_method_where_it_has_a_value(results: Path) -> None:
    assert deciding(results, "auroc") == {"test/auroc/mine/linear": 0.9, "test/auroc/majority": 0.5}


def test_the_table_has_all_rows_with_numbers_as_numbers(results: Path, tmp_path: Path) -> None:
    listener = Listener()
    log_evaluation([object(), listener], tmp_path, results)
    columns, rows = listener.tables["tables/results"]
    with results.open(newline="") as file:
        assert [columns, len(rows)] == [next(csv.reader(file)), 5]
    assert rows[0] == ["t", "mine", "linear", "auroc", "", 0.9, 0.85, 0.94, 12]
    assert rows[3][5:] == [0.5, None, None, 12]


def test_each_embedding_map_is_a_picture_and_a_damaged_one_is_left_out(
    results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw = np.random.default_rng(0)
    EmbeddingMap(
        "my encoder", draw.normal(size=(30, 2)).astype(np.float32), np.arange(30).astype(str),
        np.repeat([f"s{i}" for i in range(6)], 5), np.arange(30) % 2, ("rest", "af"), "", "binary",
    ).save(tmp_path / "embedding")  # fmt: skip
    (tmp_path / "embedding" / "cut.map.npz").write_bytes(b"cut short")
    listener = Listener()
    with caplog.at_level("INFO"):
        log_evaluation([listener], tmp_path, results)
    (key,) = listener.pictures
    file, caption = listener.pictures[key]
    assert (key, file) == ("pictures/embedding_map/my-encoder", tmp_path / "pictures" / "embedding_map_my-encoder.png")
    with Image.open(file) as image:
        assert image.size[0] == 880
    assert caption.startswith("30 windows of 6 subjects")
    assert "embedding map of cut: not drawn" in caplog.text
