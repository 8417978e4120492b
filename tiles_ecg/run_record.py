"""status.json: what became of a run, written by the run itself, told apart from one that was killed by a lock."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from tiles_ecg.config import ConfigError

STATUS_FILE = "status.json"
LOCK_FILE = ".lock"
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
    if written.state == "running" and not _is_locked(folder, written):
        return _replaced(written, state="stopped")
    return written


def mark_failed(folder: Path, error: BaseException, is_mistake: bool, program: str, choices: Mapping[str, str]) -> None:
    """Say of a job that failed before it could begin that it did; of one that has said so itself, nothing."""
    before = _read(folder)
    if before.state == "failed" and before.error == _line(error):
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder,
        _replaced(
            before, state="failed", program=program, attempt=before.attempt + 1, started=before.started or _now(),
            ended=_now(), error=_line(error), is_mistake=is_mistake, choices=dict(choices), job=_job(),
        ),
    )  # fmt: skip


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
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder)
        before = _read(self.folder)
        self._status = _replaced(
            before, state="running", program=self.program, attempt=before.attempt + 1, ended="", error="",
            started=before.started or _now(), is_mistake=False, choices=self.choices, job=_job(),
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


def _job() -> dict[str, str]:
    slurm = {key.lower(): os.environ[key] for key in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT") if key in os.environ}
    return {"host": socket.gethostname(), "pid": str(os.getpid()), **slurm}


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_mistake(error: BaseException) -> bool:
    return getattr(type(error), "is_user_error", False) is True


def _locked(folder: Path) -> IO[str] | None:
    """The lock, held until it is closed or the process ends; None where the system or file system has no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = (folder / LOCK_FILE).open("w")
    for is_last in (*[False] * 20, True):  # someone may be looking at it, for an instant
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if not is_last:
                time.sleep(0.05)
        except OSError:
            break
    else:
        handle.close()
        where = " ".join(f"{key} {value}" for key, value in _read(folder).job.items())
        raise ConfigError(
            f"hydra.run.dir = {folder}: another process is at work in it ({where}); wait for it, or give another folder"
        )
    handle.close()
    return None


def _is_locked(folder: Path, status: RunStatus) -> bool:
    """Whether some process holds the lock; where there are no locks, whether the process that says so may be there."""
    try:
        import fcntl

        with (folder / LOCK_FILE).open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return _may_be_there(status.job)
    return False


def _may_be_there(job: Mapping[str, str]) -> bool:
    """Whether a process of this host is there; one of another host is taken at its word."""
    if job.get("host") != socket.gethostname() or os.name == "nt":  # where a signal 0 would end it
        return True
    try:
        os.kill(int(job.get("pid", "0")), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
