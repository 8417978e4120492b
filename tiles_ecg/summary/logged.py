"""What loggers are given of an evaluation: its numbers as a table, its embedding maps as pictures."""

import csv
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiles_ecg.evaluation.archive import ArchiveError
from tiles_ecg.evaluation.embedding_map import SUFFIX, load_embedding_map
from tiles_ecg.summary.runs import find_runs
from tiles_ecg.summary.section import sections
from tiles_ecg.summary.standing import standing
from tiles_ecg.summary.tables import results

log = logging.getLogger(__name__)

RESULTS_KEY = "tables/results"
MAP_KEY = "pictures/embedding_map"
N_RESAMPLES = 2000
NUMBERS = frozenset(
    {"value", "low", "high", "n_subjects", "n_examples", "folds", "folds_of_protocol", "seeds", "draws"}
)


def write_results(run_dir: Path, path: Path) -> None:
    """`results.csv` of a run, without a report.

    Raises:
        ReportError: If the run holds no predictions.
    """
    found = [standing(section, N_RESAMPLES) for section in sections(find_runs([run_dir])[0])]
    path.write_text(results(found), encoding="utf-8")


def deciding(path: Path, metric: str) -> dict[str, float]:
    """By method, `test/<metric>/<encoder>/<head>`: the metric that decides, with all labels, where it has a value.

    Args:
        path: A `results.csv`.
        metric: Which decides.
    """
    rows = [row for row in _rows(path) if row["metric"] == metric and not row["training_subjects"] and row["value"]]
    return {
        f"test/{metric}/{row['encoder']}" + (f"/{row['head']}" if row["head"] != "none" else ""): float(row["value"])
        for row in rows
    }


def log_evaluation(loggers: Sequence[Any], run_dir: Path, path: Path) -> None:
    """Hand an evaluation to the loggers that take tables and pictures.

    Args:
        loggers: Those with `log_rows(key, columns, rows, step)` and `log_picture(key, file, caption, step)` are used.
        run_dir: Of the evaluation; the pictures go into `pictures/` in it.
        path: Its `results.csv`.
    """
    rows = _rows(path)
    table = [[_cell(name, text) for name, text in row.items()] for row in rows]
    for logger in loggers:
        if rows and hasattr(logger, "log_rows"):
            logger.log_rows(RESULTS_KEY, list(rows[0]), table, 0)
    takers = [logger for logger in loggers if hasattr(logger, "log_picture")]
    if takers:
        _log_maps(takers, run_dir)


def _log_maps(takers: Sequence[Any], run_dir: Path) -> None:
    from tiles_ecg.summary.figure_map import draw_maps
    from tiles_ecg.summary.figure_style import NotDrawn

    for file in sorted((run_dir / "embedding").glob(f"*{SUFFIX}")):
        stem = file.name.removesuffix(SUFFIX)
        try:
            (figure,) = draw_maps([load_embedding_map(file)])
        except (NotDrawn, ArchiveError) as error:
            log.info("embedding map of %s: not drawn (%s)", stem, error)
            continue
        picture = run_dir / "pictures" / f"embedding_map_{stem}.png"
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(figure.png)
        for logger in takers:
            logger.log_picture(f"{MAP_KEY}/{stem}", picture, figure.caption, 0)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cell(name: str, text: str) -> str | float | None:
    """A number where the column has numbers; none where there is none."""
    if name not in NUMBERS:
        return text
    return float(text) if text and math.isfinite(float(text)) else None
