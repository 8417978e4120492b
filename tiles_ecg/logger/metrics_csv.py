"""metrics.csv: every logged number, one row a step, in a file that a resumed run goes on with."""

import csv
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor


class MetricsCsv(Logger):
    """Writes metrics as CSV: `step` first, then one column a metric; empty where a step has no value.

    Rows are appended as they come; only a metric seen for the first time rewrites the file, whole or not at all.
    Lightning's own CSVLogger deletes the rows of before when a run is resumed; this one keeps those up to the step at
    which the run goes on.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] | None = None
        self._row: dict[str, Any] = {}

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
        """Take the values of a step; they are written when the next step's come."""
        values = {key: float(value) for key, value in metrics.items() if key != "epoch"}
        if self._row and self._row["step"] != step:
            self._write()
        self._row = (
            {"step": step, **{k: v for k, v in self._row.items() if k != "step"}, **values} if values else self._row
        )

    @rank_zero_only
    def save(self) -> None:
        """Nothing: rows are written as they are complete."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last row."""
        self._write()

    @rank_zero_only
    def resume(self, step: int) -> None:
        """Go on after `step` steps, numbered from 0: drop the rows of later ones, which will be made again."""
        rows = [row for row in self._read() if int(row["step"]) < step]
        self._rewrite(self._columns or ["step"], rows)

    def _write(self) -> None:
        if not self._row:
            return
        if self._columns is None:
            self._columns = list(self._read()[0]) if self._read() else []
        new = [key for key in self._row if key not in self._columns]
        if new:
            self._rewrite([*self._columns, *new], self._read())
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(self._row)
        self._row = {}

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            # a line cut short by a crash lacks fields
            rows = [row for row in reader if None not in row.values() and row.get("step", "").isdigit()]
            self._columns = list(reader.fieldnames or ["step"])
        return rows

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        self._columns = columns
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        with scratch.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(scratch, self.path)
