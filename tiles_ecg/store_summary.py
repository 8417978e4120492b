"""Summary of a store: its numbers, what to beware of, and how both read on a screen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.inventory import Inventory

MAX_NOTES = 20
"""Notes of the readers that are kept in a store."""


def notes_of(
    inventory: Inventory,
    reported: Counter[str],
    digest: NDArray[np.uint64],
    recording: NDArray[np.int32],
    empty: Sequence[str] = (),
) -> list[str]:
    """What a user of the store must hear of: at most `MAX_NOTES` of the readers', after those found here.

    Args:
        inventory: Of the store.
        reported: The readers' notes, and how many sources gave each.
        digest: (N,) equal for windows that hold the same values.
        recording: (N,) number of each window's recording.
        empty: Keys of the sources that were read and have no window left.
    """
    notes: list[str] = []
    if empty:
        more = ", ..." if len(empty) > 3 else ""
        notes.append(f"{count_of(len(empty), 'source')} left without a window ({', '.join(empty[:3])}{more})")
    unnamed = sum(not inventory.recordings[number]["is_named"] for number in np.unique(recording).tolist())
    if unnamed:
        notes.append(
            f"{unnamed:,} recordings have no subject id: each counts as its own subject, so one person may stand on "
            "both sides of a split"
        )
    _, first, inverse, count = np.unique(digest, return_index=True, return_inverse=True, return_counts=True)
    twin = np.flatnonzero((count[inverse] > 1) & (np.arange(len(digest)) != first[inverse]))
    if len(twin):
        pairs = {(int(recording[first[inverse[row]]]), int(recording[row])) for row in twin[:1000]}
        named = [f"{inventory.recordings[a]['id']} = {inventory.recordings[b]['id']}" for a, b in sorted(pairs)[:3]]
        notes.append(f"{len(twin):,} windows repeat another one exactly ({'; '.join(named)})")
    if inventory.n_renamed:
        notes.append(f"{inventory.n_renamed:,} recordings have the id of another one: they are called id@source")
    for name, n in inventory.n_contradicted.items():
        notes.append(f"{n:,} recordings give another {name} than their subject's first recording, which counts")
    notes += [note if n == 1 else f"{note} ({n} times)" for note, n in reported.most_common(MAX_NOTES)]
    if len(reported) > MAX_NOTES:
        notes.append(f"and {len(reported) - MAX_NOTES} more notes")
    return [note[:300] for note in notes]


def summary_of(
    columns: Mapping[str, Any],
    read_s: float,
    window_s: float,
    dropped: Mapping[str, int],
    failed: Mapping[str, str],
    notes: list[str],
) -> dict[str, Any]:
    """The numbers of a store that people ask for first, from its columns.

    `hours_read` is what the readers handed over: less what was dropped, and what is left at the ends of recordings when
    they are cut into windows, gives `hours`.
    """
    quality = columns["window/quality"]
    n_beats = int(columns["beat/offset"][-1])
    return {
        "subjects": len(set(columns["window/subject"].tolist())),
        "recordings": len(set(columns["window/recording"].tolist())),
        "windows": len(quality),
        "hours": round(len(quality) * window_s / 3600, 3),
        "hours_read": round(read_s / 3600, 3),
        "beats_per_minute": round(60 * n_beats / (len(quality) * window_s), 1),
        "quality_deciles": np.quantile(quality, np.linspace(0, 1, 11)).round(3).tolist(),
        "dropped": dict(dropped),
        "failed_sources": len(failed),
        "notes": notes,
    }


def describe_nothing(n_parts: int, failed: Mapping[str, str], dropped: Mapping[str, int]) -> str:
    """Why there is no store: no window is left of any source."""
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in dropped.items()) or "no segment was found"
    first = f", the first: {next(iter(failed.values()))}" if failed else ""
    sources = count_of(n_parts + len(failed), "source")
    return f"no window is left of {sources} (dropped: {reasons}; {len(failed):,} could not be read{first})"


def describe(store: Path, summary: Mapping[str, Any], failed: Mapping[str, str]) -> str:
    """The summary of a store as a person reads it."""
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in summary["dropped"].items()) or "none"
    low, middle, high = (summary["quality_deciles"][i] for i in (1, 5, 9))
    lines = [
        f"{store}",
        f"  {count_of(summary['windows'], 'window')} ({summary['hours']:,.1f} h; read: {summary['hours_read']:,.1f} h) "
        f"of {count_of(summary['recordings'], 'recording')} of {count_of(summary['subjects'], 'subject')}; "
        f"{summary['beats_per_minute']:.0f} beats/min",
        f"  quality: median {middle:.2f}, 10 % below {low:.2f}, 10 % above {high:.2f}",
        f"  dropped: {dropped}",
    ]
    if failed:
        lines.append(f"  {count_of(len(failed), 'source')} could not be read:")
        lines += [f"    {problem}" for problem in list(failed.values())[:10]]
        lines += [f"    ... and {len(failed) - 10:,} more"] if len(failed) > 10 else []
    lines += [f"  note: {note}" for note in summary["notes"]]
    return "\n".join(lines)


def count_of(n: int, what: str) -> str:
    """`1 window`, `2,640 windows`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
