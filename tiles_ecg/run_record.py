"""status.json: what became of a run, written by the run itself, told apart from one that was killed by a lock."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from tiles_ecg.folder_lock import is_locked, lock_folder, this_process

STATUS_FILE = "status.json"
State = Literal["planned", "running", "stopped", "finished", "failed", "interrupted", "preempted", "pruned"]
"""`planned`: nothing is there yet. `stopped`: it was killed, and could not say so. `interrupted`: by Ctrl-C."""
OVER: frozenset[State] = frozenset({"finished", "pruned"})
"""States in which there is nothing left to do."""


class RunPreempted(SystemExit):
    """The run was asked to end by a signal, and has saved a checkpoint. It passes whoever catches failures."""


class RunPruned(Exception):
    """The search that the run belongs to gave it up."""


@dataclass(frozen=True)
class RunStatus:
    """What became of a run.

    Attributes:
        state: See `State`.
        program: `tiles-train` or `tiles-evaluate`.
        attempt: How often it was begun or gone on with.
        started: When it was begun, ISO 8601 in UTC.
        ended: When its last attempt ended; empty where it has not, or could not say so.
        step: The last training step, where it trains.
        max_steps: Its aim.
        metrics: What was logged last, and what callbacks sum up, by name.
        error: One line, where it failed.
        is_mistake: Whether that is the user's to mend.
        choices: Config groups and what was chosen.
        job: Where it ran: host, pid, Slurm job.
    """

    state: State = "planned"
    program: str = ""
    attempt: int = 0
    started: str = ""
    ended: str = ""
    step: int | None = None
    max_steps: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    is_mistake: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    job: Mapping[str, str] = field(default_factory=dict)


def read_status(folder: Path) -> RunStatus:
    """What became of the run of a folder; a run that says it is at work but holds no lock was killed."""
    written = _read(folder)
    if written.state == "running" and not is_locked(folder, written.job):
        return _replaced(written, state="stopped")
    return written


def mark_failed(folder: Path, error: BaseException, is_mistake: bool, program: str, choices: Mapping[str, str]) -> None:
    """Say of a job that failed before it could begin that it did; of one that has said so itself, nothing.

    Where its folder cannot be written, the job stays what it was: whoever calls this goes on with other jobs.
    """
    before = _read(folder)
    if before.state == "failed" and before.error == _line(error):
        return
    status = _replaced(
        before, state="failed", program=program, attempt=before.attempt + 1, started=before.started or _now(),
        ended=_now(), error=_line(error), is_mistake=is_mistake, choices=dict(choices), job=this_process(),
    )  # fmt: skip
    with contextlib.suppress(OSError):  # a full disk, or a file in the folder's place
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, status)


class RunRecord:
    """Keeps `status.json` of a run while the block lasts, and its lock, so that nobody else works in the folder.

    The block's end decides the state: none -> finished, `RunPruned` -> pruned, `RunPreempted` -> preempted, Ctrl-C ->
    interrupted, anything else -> failed.

    Args:
        folder: The run folder.
        program: Which runs.
        choices: Config groups and what was chosen.
        max_steps: The aim of one that trains.

    Raises:
        ConfigError: On entry, if another process works in the folder.
    """

    def __init__(
        self, folder: Path, program: str, choices: Mapping[str, str] | None = None, max_steps: int | None = None
    ) -> None:
        self.folder = folder
        self.program = program
        self.choices = dict(choices or {})
        self.max_steps = max_steps
        self._lock: IO[str] | None = None
        self._noted: dict[str, Any] = {}

    def note(self, step: int | None, metrics: Mapping[str, float]) -> None:
        """What the status will say of step and metrics; where there are none, those of before stay."""
        self._noted = {"step": step} | ({"metrics": dict(metrics)} if metrics else {})

    def __enter__(self) -> Self:
        self._lock = lock_folder(self.folder, "hydra.run.dir")
        before = _read(self.folder)
        self._status = _replaced(
            before, state="running", program=self.program, attempt=before.attempt + 1, ended="", error="",
            started=before.started or _now(), is_mistake=False, choices=self.choices, job=this_process(),
            max_steps=self.max_steps,
        )  # fmt: skip
        _write(self.folder, self._status)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = outcome(error)
        failure = {"error": _line(error), "is_mistake": _is_mistake(error)} if error and state == "failed" else {}
        with contextlib.suppress(OSError):  # a full disk has been told of already
            _write(self.folder, _replaced(self._status, state=state, ended=_now(), **self._noted, **failure))
        if self._lock is not None:
            self._lock.close()


def outcome(error: BaseException | None) -> State:
    """The state of a run that ended with this, or without an exception."""
    if error is None:
        return "finished"
    if isinstance(error, RunPruned):
        return "pruned"
    if isinstance(error, RunPreempted):
        return "preempted"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def _read(folder: Path) -> RunStatus:
    try:
        found = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
        return RunStatus(**{key: found[key] for key in (f.name for f in fields(RunStatus)) if key in found})
    except (OSError, ValueError, TypeError):
        return RunStatus()


def _write(folder: Path, status: RunStatus) -> None:
    scratch = folder / f"{STATUS_FILE}.tmp"
    scratch.write_text(json.dumps(vars(status), indent=1), encoding="utf-8")
    os.replace(scratch, folder / STATUS_FILE)


def _replaced(status: RunStatus, **changes: Any) -> RunStatus:
    return RunStatus(**(vars(status) | changes))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_mistake(error: BaseException) -> bool:
    return getattr(type(error), "is_user_error", False) is True
