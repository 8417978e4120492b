"""Sheets of a ledger: runs that may share a table, in rows by what differs between them apart from replicates."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiles_ecg.summary.ledger_runs import Bundle, LedgerRun

Cell = tuple[str, ...]
REPLICATES = ("seed", "protocol.seed", "dataset.draw", "dataset.fold")
"""Keys of which the values of a row are put together: those further left hold those further right."""
UNTOLD = re.compile(r"resume$|run_dir$|hydra[./]|logger\b|callback\.progress\b|audit\.")
"""Keys that change nothing of what a run learns."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
NOTHING = frozenset({"", "null", "none", "~"})


@dataclass(frozen=True)
class Row:
    """Runs that differ in their replicates only.

    Attributes:
        values: Of the sheet's keys, in full.
        cells: The run of each replicate; of several that are the same, the one that finished last.
        n_repeats: Runs that were left out for it.
    """

    values: tuple[str, ...]
    cells: Mapping[Cell, LedgerRun]
    n_repeats: int = 0


@dataclass(frozen=True)
class Sheet:
    """Runs of one program and objective, judged, if at all, by one yardstick.

    Attributes:
        bundle: Where they come from.
        stage: Of a sweep in stages.
        program: That ran.
        objective: Option of the config group; empty where unknown.
        task: The same.
        keys: Of the overrides that differ, apart from replicates.
        replicates: Keys of those that differ, outermost first.
        rows: By what differs.
        runs: All, in their order.
    """

    bundle: Bundle
    stage: str
    program: str
    objective: str
    task: str
    keys: tuple[str, ...]
    replicates: tuple[str, ...]
    rows: tuple[Row, ...]
    runs: tuple[LedgerRun, ...]

    @property
    def search(self) -> Mapping[str, str]:
        """What a search looks for; empty where it is none."""
        return self.bundle.plan.search if self.bundle.plan else {}

    @property
    def hashes(self) -> list[str]:
        """Of the protocols, each once."""
        return list(dict.fromkeys(run.hash for run in self.runs if run.hash))

    @property
    def level(self) -> int | None:
        """Over which of `REPLICATES` an interval is taken: the outermost that differs. None without any."""
        return next((REPLICATES.index(key) for key in self.replicates), None)


def sheets(bundle: Bundle) -> list[Sheet]:
    """The sheets of a sweep, or of runs by themselves, in the order of their first runs."""
    groups: dict[tuple[str, ...], list[LedgerRun]] = {}
    for run, identity in zip(bundle.runs, _identities(bundle), strict=True):
        groups.setdefault(identity, []).append(run)
    return [_sheet(bundle, identity, runs) for identity, runs in groups.items()]


def value_of(run: LedgerRun, key: str) -> str:
    """What a run has for a key: by the sweep, by its overrides, by its choices, by its config; empty where unknown."""
    for told in (run.told, run.overrides, run.status.choices):
        if key in told:
            return canonical(told[key])
    found: Any = run.config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None or isinstance(found, dict) else canonical(_text(found))


def canonical(text: str) -> str:
    """One text for one value: `0.001` for `1e-3`, `null` for `None`; no quotes, and no spaces in lists."""
    plain = re.sub(r"\s*,\s*", ",", text.strip().strip("'\""))
    if NUMBER.fullmatch(plain):
        return plain.lstrip("+") if re.fullmatch(r"[+-]?\d{1,15}", plain) else f"{float(plain):.12g}"
    return plain.lower() if plain.lower() in {"true", "false"} else "null" if plain.lower() in NOTHING else plain


def shown_values(values: Iterable[str]) -> dict[str, str]:
    """How values of a key are written in a table: paths by their last two parts, as long as that tells them apart."""
    known = list(dict.fromkeys(values))
    short = {value: _short(value) for value in known}
    return short if len(set(short.values())) == len(known) else {value: value for value in known}


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Keys by their last part, where that tells them apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: end if last.count(end) == 1 else key for key, end in zip(keys, last, strict=True)}


def _identities(bundle: Bundle) -> list[tuple[str, ...]]:
    """Stage, program, objective, task and yardstick of each run; what one does not know yet is as in the others."""
    raw = [_identity(bundle, run) for run in bundle.runs]
    for at in range(1, len(raw[0]) if raw else 0):
        for stage in {each[0] for each in raw}:
            if not any(each[at] for each in raw if each[0] == stage):  # nobody knows
                raw = [(*each[:at], "", *each[at + 1 :]) if each[0] == stage else each for each in raw]
    whole = list(dict.fromkeys(each for each in raw if None not in each))
    found = []
    for each in raw:
        alike = [w for w in whole if all(mine in (None, its) for mine, its in zip(each, w, strict=True))]
        chosen = alike[0] if len(alike) == 1 else each
        found.append(tuple(part or "" for part in chosen))
    return found


def _identity(bundle: Bundle, run: LedgerRun) -> tuple[str | None, ...]:
    program = run.status.program or (bundle.plan.program if bundle.plan else "")
    groups = [_choice(run, group) for group in ("objective", "task")]
    return (run.stage, program, *groups, run.yardstick)


def _choice(run: LedgerRun, group: str) -> str | None:
    text = run.status.choices.get(group, run.overrides.get(group))
    if text is None:
        return "" if run.status.choices else None
    return "" if canonical(text) == "null" else canonical(text)


def _sheet(bundle: Bundle, identity: tuple[str, ...], runs: list[LedgerRun]) -> Sheet:
    told: dict[str, None] = {}
    for run in runs:
        told |= dict.fromkeys(run.told if bundle.plan else run.overrides)
    keys = [key for key in told if key not in REPLICATES and not UNTOLD.match(key)]
    values = [{key: _without_seed(value_of(run, key), run) for key in keys} for run in runs]
    differing = tuple(key for key in keys if len({each[key] for each in values}) > 1)
    cells = _cells(runs)
    rows: dict[tuple[str, ...], dict[Cell, LedgerRun]] = {}
    repeats: dict[tuple[str, ...], int] = {}
    for run, each, cell in zip(runs, values, cells, strict=True):
        of_row = rows.setdefault(at := tuple(each[key] for key in differing), {})
        repeats[at] = repeats.get(at, 0) + (cell in of_row)
        of_row[cell] = max(of_row.get(cell, run), run, key=_finished_last)
    varying = tuple(key for number, key in enumerate(REPLICATES) if len({cell[number] for cell in cells}) > 1)
    stage, program, objective, task, _ = identity
    made = tuple(Row(at, of_row, repeats[at]) for at, of_row in rows.items())
    return Sheet(bundle, stage, program, objective, task, differing, varying, made, tuple(runs))


def _cells(runs: Sequence[LedgerRun]) -> list[Cell]:
    """The replicates of each run; what a job not begun does not say is as in the others, if they agree."""
    columns = []
    for key in REPLICATES:
        column = [value_of(run, key) for run in runs]
        known = {value for value in column if value}
        columns.append([value or (min(known) if len(known) == 1 else "") for value in column])
    return list(zip(*columns, strict=True))


def _finished_last(run: LedgerRun) -> tuple[bool, str]:
    return run.state == "finished", run.status.ended


def _without_seed(value: str, run: LedgerRun) -> str:
    """A path that names the run's own seed differs from those of other seeds by that only."""
    seed = value_of(run, "seed")
    return re.sub(rf"\bseed={re.escape(seed)}(?!\d)", "seed=*", value) if seed and "/" in value else value


def _short(value: str) -> str:
    return "/".join(value.rstrip("/").split("/")[-2:]) if "/" in value and not value.startswith(("[", "{")) else value


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else str(value)
