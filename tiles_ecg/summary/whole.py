"""The whole report: a ledger of runs, sections of what was judged, or both, and the files that they go into."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tiles_ecg.summary.document import Block, Heading, Paragraph
from tiles_ecg.summary.ledger import Ledger, Wishes, ledgers
from tiles_ecg.summary.ledger_content import runs_section, terminal_text
from tiles_ecg.summary.ledger_csv import ledger_csv, runs_csv
from tiles_ecg.summary.ledger_pictures import ledger_pictures
from tiles_ecg.summary.ledger_runs import find_bundles
from tiles_ecg.summary.markdown import markdown
from tiles_ecg.summary.origin import missing, origin
from tiles_ecg.summary.page import page
from tiles_ecg.summary.runs import ReportError, Run, Setback, find_runs

PAGE = "report.html"
TITLE = "Evaluation of ECG encoders"
TITLE_OF_RUNS = "Runs of ECG encoders"
UNWRITABLE = "-o {}: cannot be written ({}); give a folder that can"
USUAL_SIZE = (140, 24)
"""Of the output, in characters and lines, where it is no terminal."""


def whole_report(
    paths: Sequence[Path], folder: Path, n_resamples: int, wishes: Wishes, tell: Callable[[str], None] | None
) -> Path:
    """Read sweeps and runs, and write their report, as `tiles_ecg.report.write_report` says.

    Raises:
        ReportError: If there is nothing to report, or the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ReportError(f"-o {folder}: a file; give a folder, which is made if it is not there")
    bundles, setbacks, holders = find_bundles(paths)
    runs, of_judged = find_runs(paths, holders)
    if not runs and not bundles:
        told = "\n".join(f"  {each.path}: {each.reason}" for each in [*setbacks, *of_judged])
        raise ReportError(f"no run can be reported:\n{told}")
    found = ledgers(bundles, wishes)
    if tell and found:
        tell(terminal_text(found, shutil.get_terminal_size(USUAL_SIZE).columns) + "\n")
    if runs:
        return _judged_report(runs, [*setbacks, *of_judged], found, folder, n_resamples)
    rows = {run.folder for bundle in bundles for run in bundle.runs}
    setbacks += [each for each in of_judged if each.path not in rows]  # a row says it already
    _make(folder)
    head: list[Block] = [Heading(TITLE_OF_RUNS, 1), Paragraph(origin(datetime.now())), *missing(setbacks)]
    return _written(folder, [*head, *_section(found)], TITLE_OF_RUNS, _sheets(found))


def _judged_report(
    runs: Sequence[Run], setbacks: Sequence[Setback], found: Sequence[Ledger], folder: Path, n_resamples: int
) -> Path:
    """With what takes seconds to import."""
    from tiles_ecg.summary.content import content
    from tiles_ecg.summary.illustration import illustrate
    from tiles_ecg.summary.section import sections
    from tiles_ecg.summary.standing import standing
    from tiles_ecg.summary.tables import results

    of_protocols = sections(runs)
    _make(folder)
    standings = [standing(section, n_resamples) for section in of_protocols]
    illustrations = [illustrate(each) for each in standings]
    setbacks = [*setbacks, *(setback for each in illustrations for setback in each.setbacks)]
    blocks = content(standings, illustrations, setbacks, n_resamples, datetime.now(), _section(found))
    return _written(folder, blocks, TITLE, {"results.csv": results(standings), **_sheets(found)})


def _section(found: Sequence[Ledger]) -> list[Block]:
    return runs_section(found, [ledger_pictures(each) for each in found]) if found else []


def _sheets(found: Sequence[Ledger]) -> dict[str, str]:
    return {"runs.csv": runs_csv(found), "ledger.csv": ledger_csv(found)} if found else {}


def _make(folder: Path) -> None:
    """Make the folder before the work, so that a mistake is answered at once.

    Raises:
        ReportError: If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(UNWRITABLE.format(folder, error)) from error
    if not os.access(folder, os.W_OK):
        raise ReportError(UNWRITABLE.format(folder, "permission denied"))


def _written(folder: Path, blocks: Sequence[Block], title: str, sheets: Mapping[str, str]) -> Path:
    try:
        for name, text in {**sheets, "report.md": markdown(blocks, PAGE), PAGE: page(blocks, title)}.items():
            _write(folder / name, text)
    except OSError as error:
        raise ReportError(UNWRITABLE.format(folder, error)) from error
    return folder / PAGE


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f"{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)
