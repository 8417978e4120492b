"""tiles-report: sweeps and runs -> a table on the terminal; report.md, report.html and sheets of all numbers."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tiles_ecg.plain_console import Parser, failures_told, say

DEFAULT_FOLDER = Path("outputs/report")
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
    with failures_told("tiles-report"):
        page = write_report(
            arguments.runs, arguments.output, arguments.resamples, arguments.metric, arguments.against, say
        )
    say(f"report: {page}")


def write_report(
    paths: Sequence[Path],
    folder: Path,
    n_resamples: int = N_RESAMPLES,
    metrics: Sequence[str] = (),
    against: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Read sweeps and runs, and write their report.

    Args:
        paths: Folders of sweeps or runs, or above them.
        folder: Where report.md, report.html and the sheets of numbers go; made if it is not there. The sheets are
            runs.csv and ledger.csv where there are sweeps or training runs, results.csv where there are judged runs.
        n_resamples: Of the bootstrap of the metric that decides.
        metrics: Of the ledger, the one that decides first; all that matter by default.
        against: Override keys and values of the row that others are compared with; the first one by default.
        tell: Is given the table of runs, as text; nothing is told where there are none.

    Returns:
        The page.

    Raises:
        ReportError: If there is nothing to report, two runs contradict each other, a metric or a row is not there, or
            the folder cannot be written.
    """
    from tiles_ecg.summary.ledger import Wishes
    from tiles_ecg.summary.whole import whole_report

    return whole_report(paths, folder, n_resamples, Wishes(tuple(metrics), against or {}), tell)


DESCRIPTION = """\
tiles-report: sweeps and runs -> tables on the terminal, and one page with figures.

Sweeps and runs of tiles-train: what became of each job, what differs, what came out; then a row for
whatever differs apart from seeds and folds, with mean, interval and the difference to a reference.
Runs of tiles-evaluate and of tiles-train objective=finetune|probe|fusion are put together as well: each method
with its interval, beside its controls and in paired comparisons. Folds and seeds of a method are joined;
runs under different protocols are kept apart. What cannot be used is named, with the reason."""
EPILOG = """\
Common commands
  tiles-report outputs/sweep-simclr/2026-11-22_14-05-00-ab12          a sweep, finished or not
  tiles-report SWEEP --metric val/loss --against encoder=resnet8      one metric, differences to one row
  tiles-report outputs -o report                       all runs below a folder
  tiles-report outputs/evaluate-cinc2017_af outputs/sweep-finetune     frozen and fine-tuned, one table
  tiles-report outputs/my-run --resamples 200          sooner, for a first look

Results, in -o: report.html (one file, no network), report.md; of sweeps and training runs runs.csv (every job)
and ledger.csv (means and intervals); of judged runs results.csv (all numbers).

Exit status: 0 done; 1 it failed; 2 a mistake in the command or the runs; 130 interrupted."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser("tiles-report", DESCRIPTION, EPILOG)
    parser.add_argument("runs", nargs="+", type=Path, metavar="FOLDER", help="sweeps, runs, or folders above")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="folder for the page and the sheets of numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="of the table of runs; may be given several times, the first one decides (default: all that matter)",
    )
    parser.add_argument(
        "--against",
        type=_against,
        default={},
        metavar="KEY=VALUE[,KEY=VALUE]",
        help="row that the others are compared with (default: the first)",
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


def _against(text: str) -> dict[str, str]:
    parts = [part.partition("=") for part in re.split(r",(?=[\w./@]+=)", text)]
    if not all(key and sign for key, sign, _ in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: give KEY=VALUE, or several with commas between")
    return {key: value for key, _, value in parts}


if __name__ == "__main__":
    main()
