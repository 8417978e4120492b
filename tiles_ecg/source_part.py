"""One source -> one part: read, prepared and written in a worker process."""

import contextlib
import errno
import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.fingerprint import DIGITS, File
from tiles_ecg.label import encode
from tiles_ecg.part import Part
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import LabelSpec, Reader, Recording, RecordingError, Source
from tiles_ecg.store import StoreError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Outcome:
    """What became of one source: `problem` is empty if its part is there."""

    key: str
    problem: str = ""
    n_windows: int = 0


def prepare_source(reader: Reader, preparation: Preparation, source: Source, part_path: Path) -> Outcome:
    """Read one source, prepare its recordings and write its part; runs in a worker process.

    Args:
        reader: What reads the source.
        preparation: What makes its windows.
        source: One of the reader's.
        part_path: The file to be.

    Raises:
        StoreError: If the disk is full. Anything wrong with the source itself comes back in the outcome.
    """
    try:
        with disk_full_explained(part_path), Part(part_path) as part:
            description = _fill(part, reader, preparation, source)
            part.describe(description)
    except StoreError:
        raise
    except (RecordingError, ValueError) as error:
        return Outcome(source.key, _named(source, str(error)))
    except MemoryError as error:
        return Outcome(source.key, _named(source, f"needs more memory than there is ({error})"))
    except Exception as error:  # a file can be broken in ways no reader foresees; the other 999 go on
        return Outcome(source.key, _named(source, f"{type(error).__name__}: {error}"))
    return Outcome(source.key, n_windows=description["n_windows"])


def end_with(main_process: int) -> None:
    """Let this worker process end soon after its parent, however that ends; it would wait five minutes for a task.

    Ctrl-C is left to the parent, which ends its workers: a terminal sends it to them too, and each would tell of it.

    Args:
        main_process: Id of the parent. It may have ended before this is called.
    """

    def watch() -> None:
        while os.getppid() == main_process:
            time.sleep(0.5)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def _named(source: Source, problem: str) -> str:
    """The problem, led by its source's key unless it begins with that or names one of the source's files."""
    is_named = problem.startswith(source.key) or any(Path(file).name in problem for file in source.files)
    return problem if is_named else f"{source.key}: {problem}"


def _fill(part: Part, reader: Reader, preparation: Preparation, source: Source) -> dict[str, Any]:
    before = stamp(source)
    recordings: dict[str, dict[str, Any]] = {}
    dropped: Counter[str] = Counter()
    notes: list[str] = []
    n_windows, n_leads, read_s = 0, None, 0.0
    for recording in reader.read(source):
        n_leads = n_leads or recording.signal.shape[1]
        if recording.signal.shape[1] != n_leads:
            raise RecordingError(
                f"{source.key}: {recording.id} has {recording.signal.shape[1]} leads, the first {n_leads}"
            )
        _check_labels(recording, reader.labels)
        prepared = preparation(recording, reader.labels)
        known = recordings.setdefault(recording.id, {"number": len(recordings), **_facts(recording)})
        known["labels"].update(recording.labels)
        part.append(
            {
                "signal": prepared.signal,
                "recording": np.full(len(prepared.signal), known["number"], np.int32),
                "start_s": prepared.start_s,
                "wall_time_s": prepared.wall_time_s,
                "quality": prepared.quality,
                "beat_position": prepared.beat_position,
                "beat_count": prepared.beat_count,
                "digest": _window_digests(prepared.signal),
                **{f"label/{name}": values for name, values in prepared.label.items()},
            }
        )
        dropped.update(recording.dropped)
        dropped.update(prepared.dropped)
        notes += [note for note in recording.notes if note not in notes]
        n_windows += len(prepared.signal)
        read_s += len(recording.signal) * recording.signal.shape[-1] / recording.sample_rate
    content, files = _content(source)
    if stamp(source) != before:
        raise RecordingError(f"{source.key}: changed while it was read; run the same command again")
    return {
        "key": source.key,
        "stamp": before,
        "content": content,
        "files": files,
        "recordings": list(recordings.values()),
        "dropped": dict(+dropped),
        "notes": notes,
        "n_windows": n_windows,
        "read_s": read_s,
        "n_leads": n_leads or 0,
    }


def _check_labels(recording: Recording, specs: Sequence[LabelSpec]) -> None:
    """Refuse values that no class has here, where one source can be left out, rather than when the store is made."""
    for spec in specs:
        if spec.level != "window":
            encode(spec, [recording.labels.get(spec.name)])
    known = {spec.name for spec in specs}
    for name in (*recording.labels, *(annotations.label for annotations in recording.annotations)):
        if name not in known:
            raise RecordingError(f"{recording.id} has a label {name} that its reader does not declare in `labels`")


def _facts(recording: Recording) -> dict[str, Any]:
    return {
        "id": recording.id,
        "subject": recording.subject,
        "source": recording.source,
        "device": recording.device,
        "unit": recording.unit,
        "leads": list(recording.leads),
        "labels": dict(recording.labels),
    }


def stamp(source: Source) -> list[list[Any]]:
    """Size and time of change of the source's files: what tells whether its part still holds."""
    found = [(file, os.stat(file)) for file in source.files if Path(file).exists()]
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in found]


def _content(source: Source) -> tuple[str, list[File]]:
    """Hash of the source's key and of all its files; and of each file by itself."""
    digest = hashlib.blake2b(source.key.encode(), digest_size=16)
    files = []
    for file in map(Path, source.files):
        if file.exists():
            own, n_bytes = hashlib.blake2b(digest_size=DIGITS // 2), 0
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
                    own.update(block)
                    n_bytes += len(block)
            files.append((str(file), n_bytes, own.hexdigest()))
    return digest.hexdigest(), files


def _window_digests(signal: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(W,) uint64, equal for windows that hold exactly the same values."""
    listed = [hashlib.blake2b(window.tobytes(), digest_size=8).digest() for window in signal]
    return np.frombuffer(b"".join(listed), np.uint64)


@contextlib.contextmanager
def disk_full_explained(path: Path) -> Iterator[None]:
    """Turn whatever the system and HDF5 say of a full disk into a `StoreError` that says what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        text = str(error)
        if getattr(error, "errno", None) in DISK_FULL or "No space left" in text or "File too large" in text:
            raise StoreError(
                f"{path}: the disk is full; make room and run the same command again: what was prepared so far is kept"
            ) from error
        raise
