"""Pictures of a ledger, from its numbers."""

import contextlib
import math

from tiles_ecg.summary.document import Picture
from tiles_ecg.summary.figure_ledger import Bar, Trial, draw_combinations, draw_differences, draw_search
from tiles_ecg.summary.figure_style import Figure, NotDrawn
from tiles_ecg.summary.ledger import Ledger, trial_value, value_in
from tiles_ecg.summary.ledger_sheet import short_keys, shown_values


def ledger_pictures(ledger: Ledger) -> tuple[Picture, ...]:
    """What there is to be drawn of a ledger; nothing where there is one run only, or none finished."""
    drawn = []
    for draw in (_search,) if ledger.sheet.search else (_combinations, _differences):
        with contextlib.suppress(NotDrawn):
            drawn.append(draw(ledger))
    return tuple(Picture(figure.title, figure.caption, figure.png) for figure in drawn)


def _search(ledger: Ledger) -> Figure:
    runs = ledger.sheet.runs
    trials = [Trial(run.number, trial_value(run, ledger.deciding), run.state == "pruned") for run in runs]
    return draw_search(trials, ledger.deciding, ledger.mode)


def _combinations(ledger: Ledger) -> Figure:
    if not ledger.metrics or sum(line.n_finished for line in ledger.lines) < 2:
        raise NotDrawn("fewer than two runs have finished")
    bars = []
    for line, name in zip(ledger.lines, _names(ledger), strict=True):
        found = line.means[ledger.deciding]
        values = [value_in(run, ledger.deciding) for run in line.row.cells.values()]
        bars.append(Bar(name, found.value, found.low, found.high, tuple(x for x in values if not math.isnan(x))))
    return draw_combinations(bars, ledger.deciding, ledger.mode, f"{ledger.unit}s" if ledger.unit else "")


def _differences(ledger: Ledger) -> Figure:
    """Only where there is an interval to see."""
    names = _names(ledger)
    bars = [
        Bar(name, found.value, found.low, found.high, ())
        for line, name in zip(ledger.lines, names, strict=True)
        if (found := line.difference) is not None
    ]
    if not any(math.isfinite(bar.low) for bar in bars):
        raise NotDrawn("no difference has an interval")
    return draw_differences(bars, ledger.deciding, ledger.mode, f"{ledger.unit}s", names[ledger.reference])


def _names(ledger: Ledger) -> list[str]:
    """Of the rows: `temperature=0.1, batch_size=64`."""
    sheet = ledger.sheet
    heads = short_keys(sheet.keys)
    columns = [shown_values(row.values[at] for row in sheet.rows) for at in range(len(sheet.keys))]
    told = [zip(sheet.keys, columns, row.values, strict=True) for row in sheet.rows]
    return [", ".join(f"{heads[key]}={shown[value]}" for key, shown, value in of_row) or "all runs" for of_row in told]
