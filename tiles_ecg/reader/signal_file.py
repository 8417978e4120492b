"""One file of a common format (CSV, NumPy, MATLAB, EDF) -> the leads asked for, as they are in the file."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import edfio
import numpy as np
import pyarrow as pa
import scipy.io
from numpy.typing import NDArray

from tiles_ecg.reader.delimited import Column, read_blocks, read_header, to_numbers
from tiles_ecg.recording import RecordingError

MAX_LEADS = 64
"""An array with more rows than this is taken for something else, such as windows."""
CSV_SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz")
EDF_SUFFIXES = (".edf", ".bdf")
SUFFIXES = (*CSV_SUFFIXES, ".npy", ".npz", ".mat", *EDF_SUFFIXES)

Item = TypeVar("Item")
Signal = edfio.EdfSignal | edfio.BdfSignal
Numbers = NDArray[np.floating | np.integer]


@dataclass(frozen=True)
class SignalFile:
    """What a file holds and says of itself.

    Attributes:
        values: (C, T) numbers in the file's own unit, NaN where missing.
        sample_rate: Hz; None where the format does not tell.
        unit: Unit of all leads as spelt in the file; empty where it does not tell.
        start: Wall time of the first time point, without zone; None where the format does not tell.
    """

    values: Numbers
    sample_rate: float | None = None
    unit: str = ""
    start: datetime | None = None


def is_edf(name: str) -> bool:
    """Whether a file of this name tells its own rate and unit."""
    return name.lower().endswith(EDF_SUFFIXES)


def read_signal_file(path: Path, names: Sequence[str]) -> SignalFile:
    """Read some leads of a file.

    Args:
        path: The file; its suffix tells the format.
        names: Columns of a CSV file, keys of an .npz or .mat file, labels of an EDF file (`ECG#1`, `ECG#2` where
            several are called `ECG`), numbers from 0 of the leads in an .npy file. Empty if there is only one, or for
            all leads of an .npy file.

    Raises:
        RecordingError: If the file is missing, damaged or of another format, a name is not in it, or what it names is
            not a row of numbers (or a few rows of equal length).
    """
    suffix = next((suffix for suffix in sorted(SUFFIXES, key=len)[::-1] if path.name.lower().endswith(suffix)), "")
    if not suffix:
        raise RecordingError(
            f"{path}: unknown format; readable are {', '.join(SUFFIXES)} (WFDB records have a reader of their own: "
            "reader=wfdb)"
        )
    if not path.is_file():
        raise RecordingError(f"{path}: no such file{_similar(path)}")
    if suffix in CSV_SUFFIXES:
        return SignalFile(_read_csv(path, names))
    if suffix == ".npy":
        return SignalFile(_read_npy(path, names))
    if suffix == ".npz":
        return SignalFile(_read_npz(path, names))
    if suffix == ".mat":
        return SignalFile(_read_mat(path, names))
    return _read_edf(path, suffix, names)


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor the folder {path.parent})"
    near = get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _read_csv(path: Path, names: Sequence[str]) -> Numbers:
    header = read_header(path)
    if all(_is_number(name) for name in header.names):
        raise RecordingError(
            f"{path}: the first line holds numbers ({', '.join(header.names)[:60]}); add a line with column names"
        )
    chosen = _choose(path, "column", {name: name for name in header.names}, names)
    columns = [Column(name, pa.float32(), "a number or empty") for name in dict.fromkeys(chosen)]
    blocks = [
        np.stack([to_numbers(batch.column(name), np.float32) for name in chosen])
        for batch in read_blocks(path, header, columns)
    ]
    if not blocks:
        raise RecordingError(f"{path}: a header ({', '.join(header.names)}) but no rows")
    return np.concatenate(blocks, axis=1)


def _read_npy(path: Path, names: Sequence[str]) -> Numbers:
    with _blaming(path, "a .npy file written by numpy.save"):
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise RecordingError(f"{path}: holds several arrays; rename it to .npz")
    leads = _as_leads(path, "its array", array)
    numbers = {str(number): lead for number, lead in enumerate(leads)}
    return np.stack(_choose(path, "lead number", numbers, names)) if names else leads


def _read_npz(path: Path, names: Sequence[str]) -> Numbers:
    with _blaming(path, "an .npz file written by numpy.savez"), np.load(path, allow_pickle=False) as file:
        chosen = _choose(path, "key", {key: key for key in file.files}, names)
        arrays = {key: np.asarray(file[key]) for key in chosen}
    return _stack(path, [_as_leads(path, f"key {key!r}", arrays[key]) for key in chosen], chosen)


def _read_mat(path: Path, names: Sequence[str]) -> Numbers:
    with _blaming(path, "a MATLAB file up to version 7"):
        try:
            content = scipy.io.loadmat(path)
        except NotImplementedError:
            raise RecordingError(
                f"{path}: MATLAB version 7.3 cannot be read; save it again with save('{path.name}', '-v7') in MATLAB"
            ) from None
    keys = {key: key for key in content if not key.startswith("__")}
    chosen = _choose(path, "variable", keys, names)
    return _stack(path, [_as_leads(path, f"variable {key!r}", np.asarray(content[key])) for key in chosen], chosen)


def _read_edf(path: Path, suffix: str, names: Sequence[str]) -> SignalFile:
    with _blaming(path, f"a whole {suffix[1:].upper()} file"), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # edfio only warns of a file that is cut short
        file = edfio.read_edf(path) if suffix == ".edf" else edfio.read_bdf(path)
        if not file.is_continuous:
            raise RecordingError(f"{path}: has gaps in time (discontinuous EDF+); split it into one file a stretch")
        chosen = _choose(path, "label", _by_label(file.signals), names)
        values = [np.asarray(signal.data)[None] for signal in chosen]
        try:
            start = file.startdatetime
        except edfio.AnonymizedDateError:
            start = None
    labels = [signal.label for signal in chosen]
    for what, found in (
        ("rates", [f"{signal.sampling_frequency:g} Hz" for signal in chosen]),
        ("units", [signal.physical_dimension or "none" for signal in chosen]),
    ):
        if len(set(found)) > 1:
            raise RecordingError(f"{path}: signals {', '.join(labels)} differ in their {what} ({', '.join(found)})")
    joined = _as_leads(path, f"signal {', '.join(labels)}", _stack(path, values, labels))
    return SignalFile(joined, float(chosen[0].sampling_frequency), chosen[0].physical_dimension.strip(), start)


def _by_label(signals: Sequence[Signal]) -> dict[str, Signal]:
    """Signals by label; those that share one are `LABEL#1`, `LABEL#2`, ..., so that none hides another."""
    labels = [signal.label for signal in signals]
    return {
        label if labels.count(label) == 1 else f"{label}#{labels[: n + 1].count(label)}": signal
        for n, (label, signal) in enumerate(zip(labels, signals, strict=True))
    }


def _choose(path: Path, kind: str, available: Mapping[str, Item], names: Sequence[str]) -> list[Item]:
    listed = ", ".join(list(available)[:20]) or "none"
    if not names:
        if len(available) == 1:
            return list(available.values())
        mend = "Name it by reader.signal, or `signal` in a manifest"
        raise RecordingError(f"{path}: which {kind}? {mend}; there are {listed}")
    if missing := [name for name in names if name not in available]:
        raise RecordingError(f"{path}: no {kind} {', '.join(map(repr, missing))}; there are {listed}")
    return [available[name] for name in names]


def _as_leads(path: Path, what: str, array: Numbers) -> Numbers:
    """(T,), (C, T) or (T, C) -> (C, T); the longer axis is time."""
    if array.dtype.kind not in "iuf":
        raise RecordingError(f"{path}: {what} holds {array.dtype}, not numbers")
    if array.ndim not in (1, 2):
        raise RecordingError(
            f"{path}: {what} has shape {array.shape}; a recording is (time points,) or (leads, time points), so give "
            "each recording a file or key, and a row in the manifest"
        )
    leads = np.atleast_2d(array)
    leads = leads.T if leads.shape[0] > leads.shape[1] else leads
    if not leads.size:
        raise RecordingError(f"{path}: {what} is empty (shape {array.shape})")
    if len(leads) > MAX_LEADS:
        raise RecordingError(
            f"{path}: {what} has shape {array.shape}, which would be {len(leads)} leads; if these are windows, give "
            "each recording a file or key of its own"
        )
    return leads


def _stack(path: Path, parts: Sequence[Numbers], names: Sequence[str]) -> Numbers:
    lengths = [part.shape[1] for part in parts]
    if len(set(lengths)) > 1:
        raise RecordingError(f"{path}: {', '.join(names)} differ in length: {', '.join(map(str, lengths))} time points")
    return np.concatenate(parts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _blaming(path: Path, what: str) -> Iterator[None]:
    """Name the file, whatever a foreign library raises on a damaged one."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:
        raise RecordingError(f"{path}: not {what}, or a damaged one ({type(error).__name__}: {error})") from None
