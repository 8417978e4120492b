"""What a W&B run holds already, and what it lacks, so that a resumed run writes every row once."""

import csv
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

TIME_LIMIT_S = 60


def last_step(folder: Path, run_id: str, present: Path) -> int:
    """The largest step in the files of a run, those of killed attempts included; -1 where there is none.

    They are read by `wandb leet inspect`, which W&B documents; it takes half a second a file.

    Args:
        folder: The run folder.
        run_id: Of the W&B run.
        present: Folder of the attempt that begins now.
    """
    files = [file for file in folder.glob(f"wandb/*run-*-{run_id}/run-{run_id}.wandb") if not _is_in(file, present)]
    return max(map(_last_step, files), default=-1)


def rows_between(file: Path, after: int, before: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Rows of a `metrics.csv` by step, of steps above `after` and below `before`; none where there is no such file."""
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
    except OSError:
        return
    for row in rows:
        step = row.pop("step", None) or ""
        if step.isdigit() and after < int(step) < before:
            yield int(step), {name: float(text) for name, text in row.items() if text}


def _is_in(file: Path, folder: Path) -> bool:
    return file.parent.resolve() == folder.resolve()


def _last_step(file: Path) -> int:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s: not read (%s); its steps may be shown twice", file, error)
        return -1
    found = -1
    for line in ended.stdout.splitlines():
        if '"type":"history"' in line:
            found = max(found, _step(line))
    return found


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["history"]["step"]["num"])
    except (ValueError, KeyError, TypeError):
        return -1
