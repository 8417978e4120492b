"""The signal of a WFDB record, in mV: chosen leads of one record, or of the segments of a multi-segment record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from tiles_ecg.reader.wfdb_header import GAP, HeaderOutline, blaming, check_signal_files, header_path, read_outline
from tiles_ecg.recording import RecordingError

Lead = int | str
"""A lead by its index from 0, or by its name."""

_MILLIVOLTS = {"nv": 1e-6, "uv": 1e-3, "mv": 1.0, "v": 1e3}  # of one unit, by its lower-case name


@dataclass(frozen=True)
class WfdbSignal:
    """Chosen leads of one record.

    Attributes:
        values: (C, T) float32; NaN where the file marks a sample as invalid, and in gaps between segments.
        sample_rate: Hz.
        leads: C names.
        units: C units: `mV`, or for a signal that is no voltage the unit of its header.
        comments: Comment lines of the header, without `#`.
        notes: Doubts about the signal.
    """

    values: NDArray[np.float32]
    sample_rate: float
    leads: tuple[str, ...]
    units: tuple[str, ...]
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_signal(path: Path, leads: Sequence[tuple[Lead, ...]]) -> WfdbSignal:
    """Reads chosen leads of a record.

    A lead with several samples in each frame keeps them all: its rate is the frame rate times their number.

    Args:
        path: Path of the header without its extension.
        leads: For each lead, its alternatives in the order of preference.

    Raises:
        RecordingError: A file is missing, foreign, cut short or otherwise broken, a lead is unknown or taken twice, or
            the leads differ in their rates.
    """
    header = header_path(path)
    outline = read_outline(header)
    for segment in set(outline.segments) - {GAP}:
        if read_outline(header_path(path.with_name(segment))).segments:
            raise RecordingError(f"{header}: segment {segment} has segments itself; WFDB allows one level")
    with blaming(header, "wfdb cannot interpret this header or that of a segment"):
        facts = wfdb.rdheader(str(path), rd_segments=bool(outline.segments))
    if not facts.n_sig or not facts.sig_name:
        raise RecordingError(f"{header}: the record has no signals (annotations at most); leave it out")
    if not facts.fs > 0:
        raise RecordingError(f"{header}: sampling frequency {facts.fs} Hz; it must be positive")
    names = tuple(name or f"signal {index}" for index, name in enumerate(facts.sig_name))
    channels = [_find_lead(header, names, alternatives) for alternatives in leads]
    if len(set(channels)) < len(channels):
        raise RecordingError(f"{header}: two of the leads asked for are the same; the record has {_listing(names)}")
    chosen = tuple(names[channel] for channel in channels)
    if outline.segments:
        signal = _read_segments(path, facts, channels, chosen)
    else:
        signal = _read_plain(path, outline, facts, channels, chosen)
    unsaid = (
        () if outline.has_rate else ("the header gives no sampling frequency: 250 Hz, WFDB's default, was assumed",)
    )
    return replace(signal, comments=tuple(facts.comments), notes=unsaid + signal.notes)


def _listing(names: Sequence[str]) -> str:
    return ", ".join(f"{index} ({name})" for index, name in enumerate(names))


def _find_lead(header: Path, names: Sequence[str], alternatives: tuple[Lead, ...]) -> int:
    """Index of the first alternative that the record has; a name that fits two leads does not count."""
    for lead in alternatives:
        if isinstance(lead, int):
            matches = [lead] if lead < len(names) else []
        else:
            matches = [index for index, name in enumerate(names) if name == lead]
            matches = matches or [index for index, name in enumerate(names) if name.lower() == lead.lower()]
        if len(matches) == 1:
            return matches[0]
    wanted = " or ".join(repr(lead) for lead in alternatives)
    raise RecordingError(f"{header}: no one lead is {wanted}; the record has {_listing(names)}")


def _read_plain(
    path: Path, outline: HeaderOutline, facts: wfdb.Record, channels: list[int], names: tuple[str, ...]
) -> WfdbSignal:
    """Reads leads, in the order of `channels`, of a record without segments."""
    header = header_path(path)
    if facts.sig_len == 0:
        raise RecordingError(f"{header}: the record holds 0 samples; leave it out, or correct its first line")
    check_signal_files(header, outline, facts.sig_len)
    per_frame = {facts.samps_per_frame[channel] for channel in channels}
    if len(per_frame) > 1:
        rates = ", ".join(
            f"{name} {facts.fs * facts.samps_per_frame[c]:g} Hz" for name, c in zip(names, channels, strict=True)
        )
        raise RecordingError(f"{header}: the leads differ in their rates ({rates}); choose leads of one rate")
    with blaming(header, "wfdb cannot read the signal"):
        record = wfdb.rdrecord(str(path), channels=channels, physical=False, smooth_frames=False, return_res=32)
        digital = np.stack(record.e_d_signal)  # (C, T)
        analogue = np.stack(record.dac(expanded=True, return_res=64))
    notes: list[str] = []
    units: list[str] = []
    for row, (channel, name) in enumerate(zip(channels, names, strict=True)):
        line, promised = outline.signals[channel], facts.checksum[channel]
        if not line.has_gain:
            notes.append(f"lead {name}: the header gives no gain: 200 units per mV, WFDB's default, was assumed")
        if promised and (int(digital[row].sum(dtype=np.int64)) - promised) % 65536:  # 0 also stands for "not given"
            notes.append(f"lead {name}: the samples do not have the checksum of the header")
        unit = "uV" if line.is_microvolt else facts.units[channel]
        scale = _MILLIVOLTS.get(unit.lower())
        analogue[row] *= scale or 1.0
        units.append("mV" if scale else unit)
    rate = float(facts.fs * per_frame.pop())
    return WfdbSignal(analogue.astype(np.float32), rate, names, tuple(units), notes=tuple(notes))


def _read_segments(path: Path, facts: wfdb.MultiRecord, channels: list[int], names: tuple[str, ...]) -> WfdbSignal:
    """Joins the segments of a record; what a segment lacks is NaN.

    In a record of fixed layout all segments have the same signals; in one of variable layout, where the first segment
    is a mere list of signals, each has any of them and they are found by name.
    """
    header = header_path(path)
    starts = [0, *accumulate(facts.seg_len)]
    if facts.sig_len not in (None, starts[-1]):
        raise RecordingError(f"{header}: promises {facts.sig_len} samples, but its segments add up to {starts[-1]}")
    parts: list[tuple[int, WfdbSignal]] = []
    for start, segment, length in zip(starts, facts.segments, facts.seg_len, strict=False):
        if segment is None or length == 0:
            continue
        if (segment.fs, segment.sig_len) != (facts.fs, length):
            raise RecordingError(
                f"{header}: segment {segment.record_name} should have {length} samples at {facts.fs} Hz, but its "
                f"header gives {segment.sig_len} at {segment.fs} Hz"
            )
        where = dict(zip(names, channels, strict=True))
        if facts.layout == "variable":
            where = {name: segment.sig_name.index(name) for name in names if name in segment.sig_name}
        if where:
            part = path.with_name(segment.record_name)
            outline = read_outline(header_path(part))
            parts.append((start, _read_plain(part, outline, segment, list(where.values()), tuple(where))))
    return _join_parts(header, parts, starts[-1], float(facts.fs), names)


def _join_parts(
    header: Path, parts: Sequence[tuple[int, WfdbSignal]], n_frames: int, frame_rate: float, names: tuple[str, ...]
) -> WfdbSignal:
    """Places parts, each with its start in frames, into one signal of `n_frames` frames."""
    rates = {part.sample_rate for _, part in parts}
    kinds = {
        name: {u for _, part in parts for n, u in zip(part.leads, part.units, strict=True) if n == name}
        for name in names
    }
    if len(rates) != 1 or any(len(units) != 1 for units in kinds.values()):
        raise RecordingError(
            f"{header}: its segments do not fit together: rates {sorted(rates)} Hz, units "
            f"{ {name: sorted(units) for name, units in kinds.items()} }; expected one rate, and one unit for each lead"
        )
    rate = rates.pop()
    per_frame = round(rate / frame_rate)
    values = np.full((len(names), n_frames * per_frame), np.nan, dtype=np.float32)
    for start, part in parts:
        rows = [names.index(name) for name in part.leads]
        values[rows, start * per_frame : start * per_frame + part.values.shape[1]] = part.values
    notes = tuple(dict.fromkeys(note for _, part in parts for note in part.notes))
    return WfdbSignal(values, rate, names, tuple(kinds[name].pop() for name in names), notes=notes)
