"""runs.csv and ledger.csv: all numbers of a ledger, in full."""

import csv
import io
import math
from collections.abc import Sequence

from tiles_ecg.summary.ledger import Ledger, Line
from tiles_ecg.summary.ledger_runs import LedgerRun
from tiles_ecg.summary.ledger_sheet import value_of
from tiles_ecg.summary.ledger_statistics import Mean

OF_RUN = (
    "folder", "sweep", "stage", "program", "objective", "task", "protocol", "state", "step", "max_steps", "attempt",
    "started", "ended", "error",
)  # fmt: skip
OF_ROW = ("sweep", "stage", "program", "objective", "task", "protocol")
NUMBERS = ("mean", "low", "high")
COUNTS = ("runs", "finished", "over", "n")
DIFFERENCE = ("difference", "difference_low", "difference_high", "pairs", "is_reference", "note")


def runs_csv(ledgers: Sequence[Ledger]) -> str:
    """A line for each job: what became of it, what differs, and every metric that it ended with."""
    keys = _keys(ledgers, with_replicates=True)
    metrics = list(
        dict.fromkeys(name for ledger in ledgers for run in ledger.sheet.runs for name in run.status.metrics)
    )
    lines = []
    for ledger in ledgers:
        for run in ledger.sheet.runs:
            told = {**_of_sheet(ledger), **_of_run(run), **{key: value_of(run, key) for key in keys}}
            lines.append([told[column] for column in (*OF_RUN, *keys)] + [_metric(run, name) for name in metrics])
    return _csv([*OF_RUN, *keys, *metrics], lines)


def ledger_csv(ledgers: Sequence[Ledger]) -> str:
    """A line for each row of a ledger and each metric; `over` is what the interval is taken over, `n` of them."""
    keys = _keys(ledgers, with_replicates=False)
    lines = []
    for ledger in ledgers:
        for number, line in enumerate(ledger.lines if not ledger.sheet.search else ()):
            values = dict(zip(ledger.sheet.keys, line.row.values, strict=True))
            start = [_of_sheet(ledger)[column] for column in OF_ROW] + [values.get(key, "") for key in keys]
            for metric, mean in line.means.items():
                counts = [len(line.row.cells), line.n_finished, ledger.unit, mean.n]
                numbers = _numbers(mean) + _difference(ledger, number, line, metric)
                lines.append([*start, metric, *map(str, counts), *numbers])
    return _csv([*OF_ROW, *keys, "metric", *COUNTS, *NUMBERS, *DIFFERENCE], lines)


def _keys(ledgers: Sequence[Ledger], with_replicates: bool) -> list[str]:
    """Of all sheets; what has a column anyway is left out."""
    keys = [
        key for ledger in ledgers for key in (*ledger.sheet.keys, *(ledger.sheet.replicates if with_replicates else ()))
    ]
    return [key for key in dict.fromkeys(keys) if key not in OF_RUN]


def _of_sheet(ledger: Ledger) -> dict[str, str]:
    sheet = ledger.sheet
    return {
        "sweep": str(sheet.bundle.folder or ""),
        "stage": sheet.stage,
        "program": sheet.program,
        "objective": sheet.objective,
        "task": sheet.task,
        "protocol": " ".join(sheet.hashes),
    }


def _of_run(run: LedgerRun) -> dict[str, str]:
    status = run.status
    numbers = {"step": run.reached, "max_steps": status.max_steps, "attempt": status.attempt}
    return {
        "folder": str(run.folder),
        "state": run.state,
        "protocol": run.hash,
        "started": status.started,
        "ended": status.ended,
        "error": status.error,
        **{name: "" if number is None else str(number) for name, number in numbers.items()},
    }


def _metric(run: LedgerRun, name: str) -> str:
    return _text(run.status.metrics.get(name, math.nan))


def _numbers(mean: Mean) -> list[str]:
    return [_text(x) for x in (mean.value, mean.low, mean.high)]


def _difference(ledger: Ledger, number: int, line: Line, metric: str) -> list[str]:
    note = line.means[metric].note
    if metric != ledger.deciding or line.difference is None:
        return ["", "", "", "", str(metric == ledger.deciding and number == ledger.reference).lower(), note]
    notes = "; ".join(part for part in (note, line.difference.note) if part)
    return [*_numbers(line.difference), str(line.difference.n), "false", notes]


def _text(x: float) -> str:
    return f"{x:.10g}" if math.isfinite(x) else ""


def _csv(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()
