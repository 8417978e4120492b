"""Ingestion: all sources of a reader -> one store, in parallel, resumable, whole or absent."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import get_active_backend
from tqdm import tqdm

from tiles_ecg.assembly import PartInfo, assemble
from tiles_ecg.config import ConfigError
from tiles_ecg.label import check_unique
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import Reader, RecordingError, Source
from tiles_ecg.source_part import disk_full_explained, prepare_source, stamp
from tiles_ecg.store import Store, StoreError, read_description

log = logging.getLogger(__name__)

PARTS_SUFFIX = ".parts"


def prepare(
    reader: Reader,
    preparation: Preparation,
    store: Path,
    config: Mapping[str, Any],
    on_error: Literal["skip", "raise"] = "skip",
    n_jobs: int | None = None,
    overwrite: bool = False,
    show_progress: bool = True,
) -> Path:
    """Prepare every source of a reader and assemble the store.

    Finished sources lie in `<store>.parts` until the store is whole; an interrupted call takes them up again. Runs
    through joblib, so that `joblib.parallel_config(backend="dask")` spreads it over machines that share the folder.

    Args:
        reader: A `tiles_ecg.recording.Reader`.
        preparation: A `tiles_ecg.preparation.Preparation`.
        store: The HDF5 file to be.
        config: The resolved `reader` and `preparation` config, kept in the store.
        on_error: `skip` reports and counts a source that cannot be read; `raise` stops there.
        n_jobs: Processes; None takes one a core, or what joblib's own context says.
        overwrite: Whether a store of another config or other sources may be replaced.
        show_progress: Whether progress bars and the summary are shown.

    Returns:
        The path of the store.

    Raises:
        ConfigError: If there is a store of another config and `overwrite` is false.
        RecordingError: If the root cannot be read, or with `raise`, a source.
        StoreError: If no window is left, or the disk is full.
    """
    _check_folder(store)
    sources = sorted(reader.sources(), key=lambda source: source.key)
    specs = tuple(reader.labels)
    check_unique(specs)
    plan = _plan_digest(config, sources)
    with _lock(store):
        if _is_done(store, plan, overwrite):
            log.info("%s is up to date: the same config, the same files", store)
            return store
        parts_folder = _open_parts(store, config)
        failed = _prepare_all(reader, preparation, sources, parts_folder, on_error, n_jobs, show_progress)
        parts = []
        for source in sources:
            path = _part_path(parts_folder, source.key)
            description = read_description(path) if source.key not in failed else None
            if description is not None:
                parts.append(PartInfo(path, description))
        with disk_full_explained(store):
            summary = assemble(
                parts,
                store,
                specs,
                preparation.sample_rate,
                preparation.window_length,
                {**config, "plan": plan},
                failed,
                show_progress,
            )
        shutil.rmtree(parts_folder)
    if show_progress:
        log.info("%s", describe(store, summary, failed))
    return store


def describe(store: Path, summary: Mapping[str, Any], failed: Mapping[str, str]) -> str:
    """The summary of a store as a person reads it."""
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in summary["dropped"].items()) or "none"
    low, middle, high = (summary["quality_deciles"][i] for i in (1, 5, 9))
    lines = [
        f"{store}",
        f"  {summary['windows']:,} windows ({summary['hours']:,.1f} h) of {summary['recordings']:,} recordings of "
        f"{summary['subjects']:,} subjects; {summary['beats_per_minute']:.0f} beats/min",
        f"  quality: median {middle:.2f}, 10 % below {low:.2f}, 10 % above {high:.2f}",
        f"  dropped: {dropped}",
    ]
    if failed:
        lines.append(f"  {len(failed):,} sources could not be read:")
        lines += [f"    {problem}" for problem in list(failed.values())[:10]]
        lines += [f"    ... and {len(failed) - 10:,} more"] if len(failed) > 10 else []
    lines += [f"  note: {note}" for note in summary["notes"]]
    return "\n".join(lines)


def _prepare_all(
    reader: Reader,
    preparation: Preparation,
    sources: Sequence[Source],
    folder: Path,
    on_error: str,
    n_jobs: int | None,
    show_progress: bool,
) -> dict[str, str]:
    """Prepare the sources that have no valid part yet; return the problems of those that failed, by key."""
    todo = []
    for source in sources:
        description = read_description(_part_path(folder, source.key))
        if description is None or description["stamp"] != stamp(source):
            todo.append(source)
    if show_progress and len(todo) < len(sources):
        log.info("going on: %s of %s sources are prepared", f"{len(sources) - len(todo):,}", f"{len(sources):,}")
    jobs = (delayed(prepare_source)(reader, preparation, source, _part_path(folder, source.key)) for source in todo)
    failed: dict[str, str] = {}
    settings = contextlib.nullcontext() if n_jobs is None else parallel_config(n_jobs=n_jobs)
    with settings, tqdm(total=len(todo), desc="preparing", unit="source", disable=not show_progress) as bar:
        default = -1 if n_jobs is None and not _in_joblib_context() else None
        n_windows = 0
        for outcome in Parallel(n_jobs=default, return_as="generator_unordered")(jobs):
            if outcome.problem:
                if on_error == "raise":
                    raise RecordingError(outcome.problem)
                failed[outcome.key] = outcome.problem
                if show_progress:
                    bar.write(f"skipped: {outcome.problem}")
            n_windows += outcome.n_windows
            bar.update()
            bar.set_postfix_str(
                f"{n_windows:,} windows" + (f", {len(failed):,} skipped" if failed else ""), refresh=False
            )
    return failed


def _in_joblib_context() -> bool:
    """Whether the caller chose a backend or a number of jobs through `joblib.parallel_config`."""
    _, n_jobs = get_active_backend()
    return n_jobs not in (None, 1)


def _check_folder(store: Path) -> None:
    if store.is_dir():
        raise ConfigError([f"store = {store}: a folder; give the path of the file to be, such as {store}/ecg.h5"])
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"store = {store}: its folder cannot be made ({error.strerror})"]) from None
    if not os.access(store.parent, os.W_OK):
        raise ConfigError([f"store = {store}: no permission to write in {store.parent}"])


def _is_done(store: Path, plan: str, overwrite: bool) -> bool:
    if not store.exists():
        return False
    try:
        if Store(store).config.get("plan") == plan:
            return True
        what = "was prepared with another config or from other files"
    except StoreError as error:
        what = f"is in the way ({error})"
    if overwrite:
        return False
    raise ConfigError([f"store = {store}: {what}; choose another name, or replace it with overwrite=true"])


def _open_parts(store: Path, config: Mapping[str, Any]) -> Path:
    """The folder of finished parts: kept if it is of this config, else begun anew."""
    folder = store.with_name(store.name + PARTS_SUFFIX)
    plan = folder / "config.json"
    text = json.dumps(config, sort_keys=True, default=str)
    if folder.exists() and not (plan.exists() and plan.read_text() == text):
        if any(folder.iterdir()) and not plan.exists():
            raise ConfigError([f"store = {store}: {folder} is in the way and was not made by tiles-prepare; move it"])
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    for left_over in folder.glob("*.tmp"):
        left_over.unlink(missing_ok=True)
    if not plan.exists():
        scratch = plan.with_suffix(".tmp")
        scratch.write_text(text)
        os.replace(scratch, plan)
    return folder


def _part_path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.part"


def _plan_digest(config: Mapping[str, Any], sources: Sequence[Source]) -> str:
    text = json.dumps([config, [[source.key, stamp(source)] for source in sources]], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextlib.contextmanager
def _lock(store: Path) -> Iterator[None]:
    """One `tiles-prepare` a store at a time; a second one waits."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: two at once would repeat work, not spoil it
        yield
        return
    path = store.with_name(f".{store.name}.lock")
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log.info("%s is being prepared by another process; waiting for it", store)
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
