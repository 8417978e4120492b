"""Tables of a report, and the sheet of all its numbers."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from tiles_ecg.evaluation.bootstrap import Estimate
from tiles_ecg.evaluation.predictions import Method
from tiles_ecg.summary.benefit import is_control
from tiles_ecg.summary.command import CONTROLS, applies, command
from tiles_ecg.summary.document import Cell, Table, table
from tiles_ecg.summary.number import estimate_text, interval_text, metric_title, number_text
from tiles_ecg.summary.rounding import NONE
from tiles_ecg.summary.section import Section
from tiles_ecg.summary.standing import Comparison, Point, Row, Standing

COLUMNS = (
    "task", "protocol", "encoder", "head", "role", "training_subjects", "metric", "value", "low", "high",
    "n_subjects", "n_examples", "folds", "folds_of_protocol", "seeds", "draws", "weights",
)  # fmt: skip
"""Of `results.csv`; `training_subjects` is empty where all had labels, and numbers where there are none. `weights`
is the digest of an encoder's weights before any fine-tuning."""


def overview(standings: Sequence[Standing], titles: Sequence[str]) -> Table:
    """Methods by tasks: the metric that decides, the best set strong if its difference to the next one is resolved.

    Args:
        standings: A task each.
        titles: Of the columns.
    """
    methods = list(dict.fromkeys(row.entry.method for standing in standings for row in standing.rows))
    methods.sort(key=lambda method: method.role != "encoder")
    head = [
        f"{title}: {metric_title(standing.metric, standing.section.unit)}"
        for title, standing in zip(titles, standings, strict=True)
    ]
    rows = [[Cell(method.title), *(_overview_cell(standing, method) for standing in standings)] for method in methods]
    return table(
        "The metric that decides, with its 95 % interval. The best method of a task is set in bold only where its "
        "paired difference to the second best is resolved.",
        ["Method", *head],
        rows,
    )


def methods(standing: Standing) -> Table:
    """Methods of a task by metrics, encoders first, then the controls, whether they were run or not."""
    unit = standing.section.unit
    head = [
        *(f"{metric_title(metric, unit)} [95 %]" for metric in standing.metrics),
        "Pairs" if standing.section.about["kind"] == "verification" else "Examples",
        "Subjects", "SD over folds", "SD over seeds", "Remarks",
    ]  # fmt: skip
    encoders = [_method_row(row, standing) for row in standing.rows if row.entry.method.role == "encoder"]
    controls = [row for row in standing.rows if row.entry.method.role != "encoder"]
    rows = [*encoders]
    for name in CONTROLS:
        of_name = [row for row in controls if is_control(row.entry.method, name)]
        rows += [_method_row(row, standing) for row in of_name] or [_missing_row(name, standing)]
        controls = [row for row in controls if row not in of_name]
    rows += [_method_row(row, standing) for row in controls]
    return table(
        f"{standing.section.task} under protocol {standing.section.hash}: methods, encoders first, then controls.",
        ["Method", *head],
        rows,
    )


def comparisons(standing: Standing) -> Table:
    """Each encoder against every control and every other encoder."""
    rows = [_comparison_row(comparison) for comparison in standing.comparisons]
    sign = "positive" if standing.metric.higher_is_better else "negative"
    return table(
        f"Paired differences in {standing.metric.title} on the same subjects, first less second: {sign} where the "
        f"first is better. {len(rows)} comparisons, each at 95 %: of 20 without a true difference about "
        "one is resolved by chance.",
        ["First", "Second", "Difference [95 %]", "The first is", "Subjects", "Remarks"],
        rows,
    )


def label_efficiency(standing: Standing) -> Table | None:
    """Methods by numbers of training subjects with labels; None where no fewer than all were tried."""
    if not standing.points:
        return None
    numbers = sorted({point.n_subjects for point in standing.points if not point.is_full})
    by_method: dict[Method, list[Point]] = {}
    for point in standing.points:
        by_method.setdefault(point.method, []).append(point)
    rows = []
    for method, points in by_method.items():
        few = {point.n_subjects: point for point in points if not point.is_full}
        full = next((point for point in points if point.is_full), None)
        rows.append([Cell(method.title), *(_point_cell(few.get(n)) for n in numbers), _point_cell(full)])
    return table(
        f"{metric_title(standing.metric, standing.section.unit)} with labels of fewer training subjects in "
        "each fold: mean over the draws of them, with the 95 % interval over the subjects judged on.",
        ["Method", *(f"{n:,} subjects" for n in numbers), f"all (about {standing.section.training_subjects:,})"],
        rows,
    )


def audits(section: Section) -> Table | None:
    """What the leak audit said, equal lines of several runs once; None where no run wrote any."""
    count: dict[tuple[str, str, str], int] = {}
    for run in section.runs:
        for audit in dict.fromkeys(run.audits):
            key = audit.name, audit.outcome, audit.detail
            count[key] = count.get(key, 0) + 1
    if not count:
        return None
    several = len(section.runs) > 1
    rows: list[list[Cell | str]] = [
        [Cell(name), Cell(outcome, "plain" if outcome == "passed" else "strong"), Cell(detail), *([str(n)] * several)]
        for (name, outcome, detail), n in count.items()
    ]
    return table("The leak audit.", ["Check", "Outcome", "Detail", *(["Runs"] * several)], rows)


def results(standings: Sequence[Standing]) -> str:
    """`results.csv`: a line for each task, protocol, method and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for standing in standings:
        writer.writerows(_result_lines(standing))
    return text.getvalue()


def _overview_cell(standing: Standing, method: Method) -> Cell:
    row = next((row for row in standing.rows if row.entry.method == method), None)
    if row is None:
        return Cell(NONE, "quiet")
    if not row.entry.is_complete:
        return Cell(", ".join(row.entry.notes), "quiet")
    return Cell(estimate_text(row.primary), "strong" if method == standing.winner else "plain")


def _method_row(row: Row, standing: Standing) -> list[Cell]:
    primary = row.primary
    scale = primary.value
    return [
        Cell(row.entry.method.title),
        Cell(estimate_text(primary), "strong" if row.entry.method == standing.winner else "plain"),
        *(Cell(estimate_text(row.estimates[metric.name])) for metric in standing.metrics[1:]),
        Cell(f"{row.entry.n_examples:,}"),
        Cell(f"{primary.n_subjects:,}"),
        Cell(_deviation(row.spread.folds, scale)),
        Cell(_deviation(row.spread.seeds, scale)),
        Cell("; ".join((*row.entry.notes, *row.remarks))),
    ]


def _missing_row(name: str, standing: Standing) -> list[Cell]:
    """A control that was not run, with the command that would fill it."""
    filler = [Cell(NONE, "quiet")] * (len(standing.metrics) - 1 + 4)
    if not applies(name, standing.section):
        return [Cell(CONTROLS[name]), Cell("does not apply", "quiet"), *filler, Cell("")]
    return [Cell(CONTROLS[name]), Cell("not run", "quiet"), *filler, Cell(command(name, standing.section), "code")]


def _comparison_row(comparison: Comparison) -> list[Cell]:
    difference = comparison.difference
    return [
        Cell(comparison.first.title),
        Cell(comparison.second.title),
        Cell(interval_text(difference.value, difference.low, difference.high)),
        Cell(comparison.outcome, "strong" if difference.resolved else "plain"),
        Cell(f"{difference.n_subjects:,}"),
        Cell(difference.note),
    ]


def _point_cell(point: Point | None) -> Cell:
    if point is None:
        return Cell(NONE, "quiet")
    draws = f" ({point.n_draws} draws)" if point.n_draws > 1 else ""
    return Cell(f"{estimate_text(point.estimate)}{draws}")


def _deviation(variance: float, scale: float) -> str:
    return number_text(math.sqrt(variance), scale) if variance >= 0 else NONE  # NaN is not


def _result_lines(standing: Standing) -> Iterator[list[str]]:
    start = [standing.section.task, standing.section.hash]
    n_folds = standing.section.about["folds"]
    for row in standing.rows:
        entry = row.entry
        for name, estimate in row.estimates.items():
            method = [entry.method.encoder, entry.method.head, entry.method.role, ""]
            counts = [entry.n_examples, entry.n_folds, n_folds, entry.n_seeds, 1]
            yield [*_result_line([*start, *method, name], estimate, counts), _weights(standing.section, entry.method)]
    for point in standing.points:
        if not point.is_full:
            method = [point.method.encoder, point.method.head, point.method.role, str(point.n_subjects)]
            counts = [point.n_examples, n_folds, n_folds, point.n_seeds, point.n_draws]
            line = _result_line([*start, *method, standing.metric.name], point.estimate, counts)
            yield [*line, _weights(standing.section, point.method)]


def _weights(section: Section, method: Method) -> str:
    """Digest of an encoder's weights; where runs of one name differ in it, each."""
    if method.role != "encoder":
        return ""
    facts = (run.encoders.get(method.encoder, {}) for run in section.runs)
    return " ".join(dict.fromkeys(str(known["digest"]) for known in facts if known.get("digest")))


def _result_line(names: list[str], estimate: Estimate, counts: list[int]) -> list[str]:
    numbers = [f"{x:.6g}" if math.isfinite(x) else "" for x in (estimate.value, estimate.low, estimate.high)]
    return [*names, *numbers, str(estimate.n_subjects), *map(str, counts)]
