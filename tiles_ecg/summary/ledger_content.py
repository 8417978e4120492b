"""Content of a ledger: what the report and the terminal say of runs."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

from tiles_ecg.console_resume import CHECKPOINT, quoted
from tiles_ecg.summary.document import Block, Cell, Heading, Listing, Paragraph, Picture, Table, table
from tiles_ecg.summary.ledger import Ledger, Line, trial_value, value_in
from tiles_ecg.summary.ledger_runs import Bundle, LedgerRun
from tiles_ecg.summary.ledger_sheet import short_keys, shown_values, value_of
from tiles_ecg.summary.ledger_statistics import Mean
from tiles_ecg.summary.rounding import NONE, column_rounded, interval_rounded
from tiles_ecg.summary.terminal import terminal_table

MANY = 6
"""Commands, above which a list is folded."""
LONG = 300
"""Characters of an error that are shown; `runs.csv` has the whole."""
STATES = ("finished", "pruned", "running", "preempted", "stopped", "interrupted", "failed", "unknown", "planned")
SHARED = {
    "fold": "Folds share most of the people trained on, so the interval is too short",
    "draw": "Draws share people, so the interval is too short",
    "division": "All divisions are of the same people, so the interval is too short",
    "seed": "The interval speaks of other seeds (first weights, order of windows, views), not of other people",
}


def runs_section(ledgers: Sequence[Ledger], pictures: Sequence[Sequence[Picture]]) -> list[Block]:
    """The section `Runs` of a report.

    Args:
        ledgers: One for each sheet.
        pictures: Of each.
    """
    blocks: list[Block] = [Heading("Runs", 2)]
    for ledger, drawn in zip(ledgers, pictures, strict=True):
        blocks += [Heading(title(ledger), 3), Paragraph(_counts(ledger))]
        combined = combinations(ledger)
        blocks += [combined] if combined else []
        blocks += [*drawn, jobs(ledger)]
        blocks += [Listing("Notes", ledger.notes)] if ledger.notes else []
    failed = failures([run for ledger in ledgers for run in ledger.sheet.runs])
    if failed:
        blocks.append(Listing("Failed", failed))
    commands = open_commands(_bundles(ledgers))
    if commands:
        told = "What is left to do goes on with"
        blocks.append(Listing(told, commands, is_folded=len(commands) > MANY, is_code=True))
    return blocks


def terminal_text(ledgers: Sequence[Ledger], width: int) -> str:
    """What `tiles-report` prints of runs: all jobs, the table of means, what failed, and how to go on."""
    parts = []
    for ledger in ledgers:
        parts += [f"{title(ledger)}: {_counts(ledger)}", terminal_table(jobs(ledger, True), width, 4)]
        combined = combinations(ledger, True)
        if combined:
            parts += [fill(combined.caption, width), terminal_table(combined, width, len(ledger.sheet.keys) + 2)]
        parts += ledger.notes
    failed = failures([run for ledger in ledgers for run in ledger.sheet.runs])
    commands = open_commands(_bundles(ledgers))
    parts += ["\n".join(["failed:", *(f"  {line}" for line in failed)])] if failed else []
    parts += ["\n".join(["go on with:", *(f"  {line}" for line in commands)])] if commands else []
    return "\n\n".join(parts)


def title(ledger: Ledger) -> str:
    """`outputs/sweep-simclr/2026-11-22: pretrain, simclr`."""
    sheet = ledger.sheet
    where = str(sheet.bundle.folder or "Runs by themselves")
    what = [sheet.stage, sheet.objective or sheet.program.removeprefix("tiles-"), sheet.task]
    return f"{where}: {', '.join(part for part in what if part)}"


def _counts(ledger: Ledger) -> str:
    runs = ledger.sheet.runs
    count = Counter(run.state for run in runs)
    told = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    hashes = ledger.sheet.hashes
    protocol = f" Protocol {', '.join(hashes)}." if hashes else ""
    noun = "job" if ledger.sheet.bundle.plan else "run"
    return f"{len(runs)} {noun}{'s' if len(runs) > 1 else ''}: {told}.{protocol}"


def jobs(ledger: Ledger, is_brief: bool = False) -> Table:
    """All jobs: state, step, what differs, what came out. Those of a search are listed best first.

    Args:
        ledger: The runs.
        is_brief: Whether it is for a terminal: numbers of jobs for names, and short keys.
    """
    sheet, is_search = ledger.sheet, bool(ledger.sheet.search)
    runs = ledger.trials if is_search else list(sheet.runs)
    keys = (*sheet.keys, *sheet.replicates)
    heads = short_keys(keys) if is_brief else {key: key for key in keys}
    columns = [[value_of(run, key) for run in runs] for key in keys]
    texts = [[shown[value] or NONE for value in column] for column in columns for shown in [shown_values(column)]]
    read: Callable[[LedgerRun, str], float] = trial_value if is_search else value_in
    numbers = [column_rounded([read(run, metric) for run in runs]) for metric in ledger.metrics]
    rows: list[list[Cell | str]] = [
        [
            Cell(_name(run, sheet.bundle, is_brief), "plain" if is_brief else "code"),
            Cell(run.state, "strong" if run.state in ("failed", "unknown") else "plain"),
            Cell(_steps(run)),
            *(column[at] for column in (*texts, *numbers)),
        ]
        for at, run in enumerate(runs)
    ]
    order = f", best {ledger.deciding} first; pruned trials have the value at which they were given up"
    caption = f"All jobs{order if is_search else ''}."
    return table(caption, ["#" if is_brief else "Run", "State", "Step", *heads.values(), *ledger.metrics], rows)


def combinations(ledger: Ledger, is_brief: bool = False) -> Table | None:
    """A row for what differs apart from replicates: means with intervals; None for a search and without numbers."""
    sheet = ledger.sheet
    if sheet.search or not ledger.metrics or not any(line.n_finished for line in ledger.lines):
        return None
    heads = short_keys(sheet.keys) if is_brief else {key: key for key in sheet.keys}
    columns = [shown_values(row.values[at] for row in sheet.rows) for at in range(len(sheet.keys))]
    has_others = len(ledger.lines) > 1
    interval = " [95 %]" if ledger.unit else ""
    against = [f"{ledger.deciding}: difference{interval}"] if has_others else []
    head = [*(heads.values() or ["What differs"]), "Runs", ledger.deciding + interval, *against]
    rows: list[list[Cell | str]] = []
    for line in ledger.lines:
        values = line.row.values
        named = [shown[value] or NONE for shown, value in zip(columns, values, strict=True)] or ["nothing"]
        row: list[Cell | str] = [*named, Cell(_finished(line)), Cell(_mean_text(line.means[ledger.deciding]))]
        row += [_difference(line.difference, is_brief)] if has_others else []
        rows.append([*row, *(Cell(_mean_text(line.means[metric])) for metric in ledger.metrics[1:])])
    return table(
        caption(ledger, "starred" if is_brief else "bold"),
        [*head, *(f"{metric}{interval}" for metric in ledger.metrics[1:])],
        rows,
    )


def caption(ledger: Ledger, mark: str = "bold") -> str:
    """What the means and intervals of a ledger are; `mark` is how a difference that is resolved is set."""
    unit, inner = ledger.unit, ledger.inner
    if not unit:
        told = "One finished run each, so no interval."
    else:
        within = f", {' and '.join(f'{name}s' for name in inner)} averaged within each first" if inner else ""
        told = f"Mean over {unit}s of finished runs{within} [95 % interval, Student's t over {unit}s]. {SHARED[unit]}."
    if ledger.sheet.hashes:
        told += " The intervals to quote are those over subjects, in the section of the task."
    if len(ledger.lines) > 1:
        pairs = ", by pairs of the same " + " and ".join(f"{name}s" for name in [unit, *inner]) if unit else ""
        told += f" Difference: to the reference{pairs}"
        told += f"; {mark} where its interval excludes 0, as of 20 true zeros about one does." if unit else "."
    return told


def failures(runs: Sequence[LedgerRun]) -> tuple[str, ...]:
    """The failed ones, each with its error in a line."""
    failed = [run for run in runs if run.state == "failed"]
    return tuple(f"{run.folder}: {_abridged(run.status.error) or 'no error was kept'}" for run in failed)


def open_commands(bundles: Sequence[Bundle]) -> tuple[str, ...]:
    """Commands that go on with what is not over."""
    commands = []
    for bundle in bundles:
        left = [run for run in bundle.runs if run.is_open]
        if bundle.plan is not None:
            whole = shlex.join([bundle.plan.program, "-m", f"resume={quoted(bundle.folder or Path())}"])
            commands += [whole] if left else []
            continue
        for run in left:
            overrides = [f"{key}={value}" for key, value in run.overrides.items()]
            going_on = [f"resume={quoted(run.folder)}"] if (run.folder / CHECKPOINT).exists() else overrides
            commands.append(shlex.join([run.status.program or "tiles-train", *going_on]))
    return tuple(commands)


def _abridged(error: str) -> str:
    """Head and end of a long one: a traceback has its cause there."""
    return error if len(error) <= LONG else f"{error[: LONG // 3]} ... {error[-LONG * 2 // 3 :]}"


def _bundles(ledgers: Sequence[Ledger]) -> list[Bundle]:
    return list({id(ledger.sheet.bundle): ledger.sheet.bundle for ledger in ledgers}.values())


def _name(run: LedgerRun, bundle: Bundle, is_brief: bool) -> str:
    if bundle.folder is None:
        return str(run.folder)
    return str(run.number) if is_brief else run.folder.name


def _steps(run: LedgerRun) -> str:
    if run.reached is None and run.status.max_steps is None:
        return NONE
    aim = f" of {run.status.max_steps:,}" if run.status.max_steps is not None else ""
    return f"{run.reached or 0:,}{aim}"


def _finished(line: Line) -> str:
    n = len(line.row.cells)
    return f"{n}" if line.n_finished == n else f"{line.n_finished} of {n}"


def _mean_text(mean: Mean) -> str:
    return interval_rounded(mean.value, mean.low, mean.high) + (f" ({mean.note})" if mean.note else "")


def _difference(difference: Mean | None, is_brief: bool) -> Cell:
    if difference is None:
        return Cell("reference", "quiet")
    pairs = "pair" if difference.n == 1 else "pairs"
    text = interval_rounded(difference.value, difference.low, difference.high)
    told = f"{text} ({difference.n} {pairs})" if difference.n else text
    told += " *" if is_brief and difference.is_resolved else ""
    return Cell(told, "strong" if difference.is_resolved else "plain")
