"""Ledger: what differs between runs and what came out, means over seeds and folds, differences to a reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiles_ecg.summary.ledger_runs import Bundle, LedgerRun
from tiles_ecg.summary.ledger_sheet import REPLICATES, Row, Sheet, canonical, sheets, shown_values
from tiles_ecg.summary.ledger_statistics import Mean, Units, mean, paired_difference, units
from tiles_ecg.summary.runs import ReportError

MATTERING = ("test/", "best/", "val/", "probe/")
"""How metrics that matter begin, in the order of the columns."""
REPLICATE_NAMES = {"seed": "seed", "protocol.seed": "division", "dataset.draw": "draw", "dataset.fold": "fold"}


@dataclass(frozen=True)
class Line:
    """A row of a ledger.

    Attributes:
        row: What differs, and the runs.
        n_finished: Runs that finished.
        means: By metric.
        difference: To the reference, in the metric that decides; None for the reference itself.
    """

    row: Row
    n_finished: int
    means: Mapping[str, Mean]
    difference: Mean | None = None


@dataclass(frozen=True)
class Ledger:
    """A sheet with its numbers.

    Attributes:
        sheet: The runs.
        metrics: The one that decides first; empty where none is logged yet.
        lines: One for each row of the sheet.
        reference: Position of the row that differences are taken to.
        mode: Whether less (`min`) or more (`max`) of the metric that decides is better; empty where unknown.
        notes: Such as runs that were left out.
    """

    sheet: Sheet
    metrics: tuple[str, ...]
    lines: tuple[Line, ...]
    reference: int = 0
    mode: str = ""
    notes: tuple[str, ...] = ()

    @property
    def deciding(self) -> str:
        """The metric that decides; empty where none is logged yet."""
        return self.metrics[0] if self.metrics else ""

    @property
    def unit(self) -> str:
        """What intervals are taken over: `seed`, `division`, `draw` or `fold`; empty without replicates."""
        level = self.sheet.level
        return "" if level is None else REPLICATE_NAMES[REPLICATES[level]]

    @property
    def inner(self) -> list[str]:
        """Replicates that are averaged within each of those."""
        return [REPLICATE_NAMES[key] for key in self.sheet.replicates[1:]]

    @property
    def trials(self) -> list[LedgerRun]:
        """Of a search, best first; those without a value last, as they come."""
        sign = -1 if self.mode == "max" else 1
        values = {run.number: trial_value(run, self.deciding) for run in self.sheet.runs}
        return sorted(
            self.sheet.runs,
            key=lambda run: (math.isnan(v := values[run.number]), run.state == "pruned", sign * v if v == v else 0),
        )


@dataclass(frozen=True)
class Wishes:
    """What was asked for of a ledger: metrics in their order, and the row that others are compared with."""

    metrics: tuple[str, ...] = ()
    against: Mapping[str, str] = field(default_factory=dict)


def ledgers(bundles: Sequence[Bundle], wishes: Wishes) -> list[Ledger]:
    """The ledgers of all bundles.

    Raises:
        ReportError: If a metric, or the row to compare with, is in none of them.
    """
    found = [sheet for bundle in bundles for sheet in sheets(bundle)]
    known = list(dict.fromkeys(name for sheet in found for run in sheet.runs for name in run.status.metrics))
    for name in wishes.metrics:
        if name not in known:
            there = ", ".join(sorted(known)) or "none yet"
            raise ReportError(f"--metric {name}: no run has logged it; there are: {there}")
    made = [_ledger(sheet, wishes) for sheet in found]
    if wishes.against and all(_reference(sheet, wishes.against) is None for sheet in found):
        rows = [f"  {','.join(told)}" for sheet in found for told in _told_rows(sheet) if told]
        asked = ",".join(f"{key}={value}" for key, value in wishes.against.items())
        there = "\n".join([" there are:", *rows]) if rows else " nothing differs but seeds and folds"
        raise ReportError(f"--against {asked}: not exactly one row has that;{there}")
    return made


def value_in(run: LedgerRun, metric: str) -> float:
    """What a finished run came to; NaN for one that did not finish or has no such number."""
    found = run.status.metrics.get(metric, math.nan) if run.state == "finished" else math.nan
    return float(found) if math.isfinite(found) else math.nan


def trial_value(run: LedgerRun, metric: str) -> float:
    """What a trial of a search is ranked by, or what a pruned one had come to."""
    found = run.status.metrics.get(metric, math.nan) if run.state in ("finished", "pruned") else math.nan
    return float(found) if math.isfinite(found) else math.nan


def _ledger(sheet: Sheet, wishes: Wishes) -> Ledger:
    metrics, mode = _metrics(sheet, wishes.metrics)
    level = sheet.level
    name = REPLICATE_NAMES[REPLICATES[level]] if level is not None else ""
    reference = (_reference(sheet, wishes.against) if wishes.against else 0) or 0
    grouped = [{metric: _units(row, metric, level, name) for metric in metrics} for row in sheet.rows]
    lines = []
    for number, (row, of_row) in enumerate(zip(sheet.rows, grouped, strict=True)):
        has_difference = metrics and number != reference
        difference = paired_difference(of_row[metrics[0]], grouped[reference][metrics[0]]) if has_difference else None
        n_finished = sum(run.state == "finished" for run in row.cells.values())
        means = {metric: mean(found) for metric, found in of_row.items()}
        lines.append(Line(row, n_finished, means, difference))
    return Ledger(sheet, metrics, tuple(lines), reference, mode, _notes(sheet))


def _units(row: Row, metric: str, level: int | None, name: str) -> Units:
    values = {cell: value_in(run, metric) for cell, run in row.cells.items()}
    return units({cell: None if math.isnan(x) else x for cell, x in values.items()}, level, name)


def _metrics(sheet: Sheet, wanted: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The metrics of a sheet, the one that decides first, and whether less or more of that is better."""
    logged = list(dict.fromkeys(name for run in sheet.runs for name in run.status.metrics))
    monitor, mode = _monitor(sheet)
    of_monitor = {monitor: mode, f"best/{monitor}": mode}
    chosen = [name for name in wanted if name in logged]
    if not chosen:
        mattering = [name for start in MATTERING for name in logged if name.startswith(start)] or logged
        preferred = [f"best/{monitor}", monitor] if sheet.search else [monitor, f"best/{monitor}"]
        first = _judged(sheet, mattering) if not sheet.search else []
        deciding = [name for name in (*first, *preferred, *mattering) if name in logged][:1]
        chosen = [*deciding, *(name for name in mattering if name not in deciding)]
    return tuple(chosen), of_monitor.get(chosen[0], "") if chosen else ""


def _judged(sheet: Sheet, metrics: Sequence[str]) -> list[str]:
    """Metrics of the test side, that which decides by the protocol first."""
    decides = tuple(f"test/{run.judged_by}" for run in sheet.runs if run.judged_by)[:1]
    of_test = [name for name in metrics if name.startswith("test/")]
    return sorted(of_test, key=lambda name: not (name in decides or name.startswith(tuple(f"{d}/" for d in decides))))


def _monitor(sheet: Sheet) -> tuple[str, str]:
    """What a search, or the first run's checkpoint, goes by, and `min` or `max`."""
    if sheet.search:
        direction = str(sheet.search.get("direction", "minimize"))
        return str(sheet.search.get("monitor", "")), "max" if direction == "maximize" else "min"
    for run in sheet.runs:
        callback = run.config.get("callback")
        checkpoint = callback.get("checkpoint") if isinstance(callback, dict) else None
        if isinstance(checkpoint, dict):
            return str(checkpoint.get("monitor", "")), str(checkpoint.get("mode", ""))
    return "", ""


def _reference(sheet: Sheet, against: Mapping[str, str]) -> int | None:
    """The one row that has these values, in full or as they are shown; None if there is none, or several."""
    if not set(against) <= set(sheet.keys):
        return None
    columns = {key: shown_values(row.values[at] for row in sheet.rows) for at, key in enumerate(sheet.keys)}
    found = [
        number
        for number, row in enumerate(sheet.rows)
        if all(
            canonical(wanted) in (value := row.values[sheet.keys.index(key)], columns[key][value])
            for key, wanted in against.items()
        )
    ]
    return found[0] if len(found) == 1 else None


def _told_rows(sheet: Sheet) -> list[list[str]]:
    return [[f"{key}={value}" for key, value in zip(sheet.keys, row.values, strict=True)] for row in sheet.rows]


def _notes(sheet: Sheet) -> tuple[str, ...]:
    repeats = sum(row.n_repeats for row in sheet.rows)
    again = f"{repeats} runs repeat another one, with the same overrides and seed: of each, the one that finished last"
    return (f"{again} counts",) if repeats else ()
