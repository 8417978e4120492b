"""WFDB folders and headers: which records there are, which files they need, and what a header leaves unsaid.

`wfdb` interprets the headers; this module reads the little that must be known before (files of a record) or that
`wfdb` does not tell (a gain or a unit that it replaced by its default).

References:
    WFDB Applications Guide, header(5), signal(5): https://physionet.org/physiotools/wag/
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tiles_ecg.recording import RecordingError

_BYTES_PER_SAMPLE = {"8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "24": 3.0, "32": 4.0}
_BYTES_PER_SAMPLE |= {"212": 3 / 2, "310": 4 / 3, "311": 4 / 3}
_COMPRESSED = ("508", "516", "524")  # FLAC: the size says nothing about the length
GAP = "~"
"""Name of an empty segment."""


@dataclass(frozen=True)
class SignalLine:
    """What the text of one signal line says.

    Attributes:
        file: Name of the signal file, in the folder of the header.
        format: Storage format, such as `212`.
        samples_per_frame: Samples of this signal in each frame.
        offset: Bytes before the first sample.
        has_gain: False where the gain is absent or 0: WFDB then assumes 200 units per mV.
        is_microvolt: The unit is spelt with a micro sign, which `wfdb` drops: it would read `µV` as `V`.
    """

    file: str
    format: str
    samples_per_frame: int
    offset: int
    has_gain: bool
    is_microvolt: bool


@dataclass(frozen=True)
class HeaderOutline:
    """What the text of a header says.

    Attributes:
        signals: Signal lines of an ordinary record; empty for a multi-segment one.
        segments: Record names of a multi-segment record, in the same folder; empty for an ordinary one.
        has_rate: False where the sampling frequency is absent: WFDB then assumes 250 Hz.
    """

    signals: tuple[SignalLine, ...]
    segments: tuple[str, ...]
    has_rate: bool


@contextmanager
def blaming(file: Path, problem: str) -> Iterator[None]:
    """Turns whatever `wfdb` raises into a `RecordingError` that names the file.

    Broken files were seen to raise ValueError, IndexError, KeyError, TypeError, AttributeError, OSError and more, so
    the net is wide on purpose; wrap single calls of `wfdb` only.
    """
    try:
        yield
    except (RecordingError, MemoryError):
        raise
    except Exception as error:
        raise RecordingError(f"{file}: {problem} ({type(error).__name__}: {error})") from error


def header_path(record: Path) -> Path:
    """The header of a record given by its path without extension (a record name may hold dots)."""
    return record.with_name(record.name + ".hea")


def read_outline(header: Path) -> HeaderOutline:
    """Reads the text of a header.

    Raises:
        RecordingError: The file is missing, or is not a WFDB header.
    """
    if not header.is_file():
        raise RecordingError(f"{header}: no such header; a RECORDS file or a multi-segment header names this record")
    with blaming(header, "cannot be read"):
        text = header.read_bytes().decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    fields = lines[0].split() if lines else []
    if len(fields) < 2 or not fields[1].isdecimal():
        shown = repr(lines[0][:60]) if lines else "nothing"
        raise RecordingError(
            f"{header}: not a WFDB header: its first line is {shown}; expected 'name signals rate samples', such as "
            "'100 2 360 650000'"
        )
    n_segments = fields[0].partition("/")[2]
    promised = n_segments or fields[1]
    if not promised.isdecimal() or int(promised) != len(lines) - 1:
        kind = "segments" if n_segments else "signals"
        raise RecordingError(
            f"{header}: the first line promises {promised} {kind}, but {len(lines) - 1} lines follow; one line each is "
            "right, so this is no WFDB header, or a damaged one"
        )
    if n_segments:
        segments = tuple(line.split()[0] for line in lines[1:])
        if header.stem in segments or any("/" in segment for segment in segments):
            raise RecordingError(
                f"{header}: its segments are {', '.join(segments)[:60]}; expected names of other records of this folder"
            )
        return HeaderOutline((), segments, len(fields) > 2)
    return HeaderOutline(tuple(_read_signal_line(header, line) for line in lines[1:]), (), len(fields) > 2)


def read_comments(header: Path) -> tuple[str, ...]:
    """Comment lines of a header, without `#`; raises `RecordingError` where it cannot be read."""
    with blaming(header, "cannot be read"):
        lines = [line.strip() for line in header.read_text(encoding="latin-1").splitlines()]
    return tuple(line.strip("# \t") for line in lines if line.startswith("#"))


def _read_signal_line(header: Path, line: str) -> SignalLine:
    fields = line.split()
    layout = re.fullmatch(r"(\d+)(?:x(\d+))?(?::\d+)?(?:\+(\d+))?", fields[1]) if len(fields) > 1 else None
    if layout is None or "/" in fields[0]:
        raise RecordingError(
            f"{header}: {line[:60]!r} is not a signal line; expected 'file format gain ...', file in this folder"
        )
    gain = re.match(r"-?\d*\.?\d+(?:e[+-]?\d+)?", fields[2], re.IGNORECASE) if len(fields) > 2 else None
    unit = fields[2].partition("/")[2] if len(fields) > 2 else ""
    return SignalLine(
        file=fields[0],
        format=layout[1],
        samples_per_frame=int(layout[2] or 1),
        offset=int(layout[3] or 0),
        has_gain=gain is not None and float(gain[0]) != 0,
        is_microvolt=unit.endswith("V") and ("\xb5" in unit or "\xce\xbc" in unit),  # both micro signs, any encoding
    )


def record_files(header: Path) -> tuple[Path, ...]:
    """The files of a record that exist: header, signal files and, for a multi-segment record, those of its segments."""
    segments = [header_path(header.parent / name) for name in _segments(header)]
    files: list[Path] = []
    for part in (header, *segments):
        try:
            signals = read_outline(part).signals
        except RecordingError:  # told when the record is read; here its files count as they are
            signals = ()
        files += [part, *(part.parent / signal.file for signal in signals)]
    return tuple(file for file in dict.fromkeys(files) if file.is_file())


def check_signal_files(header: Path, outline: HeaderOutline, n_frames: int | None) -> None:
    """Compares the sizes of the signal files with what the header promises.

    Args:
        header: The header, named in the message.
        outline: Its text.
        n_frames: Samples of each signal, or frames where some have several; None (the file says) asks for one.

    Raises:
        RecordingError: A signal file is missing, too short, or in a format that does not exist.
    """
    n_frames = 1 if n_frames is None else n_frames
    for name in dict.fromkeys(signal.file for signal in outline.signals):
        file, group = header.parent / name, [signal for signal in outline.signals if signal.file == name]
        if not file.is_file():
            raise RecordingError(f"{header}: its signal file {name} is not in {header.parent}; copy it there")
        if group[0].format in _COMPRESSED:
            continue
        if group[0].format not in _BYTES_PER_SAMPLE:
            known = ", ".join([*_BYTES_PER_SAMPLE, *_COMPRESSED])
            raise RecordingError(f"{header}: {name} has format {group[0].format}; WFDB formats are {known}")
        per_frame = sum(signal.samples_per_frame for signal in group)
        needed = group[0].offset + math.ceil(n_frames * per_frame * _BYTES_PER_SAMPLE[group[0].format] - 1e-6)
        size = file.stat().st_size
        if size < needed:
            raise RecordingError(
                f"{file}: holds {size} bytes, but {header.name} promises {n_frames} samples of {len(group)} signals in "
                f"format {group[0].format}, which take {needed}: the file is cut short; copy or download it again"
            )


def list_headers(root: Path) -> list[Path]:
    """Headers of all records below a folder, sorted by path.

    A RECORDS file, at whatever depth, speaks for its folder and everything below it: its lines name records (or, with
    a trailing slash, folders) relative to it. Elsewhere every `*.hea` counts, except the segments of a multi-segment
    record. Links to folders are followed.

    Raises:
        RecordingError: A RECORDS file is unreadable, or names a folder that is missing or outside its own.
    """
    found: set[Path] = set()
    visited: set[Path] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        if here.resolve() in visited:  # a link back to a folder above
            subfolders.clear()
            continue
        visited.add(here.resolve())
        if "RECORDS" in names:
            subfolders.clear()
            found.update(_listed_headers(here / "RECORDS"))
        else:
            headers = [here / name for name in names if name.endswith(".hea") and not name.startswith(".")]
            segments = {header_path(here / name) for header in headers for name in _segments(header)}
            found.update(set(headers) - segments)
    return sorted(found, key=lambda header: header.relative_to(root).as_posix())


def _listed_headers(listing: Path) -> list[Path]:
    with blaming(listing, "cannot be read as a list of records"):
        lines = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    headers: list[Path] = []
    for line in lines:
        name = PurePosixPath(line)
        target = listing.parent / name
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise RecordingError(f"{listing}: {line!r} is not inside its folder; expected paths relative to it")
        if line.endswith("/") and not target.is_dir():
            raise RecordingError(f"{listing}: folder {line!r} does not exist; delete the line, or read a single folder")
        if line.endswith("/"):
            headers += list_headers(target)
        else:
            headers.append(target if target.suffix == ".hea" else header_path(target))
    return headers


def _segments(header: Path) -> tuple[str, ...]:
    try:
        return tuple(name for name in read_outline(header).segments if name != GAP)
    except RecordingError:
        return ()
