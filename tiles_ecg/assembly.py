"""Assembly: the finished parts of all sources -> one store, with subjects, statistics and a summary."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tiles_ecg.fingerprint import fingerprints
from tiles_ecg.inventory import Inventory, take_inventory
from tiles_ecg.label import Label, encode
from tiles_ecg.part import PartReader
from tiles_ecg.recording import LabelSpec
from tiles_ecg.store import NoWindowError, StoreError, StoreWriter
from tiles_ecg.store_summary import describe_nothing, notes_of, summary_of
from tiles_ecg.waveform import location_scale
from tiles_ecg.window_file import WindowFile

ROWS_AT_ONCE = 1024
"""Windows in memory while the signal is copied."""
POINTS_FOR_SCALE = 4_000_000
"""Largest number of a subject's values that its median and IQR are computed from (11 h of one lead at 100 Hz); above,
evenly spaced windows. Mean and standard deviation are always of all."""


def assemble(
    parts: Sequence[PartReader],
    store: Path,
    specs: Sequence[LabelSpec],
    sample_rate: float,
    window_length: int,
    config: Mapping[str, Any],
    failed: Mapping[str, str],
    show_progress: bool = True,
) -> dict[str, Any]:
    """Write the store from parts in the order given; atomic.

    Args:
        parts: Finished parts.
        store: The file to be.
        specs: The reader's labels.
        sample_rate: Hz.
        window_length: T.
        config: The resolved prepare config.
        failed: Sources that could not be read, and why.
        show_progress: Whether a progress bar is shown.

    Returns:
        The summary, as kept in the store.

    Raises:
        StoreError: If there is no window at all, the parts differ in their leads, or the disk is too full.
    """
    counts = [int(part.description["n_windows"]) for part in parts]
    n_windows = sum(counts)
    dropped = sum((Counter(part.description["dropped"]) for part in parts), Counter())
    if n_windows == 0:
        raise NoWindowError(store, describe_nothing(len(parts), failed, dropped))
    n_leads = _common_leads(parts)
    shape = (n_windows, n_leads, window_length)
    _check_space(store, 4 * n_windows * n_leads * window_length)
    inventory = take_inventory([part.description for part in parts], specs)
    with StoreWriter(store, shape) as writer:
        columns = _copy_windows(parts, counts, inventory, writer, show_progress)
        statistics = _subject_statistics(columns["window/subject"], len(inventory.subject_ids), shape, writer)
        labels = _labels(specs, inventory, columns)
        reported = Counter(note for part in parts for note in part.description["notes"])
        empty = [part.description["key"] for part, n in zip(parts, counts, strict=True) if n == 0]
        notes = notes_of(inventory, reported, columns.pop("digest"), columns["window/recording"], empty)
        read_s = sum(part.description["read_s"] for part in parts)
        summary = summary_of(columns, read_s, window_length / sample_rate, dropped, failed, notes)
        writer.write_columns(columns | statistics | inventory.columns())
        writer.write_columns(
            {"source/fingerprint": fingerprints([part.description.get("files", []) for part in parts])}
        )
        for label in labels:
            writer.write_label(label)
        used = [inventory.recordings[number] for number in np.unique(columns["window/recording"]).tolist()]
        writer.write_attributes(
            {
                "package_version": package_version(),
                "sample_rate": sample_rate,
                "unit": _one_of({r["unit"] for r in used}, "mixed"),
                "leads": json.dumps(_lead_names(used)),
                "config": json.dumps(config, default=str),
                "digest": digest_of(config, {p.description["key"]: p.description["content"] for p in parts}),
                "dropped": json.dumps(dropped),
                "notes": json.dumps(notes),
                "summary": json.dumps(summary),
            }
        )
    return summary


def package_version() -> str:
    """Version of the installed package, or `unknown` in a tree that was never installed."""
    try:
        return version("tiles_ecg")
    except PackageNotFoundError:
        return "unknown"


def digest_of(config: Mapping[str, Any], content: Mapping[str, str]) -> str:
    """Hash of a config (without where its files lie) and of the content of its sources."""
    text = json.dumps([_without_places(config), sorted(content.items())], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    reader = {key: value for key, value in config["reader"].items() if key != "root"}
    return {"reader": reader, "preparation": config["preparation"]}


def lead_counts(parts: Sequence[PartReader]) -> dict[int, list[str]]:
    """Keys of the sources that have windows, by their number of leads; what most sources have comes first."""
    by_number: dict[int, list[str]] = {}
    for part in parts:
        if part.description["n_windows"]:
            by_number.setdefault(part.description["n_leads"], []).append(part.description["key"])
    return dict(sorted(by_number.items(), key=lambda item: -len(item[1])))


def _common_leads(parts: Sequence[PartReader]) -> int:
    by_number = lead_counts(parts)
    if len(by_number) > 1:
        listed = "; ".join(f"{n}: {keys[0]} and {len(keys) - 1:,} more" for n, keys in by_number.items())
        raise StoreError(f"the sources differ in their number of leads ({listed}); choose leads that all of them have")
    return next(iter(by_number))


def _check_space(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store.parent).free
    if free < needed * 1.02:
        raise StoreError(
            f"{store}: needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free; make room and run the same command "
            "again: what was prepared so far is kept"
        )


def _copy_windows(
    parts: Sequence[PartReader], counts: Sequence[int], inventory: Inventory, writer: StoreWriter, show_progress: bool
) -> dict[str, Any]:
    """Copy the signal part by part, each in order of recording and time; return the other columns, joined."""
    joined: dict[str, list[NDArray[Any]]] = {}
    first = 0
    with tqdm(total=sum(counts), desc="writing", unit="window", disable=not show_progress, leave=False) as bar:
        for part, n, first_recording in zip(parts, counts, inventory.first_recording, strict=True):
            if n == 0:
                continue
            columns = part.read_columns()
            order = np.lexsort((columns["start_s"], columns["recording"]))
            for at in range(0, n, ROWS_AT_ONCE):
                writer.write_signal(first + at, part.read_signal(order[at : at + ROWS_AT_ONCE]))
            columns["beat_position"] = _reorder_ragged(columns["beat_position"], columns["beat_count"], order)
            columns["recording"] = columns["recording"] + first_recording
            for name, column in columns.items():
                joined.setdefault(name, []).append(column if name == "beat_position" else column[order])
            first += n
            bar.update(n)
    whole = {name: np.concatenate(blocks) for name, blocks in joined.items()}
    recording = whole["recording"].astype(np.int32)
    return {
        "window/recording": recording,
        "window/subject": np.asarray(inventory.recording_subject, np.int32)[recording],
        "window/start_s": whole["start_s"],
        "window/wall_time_s": whole["wall_time_s"],
        "window/quality": whole["quality"],
        "beat/position": whole["beat_position"],
        "beat/offset": np.concatenate([[0], np.cumsum(whole["beat_count"], dtype=np.int64)]),
        "digest": whole["digest"],
        **{name: column for name, column in whole.items() if name.startswith("label/")},
    }


def _reorder_ragged(flat: NDArray[Any], count: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    begin = np.cumsum(count) - count
    moved = count[order]
    into = np.arange(moved.sum()) - np.repeat(np.cumsum(moved) - moved, moved)
    reordered: NDArray[Any] = flat[np.repeat(begin[order], moved) + into]
    return reordered


def _subject_statistics(
    subject: NDArray[np.int32], n_subjects: int, shape: tuple[int, int, int], writer: StoreWriter
) -> dict[str, NDArray[np.float64]]:
    """Location and scale of each subject and lead, over all its windows."""
    columns = {name: np.full((n_subjects, shape[1]), np.nan) for name in ("mean", "std", "median", "robust_std")}
    order = np.argsort(subject, kind="stable")
    bounds = np.searchsorted(subject[order], np.arange(n_subjects + 1))
    most = max(1, POINTS_FOR_SCALE // (shape[1] * shape[2]))
    signal = writer.written_signal()
    for number in range(n_subjects):
        rows = order[bounds[number] : bounds[number + 1]]
        if len(rows):
            found = location_scale(signal.gather(rows[:: -(-len(rows) // most)]))
            for name, column in columns.items():
                column[number] = getattr(found, name)
        if len(rows) > most:
            columns["mean"][number], columns["std"][number] = _mean_std(signal, rows)
    return {f"subject/{name}": column for name, column in columns.items()}


def _mean_std(signal: WindowFile, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (C,) of all values of windows, by blocks and in two passes."""
    blocks = [rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows), ROWS_AT_ONCE)]
    n_values = len(rows) * signal.shape[2]
    total, squares = np.zeros(signal.shape[1]), np.zeros(signal.shape[1])
    for block in blocks:
        total += signal.gather(block).sum(axis=(0, 2), dtype=np.float64)
    mean = total / n_values
    for block in blocks:
        squares += np.square(signal.gather(block) - mean[:, None]).sum(axis=(0, 2))
    return mean, np.sqrt(squares / n_values)


def _labels(specs: Sequence[LabelSpec], inventory: Inventory, columns: dict[str, Any]) -> list[Label]:
    labels = []
    for spec in specs:
        if spec.level == "window":
            labels.append(Label(spec, columns.pop(f"label/{spec.name}")))
        elif spec.level == "recording":
            labels.append(Label(spec, encode(spec, (_value(r["labels"].get(spec.name)) for r in inventory.recordings))))
        else:
            labels.append(Label(spec, encode(spec, (_value(s.get(spec.name)) for s in inventory.subject_labels))))
    return labels


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _lead_names(used: Sequence[Mapping[str, Any]]) -> list[str]:
    """One name a lead; where recordings differ, the alternatives joined."""
    return ["|".join(sorted(set(names))) for names in zip(*(r["leads"] for r in used), strict=True)]


def _one_of(values: set[str], otherwise: str) -> str:
    return next(iter(values)) if len(values) == 1 else otherwise
