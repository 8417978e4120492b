"""A description against what runs logged: panels that would stay empty, and keys that nobody would see."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from tiles_ecg.workspace.description import Dashboard, Panel, Section
from tiles_ecg.workspace.key import alternatives, has_star, pattern
from tiles_ecg.workspace.logged import STEP, Kind, Logged

NEEDS_NO_PANEL = frozenset({"epoch", STEP})
SYSTEM = "system/"
"""What W&B measures by itself, depending on the machine: not compared."""


@dataclass(frozen=True)
class Comparison:
    """What was found, a line each.

    Attributes:
        empty: Keys of panels that no run logs.
        unseen: Logged keys that no panel shows.
        unchecked: What these runs say nothing of.
    """

    empty: tuple[str, ...]
    unseen: tuple[str, ...]
    unchecked: tuple[str, ...]


def compare(dashboard: Dashboard, runs: Sequence[Logged]) -> Comparison:
    """Compare each section with the runs of its job types, and each run with the sections of its own."""
    empty, unchecked = [], []
    for section in dashboard.sections:
        chosen = [run for run in runs if run.job_type in section.job_types]
        if not chosen:
            unchecked.append(f"{section.name}: no run of job type {'/'.join(section.job_types)} is given")
            continue
        for panel in section.panels:
            if panel.is_optional:
                continue
            where = f"{section.name} / {panel.title}"
            if panel.type == "table" and not any(run.has_wandb for run in chosen):
                unchecked.append(f"{where}: tables are in W&B files, and these runs have none")
                continue
            empty += [f"{where}: {line}" for line in _empty(panel, chosen)]
    return Comparison(tuple(empty), tuple(_unseen(dashboard.sections, runs)), tuple(unchecked))


def _empty(panel: Panel, runs: Sequence[Logged]) -> Iterator[str]:
    """A line for each key of a panel that none of the runs logs as it needs it."""
    kind = _kind(panel)
    logged = {key: found for run in runs for key, found in run.kinds.items()}
    for key in panel.keys:
        if key.startswith(SYSTEM):
            continue
        matched = [name for name in logged if re.match(pattern([key]), name)]
        if any(run.kinds.get(name) == kind for run in runs for name in matched):
            continue
        if kind == "number" and any(re.match(pattern([key]), name) for run in runs for name in run.summed_up):
            continue
        if matched:
            yield f"{matched[0]} is logged as {logged[matched[0]]}; a panel of type: {panel.type} shows only {kind}s"
            continue
        near = [] if has_star(key) else get_close_matches(alternatives(key)[0], logged, n=1)
        jobs = ", ".join(sorted({run.job_type for run in runs}))
        yield f"no {jobs} run logs {key}{f'; did you mean {near[0]}?' if near else ''}"


def _unseen(sections: Sequence[Section], runs: Sequence[Logged]) -> list[str]:
    lines = set()
    for run in runs:
        panels = [panel for section in sections if run.job_type in section.job_types for panel in section.panels]
        for key, kind in run.kinds.items():
            if key in NEEDS_NO_PANEL:
                continue
            if not any(_kind(panel) == kind and re.match(pattern(panel.keys), key) for panel in panels):
                lines.add(f"{key} ({kind}, logged by {run.job_type}) is in no panel")
    return sorted(lines)


def _kind(panel: Panel) -> Kind:
    return panel.type if panel.type in ("image", "table") else "number"
