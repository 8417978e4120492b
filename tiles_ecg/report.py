"""tiles-report: finished evaluation and fine-tuning runs -> report.md, report.html and results.csv."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

MISTAKE = 2
INTERRUPTED = 130
DEFAULT_FOLDER = Path("outputs/report")
PAGE = "report.html"
TITLE = "Evaluation of ECG encoders"
UNWRITABLE = "-o {}: cannot be written ({}); give a folder that can"
N_RESAMPLES = 2000
FEWEST_RESAMPLES = 50
"""As `tiles_ecg.evaluation.bootstrap` has it, which takes a second to import."""


def main(argv: Sequence[str] | None = None) -> None:
    """Console entry point.

    Args:
        argv: Arguments after the program's name; None takes those of the process.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption.
    """
    arguments = _arguments(argv)
    try:
        page = write_report(arguments.runs, arguments.output, arguments.resamples)
    except KeyboardInterrupt:
        print("tiles-report: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if getattr(type(error), "is_user_error", False) is not True:
            raise
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        print(f"tiles-report: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    print(f"report: {page}")


def write_report(paths: Sequence[Path], folder: Path, n_resamples: int = N_RESAMPLES) -> Path:
    """Read runs and write their report.

    Args:
        paths: Folders of runs, or above them.
        folder: Where report.md, report.html and results.csv go; made if it is not there.
        n_resamples: Of the bootstrap of the metric that decides.

    Returns:
        The page.

    Raises:
        ReportError: If there is nothing to report, two runs contradict each other, or the folder cannot be written.
    """
    from tiles_ecg.summary.content import content
    from tiles_ecg.summary.illustration import illustrate
    from tiles_ecg.summary.markdown import markdown
    from tiles_ecg.summary.page import page
    from tiles_ecg.summary.runs import ReportError, find_runs
    from tiles_ecg.summary.section import sections
    from tiles_ecg.summary.standing import standing
    from tiles_ecg.summary.tables import results

    if folder.exists() and not folder.is_dir():
        raise ReportError(f"-o {folder}: a file; give a folder, which is made if it is not there")
    runs, setbacks = find_runs(paths)
    found = sections(runs)
    _make(folder)
    standings = [standing(section, n_resamples) for section in found]
    illustrations = [illustrate(each) for each in standings]
    setbacks += [setback for each in illustrations for setback in each.setbacks]
    blocks = content(standings, illustrations, setbacks, n_resamples, datetime.now())
    try:
        _write(folder / "results.csv", results(standings))
        _write(folder / "report.md", markdown(blocks, PAGE))
        _write(folder / PAGE, page(blocks, TITLE))
    except OSError as error:
        raise ReportError(UNWRITABLE.format(folder, error)) from error
    return folder / PAGE


def _make(folder: Path) -> None:
    """Before the work, so that a mistake is answered at once."""
    from tiles_ecg.summary.runs import ReportError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(UNWRITABLE.format(folder, error)) from error
    if not os.access(folder, os.W_OK):
        raise ReportError(UNWRITABLE.format(folder, "permission denied"))


DESCRIPTION = """\
tiles-report: finished runs -> one page of tables and figures.

Runs of tiles-evaluate and of tiles-train objective=finetune|probe|fusion are put together: each method
with its interval, beside its controls and in paired comparisons. Folds and seeds of a method are joined;
runs under different protocols are kept apart. What cannot be used is named, with the reason."""
EPILOG = """\
Common commands
  tiles-report outputs -o report                       all runs below a folder
  tiles-report outputs/evaluate-cinc2017_af outputs/sweep-finetune     frozen and fine-tuned, one table
  tiles-report outputs/my-run --resamples 200          sooner, for a first look

Results, in -o: report.html (one file, no network), report.md, results.csv (all numbers).

Exit status: 0 done; 1 it failed; 2 a mistake in the command or the runs; 130 interrupted."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="tiles-report",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="FOLDER", help="run folders, or folders above them")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="folder for report.md, report.html and results.csv (default: %(default)s)",
    )
    parser.add_argument(
        "--resamples",
        type=_count,
        default=N_RESAMPLES,
        metavar="N",
        help="of the bootstrap, for the metric that decides (default: %(default)s)",
    )
    return parser.parse_args(argv)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < FEWEST_RESAMPLES:
        raise argparse.ArgumentTypeError(f"{text!r}: an interval needs a whole number of at least {FEWEST_RESAMPLES}")
    return number


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f"{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


if __name__ == "__main__":
    main()
