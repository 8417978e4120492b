"""metrics.csv: every logged number, one row a step, in a file that a resumed run goes on with."""

import csv
import io
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor


class MetricsCsv(Logger):
    """Writes metrics as CSV: `step` first, then one column a metric; empty where a step has no value.

    A row is in the file as soon as it is logged; what else comes for the same step is written over it. Only a metric
    seen for the first time rewrites the file, whole or not at all. Lightning's own CSVLogger deletes the rows of before
    when a run is resumed; this one keeps those up to the step at which the run goes on.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._row: dict[str, Any] = {}
        self._row_begins = 0  # bytes into the file

    @property
    def name(self) -> str:
        """Of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """None of its own: the run folder is unique."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Path:
        """The file."""
        return self.path

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the resolved config."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Write the values of a step, beside those that it already has."""
        values = {key: float(value) for key, value in metrics.items() if key != "epoch"}
        if not values:
            return
        if self._columns is None:
            self._rewrite(*self._read())
        known: list[str] = self._columns or []
        is_same = bool(self._row) and self._row["step"] == step
        self._row = {**(self._row if is_same else {}), "step": step, **values}
        new = [key for key in self._row if key not in known]
        if new:
            _, rows = self._read()
            self._rewrite([*known, *new], rows[:-1] if is_same else rows)
        elif not is_same:
            self._row_begins = self.path.stat().st_size
        self._write_row()

    @rank_zero_only
    def save(self) -> None:
        """Nothing: rows are in the file already."""

    @rank_zero_only
    def resume(self, step: int) -> None:
        """Go on after `step` steps, numbered from 0: drop the rows of later ones, which will be made again."""
        self._row = {}
        if self.path.exists():
            columns, rows = self._read()
            self._rewrite(columns if step else ["step"], [row for row in rows if int(row["step"]) < step])

    def _write_row(self) -> None:
        """One write, so that a killed run leaves a row or none."""
        line = _lines(self._columns or [], [self._row]).encode()
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self._row_begins)
            file.write(line)
            file.truncate()

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        """Columns and whole rows; a line cut short by a crash is none."""
        text = self.path.read_bytes().decode() if self.path.exists() else ""
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        rows = [row for row in reader if None not in row.values() and None not in row and row["step"].isdigit()]
        return list(reader.fieldnames or ["step"]), rows

    def _rewrite(self, columns: list[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self._columns = columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(",".join(columns) + "\n" + _lines(columns, rows))
        os.replace(scratch, self.path)
        self._row_begins = self.path.stat().st_size


def _lines(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()
