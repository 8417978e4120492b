"""Ingestion: all sources of a reader -> one store, in parallel, resumable, whole or absent."""

import hashlib
import itertools
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from joblib import delayed
from tqdm import tqdm

from tiles_ecg.assembly import assemble, lead_counts, package_version
from tiles_ecg.cluster import settle_workers
from tiles_ecg.config import ConfigError
from tiles_ecg.label import check_unique
from tiles_ecg.parallel import outcomes_of
from tiles_ecg.part import MARK, PartReader, open_part
from tiles_ecg.preparation import Preparation
from tiles_ecg.recording import Reader, RecordingError, Source
from tiles_ecg.source_part import disk_full_explained, prepare_source, stamp
from tiles_ecg.store import Store, StoreError
from tiles_ecg.store_lock import hold_lock
from tiles_ecg.store_summary import describe

log = logging.getLogger(__name__)

PARTS_SUFFIX = ".parts"
PLAN = "config.json"


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
    through joblib, so that `tiles_ecg.cluster.working_on(...)` spreads it over machines that share the folder.

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
    sources = _listed(reader)
    specs = tuple(reader.labels)
    check_unique(specs)
    plan = _plan_digest(config, sources)
    _check_folder(store)
    with hold_lock(store), disk_full_explained(store):
        if _is_done(store, plan, overwrite):
            log.info("%s is up to date: the same config, the same files", store)
            _remove_parts(store)
            return store
        folder = _open_parts(store, config)
        settle_workers(folder / PLAN)
        failed = _prepare_all(reader, preparation, sources, folder, on_error, n_jobs, show_progress)
        opened = (open_part(_part_path(folder, source.key)) for source in sources if source.key not in failed)
        parts = [part for part in opened if part is not None]
        if on_error == "skip":
            parts = _alike(parts, failed)
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
        _remove_parts(store)
    if show_progress:
        log.info("%s", describe(store, summary, failed))
    return store


def _listed(reader: Reader) -> list[Source]:
    sources = sorted(reader.sources(), key=lambda source: source.key)
    for first, second in itertools.pairwise(sources):
        if first.key == second.key:
            raise RecordingError(f"the reader lists two sources called {first.key!r}; each needs a key of its own")
    return sources


def _alike(parts: Sequence[PartReader], failed: dict[str, str]) -> list[PartReader]:
    """Leave out, as failed, the few sources whose number of leads is not that of most."""
    counts = lead_counts(parts)
    if len(counts) < 2 or 2 * len(next(iter(counts.values()))) <= sum(map(len, counts.values())):
        return list(parts)
    usual, *others = counts
    for number in others:
        for key in counts[number]:
            failed[key] = f"{key}: {number} leads, most sources have {usual}; choose leads that all of them have"
    return [part for part in parts if part.description["key"] not in failed]


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
        part = open_part(_part_path(folder, source.key))
        if part is None or part.description["stamp"] != stamp(source):
            todo.append(source)
    if show_progress and len(todo) < len(sources):
        log.info("going on: %s of %s sources are prepared", f"{len(sources) - len(todo):,}", f"{len(sources):,}")
    jobs = (delayed(prepare_source)(reader, preparation, source, _part_path(folder, source.key)) for source in todo)
    failed: dict[str, str] = {}
    n_windows = 0
    with (
        tqdm(total=len(todo), desc="preparing", unit="source", disable=not show_progress) as bar,
        outcomes_of(jobs, n_jobs) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.problem:
                if on_error == "raise":
                    raise RecordingError(f"{outcome.problem} (on_error=skip leaves it out)")
                failed[outcome.key] = outcome.problem
                if show_progress:
                    bar.write(f"skipped: {outcome.problem}", sys.stderr)
            n_windows += outcome.n_windows
            bar.update()
            skipped = f", {len(failed):,} skipped" if failed else ""
            bar.set_postfix_str(f"{n_windows:,} windows{skipped}", refresh=False)
    return failed


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


def _parts_folder(store: Path) -> Path:
    return store.with_name(store.name + PARTS_SUFFIX)


def _remove_parts(store: Path) -> None:
    """Remove the folder of parts; tried again, for a worker that outlives a killed process may still write there."""
    folder = _parts_folder(store)
    for _ in range(3):
        if folder.is_dir() and not _foreign(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _foreign(folder: Path) -> list[str]:
    """What lies in a folder of parts and is none."""
    return [name for name in os.listdir(folder) if name != PLAN and not name.endswith((".part", ".tmp"))]


def _open_parts(store: Path, config: Mapping[str, Any]) -> Path:
    """The folder of finished parts: kept if it is of this config and package, else begun anew."""
    folder = _parts_folder(store)
    plan = folder / PLAN
    made_by = {"package_version": package_version(), "part": MARK.decode()}
    text = json.dumps([config, made_by], sort_keys=True, default=str)
    if folder.exists():
        if not folder.is_dir() or _foreign(folder):
            raise ConfigError([f"store = {store}: {folder} is in the way and was not made by tiles-prepare; move it"])
        if not plan.exists() or plan.read_text() != text:
            shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    for left_over in folder.glob("*.tmp"):
        left_over.unlink(missing_ok=True)
    if not plan.exists():
        scratch = folder / f"{PLAN}.tmp"
        scratch.write_text(text)
        os.replace(scratch, plan)
    return folder


def _part_path(folder: Path, key: str) -> Path:
    return folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.part"


def _plan_digest(config: Mapping[str, Any], sources: Sequence[Source]) -> str:
    text = json.dumps([config, [[source.key, stamp(source)] for source in sources]], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
