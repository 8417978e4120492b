"""Rows on the disk are relied on as far as they were synchronised, and no further."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tiles_ecg.embedding import rows as module
from tiles_ecg.embedding.rows import RowFile


def block(first: int, count: int) -> NDArray[np.float32]:
    return np.arange(3 * first, 3 * (first + count), dtype=np.float32).reshape(count, 3)


def content(rows: RowFile) -> NDArray[np.float32]:
    return np.concatenate([part for _, part in rows.blocks()])


def test_rows_come_back_in_order_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 4)
    with RowFile(tmp_path, 3, ["a"]) as rows:
        rows.append(block(0, 5))
        rows.append(block(5, 4))
    assert [(first, len(part)) for first, part in rows.blocks()] == [(0, 4), (4, 4), (8, 1)]
    np.testing.assert_array_equal(content(rows), block(0, 9))


def test_what_was_not_synchronised_is_written_again(tmp_path: Path) -> None:
    with RowFile(tmp_path, 3, ["a"]) as rows:
        rows.append(block(0, 5))
    with (tmp_path / module.ROWS).open("ab") as file:  # as a killed process leaves it
        file.write(b"half a row")
    with RowFile(tmp_path, 3, ["a"]) as rows:
        assert rows.n_rows == 5
        rows.append(block(5, 2))
    np.testing.assert_array_equal(content(rows), block(0, 7))


def test_rows_that_are_lost_or_of_another_store_are_begun_anew(tmp_path: Path) -> None:
    with RowFile(tmp_path, 3, ["a"]) as rows:
        rows.append(block(0, 5))
    assert RowFile(tmp_path, 3, ["b"]).n_rows == 0
    with (tmp_path / module.ROWS).open("r+b") as file:
        file.truncate(20)
    assert RowFile(tmp_path, 3, ["a"]).n_rows == 0
    (tmp_path / module.STATE).write_text("{")
    assert RowFile(tmp_path, 3, ["a"]).n_rows == 0
