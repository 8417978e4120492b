"""Runs of a ledger: what sweeps and runs started by themselves left in their folders, whatever became of them."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tiles_ecg.console_resume import COMMAND_FILE, CONFIG_FILE, PROTOCOL_FILE, own_overrides, read_command
from tiles_ecg.run_record import OVER, STATUS_FILE, RunStatus, State, read_status
from tiles_ecg.summary.runs import OTHERS, Setback, read_config, require_folder, shown
from tiles_ecg.sweep.plan import Job, SweepError, SweepPlan, is_sweep, key_of, read_plan

UNKNOWN = "unknown"
"""The state of a run whose status cannot be read."""
TRAINER = "tiles-train"
METRICS_FILE = "metrics.csv"
TAIL = 4096
"""Bytes from the end of `metrics.csv`, in which its last row is looked for."""
DIVISION = frozenset({"seed", "split"})
"""What a protocol says of how subjects are divided, which may differ between replicates."""


@dataclass(frozen=True)
class LedgerRun:
    """A run, or a job that was not begun.

    Attributes:
        folder: Where it is, or will be.
        number: Its place among the jobs of the sweep.
        state: What became of it; `unknown` where its status cannot be read.
        status: The rest of what it says of itself.
        told: What tells it from the other jobs, as the sweep says: override key -> value.
        overrides: All that it was composed with: key -> value.
        config: Resolved; empty where there is none yet.
        stage: Of a sweep in stages.
        hash: Of the protocol that it was judged by; empty where it was by none, or is not that far.
        judged_by: The metric that decides by that protocol; empty likewise.
        yardstick: What must be equal for two numbers to be compared; empty where no task is judged, None where unknown.
    """

    folder: Path
    number: int
    state: str
    status: RunStatus
    told: Mapping[str, str]
    overrides: Mapping[str, str]
    config: Mapping[str, Any]
    stage: str = ""
    hash: str = ""
    judged_by: str = ""
    yardstick: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do, and nobody is at it."""
        return self.state not in (*OVER, "running")

    @property
    def reached(self) -> int | None:
        """The last step that is known of: while a run is at work, by its `metrics.csv`."""
        if self.state in ("finished", "planned"):
            return self.status.step
        logged = _last_logged(self.folder / METRICS_FILE)
        known = [step for step in (self.status.step, logged) if step is not None]
        return max(known, default=None)


@dataclass(frozen=True)
class Bundle:
    """A sweep, or all runs that were started by themselves.

    Attributes:
        folder: Of the sweep; None where there is none.
        plan: Of the sweep.
        runs: In the order of the plan, else of their paths.
    """

    folder: Path | None
    plan: SweepPlan | None
    runs: tuple[LedgerRun, ...]


def find_bundles(paths: Sequence[Path]) -> tuple[list[Bundle], list[Setback], set[Path]]:
    """Sweeps and runs in and below some folders, each once; runs of tiles-evaluate count as jobs of a sweep only.

    Returns:
        What was found, runs by themselves last; what cannot be used; and those of the paths that hold any of it.

    Raises:
        ReportError: If a path is not a folder.
    """
    setbacks: list[Setback] = []
    sweeps: dict[Path, SweepPlan] = {}
    single: dict[Path, None] = {}
    holders = set()
    for path in paths:
        require_folder(path)
        before = len(setbacks)
        for folder, plan in _walk(path.resolve(), setbacks):
            holders.add(path)
            if plan is None:
                single[folder] = None
            else:
                sweeps[folder] = plan
        holders |= {path} if len(setbacks) > before else set()
    bundles = [Bundle(shown(folder), plan, _jobs(folder, plan, setbacks)) for folder, plan in sweeps.items()]
    in_sweeps = {folder / job.name for folder, plan in sweeps.items() for job in plan.jobs}
    alone = [folder for folder in single if folder not in in_sweeps]
    runs = tuple(_read(folder, number, None, setbacks) for number, folder in enumerate(alone))
    return [*bundles, *([Bundle(None, None, runs)] if runs else [])], list(dict.fromkeys(setbacks)), holders


def _walk(root: Path, setbacks: list[Setback]) -> Iterator[tuple[Path, SweepPlan | None]]:
    """Sweeps with their plans, and single runs without; nothing that lies within either."""
    for place, below, files in os.walk(root):
        folder = Path(place)
        below[:] = sorted(name for name in below if name not in OTHERS and not name.startswith("."))
        if is_sweep(folder):
            try:
                plan = read_plan(folder)
            except SweepError as error:
                reason = str(error).partition(": ")[2]
                setbacks.append(Setback(shown(folder / "sweep.json"), f"{reason}; its runs are told by themselves"))
                continue
            below.clear()
            yield folder, plan
        elif STATUS_FILE in files or PROTOCOL_FILE in files:
            below.clear()
            if STATUS_FILE in files and _is_told(folder):
                yield folder, None
        elif CONFIG_FILE in files and COMMAND_FILE in files:
            below.clear()
            if not _has_task(folder):  # those that have are looked for by their protocol
                setbacks.append(Setback(shown(folder), f"no {STATUS_FILE}: made by an earlier version"))


def _is_told(folder: Path) -> bool:
    """Whether a run that is not of a sweep has a row: those of tiles-evaluate have sections of their own."""
    return read_status(folder).program in (TRAINER, "")


def _has_task(folder: Path) -> bool:
    try:
        return read_config(folder / CONFIG_FILE).get("task") is not None
    except ValueError:
        return False


def _jobs(folder: Path, plan: SweepPlan, setbacks: list[Setback]) -> tuple[LedgerRun, ...]:
    return tuple(_read(folder / job.name, number, job, setbacks) for number, job in enumerate(plan.jobs))


def _read(folder: Path, number: int, job: Job | None, setbacks: list[Setback]) -> LedgerRun:
    """A run as its folder has it; what is damaged is named, and taken for missing."""
    status = read_status(folder)
    state: str = status.state
    if (folder / STATUS_FILE).exists() and not _is_sound(status):
        setbacks.append(Setback(shown(folder / STATUS_FILE), "damaged: it holds no status of a run"))
        status, state = RunStatus(), UNKNOWN
    config: dict[str, Any] = {}
    if (folder / CONFIG_FILE).exists():
        try:
            config = read_config(folder / CONFIG_FILE)
        except ValueError as error:
            setbacks.append(Setback(shown(folder / CONFIG_FILE), f"damaged: {error}"))
    hash_, judged_by, yardstick = _protocol(folder, config)
    overrides = job.overrides if job else own_overrides(read_command(folder))
    return LedgerRun(
        folder=shown(folder),
        number=number,
        state=state,
        status=status,
        told=dict(job.varied) if job else {},
        overrides={key_of(text): text.partition("=")[2] for text in overrides},
        config=config,
        stage=job.stage if job else "",
        hash=hash_,
        judged_by=judged_by,
        yardstick=yardstick,
    )


def _is_sound(status: RunStatus) -> bool:
    """What a run writes says when it began; that of a damaged file does not."""
    numbers = status.metrics.values() if isinstance(status.metrics, dict) else [None]
    steps = (status.step, status.max_steps)
    return (
        status.state in get_args(State)
        and bool(status.started)
        and all(isinstance(x, int | float) for x in numbers)
        and all(step is None or isinstance(step, int) for step in steps)
        and isinstance(status.choices, dict)
        and isinstance(status.error, str)
    )


def _protocol(folder: Path, config: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The hash of the protocol, the metric that decides, and what it covers apart from how subjects were divided."""
    try:
        content = json.loads((folder / PROTOCOL_FILE).read_text(encoding="utf-8"))
        about = {key: value for key, value in dict(content["about"]).items() if key not in DIVISION}
        return str(content["hash"]), str(about["metric"]), json.dumps(about, sort_keys=True)
    except (OSError, ValueError, TypeError, KeyError):
        return "", "", "" if config and config.get("task") is None else None


def _last_logged(path: Path) -> int | None:
    """Steps done by the last whole row of a `metrics.csv`, whose steps count from 0."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            tail = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    rows = csv.reader(io.StringIO(tail[: tail.rfind("\n") + 1]))
    steps = [int(row[0]) + 1 for row in rows if row and row[0].isdecimal()]
    return steps[-1] if steps else None
