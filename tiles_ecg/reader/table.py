"""Your own data: a manifest with one row a recording, and files of common formats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from tiles_ecg.reader.manifest import Defaults, Row, Unit, check_rows, read_cells, scale_to_mv, split_names, to_epoch
from tiles_ecg.reader.manifest_label import DeclaredLabel, check_declarations, read_labels
from tiles_ecg.reader.signal_file import SignalFile, read_signal_file
from tiles_ecg.recording import LabelSpec, LabelValue, Recording, RecordingError, Source

MIN_AMPLITUDE_MV = 0.005
"""Below this amplitude a note asks whether the unit is right."""
MAX_JUDGED = 1_000_000
"""Values of a lead at most that its amplitude is judged from, evenly spaced."""


class TableReader:
    """Reads the recordings that a manifest lists, one source a row.

    The manifest is a CSV file (comma, semicolon or tab) with a header. Columns with a meaning, of which only `file` has
    to be there; what is the same for all rows may be given as an argument instead, and fills empty cells:

    - `file`: path, relative to the root: .csv or .txt (plain or .gz), .npy, .npz, .mat (up to version 7), .edf, .bdf.
    - `subject`: id of the person; empty: the recording is its own subject.
    - `recording`: id of the recording; empty: the file, and the signal if several rows share the file.
    - `sample_rate`: Hz. EDF tells its own, and one that differs is an error.
    - `signal`: column, key, variable or label that holds the ECG (of .npy: number of the lead, from 0; of EDF with
      equal labels: `ECG#1`, `ECG#2`); several leads are separated by `;`. Empty: the only one there is.
    - `unit`: mV, uV, V (converted to mV) or a.u. EDF tells its own, and one that differs is an error.
    - `lead`: names of the leads, separated by `;`; empty: `ECG`, or the names of the signals if there are several.
    - `start`: ISO wall time of the first time point.

    Every other column is a label of the recording or the subject, see `manifest_label.read_labels`. 2-D arrays may be
    (leads, time points) or the reverse: the longer axis is time.

    Args:
        root: Folder that files are relative to.
        manifest: The manifest, relative to the root, or absolute.
        sample_rate: Hz, for rows without it.
        signal: Name or names, for rows without it.
        unit: mV, uV, V or a.u., for rows without it.
        lead: Name or names, for rows without it.
        labels: How label columns are to be read, by name: `categorical`, `continuous`, `multilabel` (values separated
            by `;`) or `ignore`; or a mapping with `kind`, `level` (recording or subject), `unit`, `classes`.
        max_amplitude_mv: Recordings whose amplitude (half the range of the middle 98 % of values) is greater are
            refused, since their unit is probably wrong. None accepts all.
        time_zone: Where wall times without offset were written.
    """

    def __init__(
        self,
        root: str,
        manifest: str = "manifest.csv",
        sample_rate: PositiveFloat | None = None,
        signal: str | int | Sequence[str | int] | None = None,
        unit: Unit | None = None,
        lead: str | Sequence[str] | None = None,
        labels: Mapping[str, DeclaredLabel] | None = None,
        max_amplitude_mv: PositiveFloat | None = 100.0,
        time_zone: str = "UTC",
    ) -> None:
        if sample_rate is not None and not 0 < sample_rate < math.inf:
            raise ValueError(f"sample_rate = {sample_rate}; it has to be a positive number of Hz")
        if unit is not None:
            scale_to_mv(unit)
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"time_zone = {time_zone!r} is unknown; give a name such as Europe/Berlin") from None
        self.root = Path(root)
        self.manifest = self.root / manifest
        self.max_amplitude_mv = max_amplitude_mv
        self._defaults = Defaults(sample_rate, _names(signal), unit, _names(lead), time_zone)
        self._declared = check_declarations(labels or {})

    @cached_property
    def labels(self) -> tuple[LabelSpec, ...]:
        """Labels of the manifest.

        Raises:
            RecordingError: If the manifest is missing or has a mistake.
        """
        return self._entries.labels

    def sources(self) -> list[Source]:
        """One source a row.

        Raises:
            RecordingError: If the root or the manifest is missing, or the manifest has a mistake.
        """
        return [Source(key, (self.root / row.file, self.manifest)) for key, (row, _) in self._entries.by_key.items()]

    def read(self, source: Source) -> Iterator[Recording]:
        """Yield the one recording of a row.

        Raises:
            RecordingError: If its file is missing or damaged, does not hold the signal, or contradicts the manifest.
        """
        row, labels = self._entries.by_key[source.key]
        path = self.root / row.file
        file = read_signal_file(path, row.signal)
        rate = _agreed_rate(path, file, row)
        unit = _agreed_unit(path, file, row)
        scale = scale_to_mv(unit)
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, and its window is dropped
            signal = np.multiply(file.values, scale or 1.0).astype(np.float32)  # (C, T)
        notes = self._judge_amplitude(path, signal, unit) if scale is not None else ()
        start = row.start
        if math.isnan(start) and file.start is not None:
            start = to_epoch(file.start, self._defaults.time_zone)
        yield Recording(
            id=row.key,
            signal=signal[None],  # (C, T) -> (1, C, T)
            sample_rate=rate,
            leads=_lead_names(path, row, len(signal)),
            source=source.key,
            subject=row.subject,
            unit="a.u." if scale is None else "mV",
            wall_time=None if math.isnan(start) else np.array([start]),
            labels=labels,
            notes=notes,
        )

    @cached_property
    def _entries(self) -> "_Entries":
        if not self.root.is_dir():
            raise RecordingError(
                f"{self.root}: {'not a folder' if self.root.exists() else 'no such folder'}; set reader.root"
            )
        if not self.manifest.is_file():
            raise RecordingError(
                f"{self.manifest}: no such manifest; write a CSV file with one row a recording and at least the column "
                "file, or set reader.manifest"
            )
        cells = read_cells(self.manifest)
        rows = check_rows(self.manifest, cells, self._defaults)
        specs, values = read_labels(self.manifest, cells, rows, self._declared)
        return _Entries(specs, {row.key: (row, value) for row, value in zip(rows, values, strict=True)})

    def _judge_amplitude(self, path: Path, signal: NDArray[np.float32], unit: str) -> tuple[str, ...]:
        amplitude_mv = _amplitude(path, signal)
        if self.max_amplitude_mv is not None and amplitude_mv > self.max_amplitude_mv:
            raise RecordingError(
                f"{path}: an amplitude of {amplitude_mv:.6g} mV if its unit is {unit}; an ECG has a few mV, so these "
                "are probably uV or raw counts (unit: uV or a.u.); if it is right, raise reader.max_amplitude_mv "
                f"(now {self.max_amplitude_mv:g}) or set it to null"
            )
        if 0 < amplitude_mv < MIN_AMPLITUDE_MV:
            return (f"{path}: an amplitude of only {amplitude_mv:.2g} mV if its unit is {unit}; check the unit",)
        return ()


@dataclass(frozen=True)
class _Entries:
    """Rows with their label values by key, and what the labels are."""

    labels: tuple[LabelSpec, ...]
    by_key: Mapping[str, tuple[Row, Mapping[str, LabelValue]]]


def _names(given: str | int | Sequence[str | int] | None) -> tuple[str, ...]:
    if isinstance(given, str | int):
        return split_names(str(given))
    return tuple(str(name) for name in given or ())


def _agreed_rate(path: Path, file: SignalFile, row: Row) -> float:
    if file.sample_rate is None:
        assert row.sample_rate is not None  # checked with the manifest
        return row.sample_rate
    if row.sample_rate is not None and not math.isclose(row.sample_rate, file.sample_rate, rel_tol=1e-6):
        raise RecordingError(
            f"{path}: recorded at {file.sample_rate:g} Hz, but the manifest or reader.sample_rate says "
            f"{row.sample_rate:g} Hz; leave it empty for this file"
        )
    return file.sample_rate


def _agreed_unit(path: Path, file: SignalFile, row: Row) -> str:
    try:
        scale = scale_to_mv(file.unit)
    except ValueError:  # the file does not tell, or it is no voltage: the manifest decides
        if row.unit is None:
            raise RecordingError(
                f"{path}: the unit of {';'.join(row.signal) or 'its signal'} is {file.unit!r}; give it in the manifest "
                "(unit: mV, uV, V or a.u.), or choose another signal"
            ) from None
        return row.unit
    if row.unit is not None and scale_to_mv(row.unit) != scale:
        raise RecordingError(
            f"{path}: stored in {file.unit}, but the manifest or reader.unit says {row.unit}; leave it empty for this "
            "file"
        )
    return file.unit


def _lead_names(path: Path, row: Row, n_leads: int) -> tuple[str, ...]:
    if row.lead and len(row.lead) != n_leads:
        raise RecordingError(f"{path}: {n_leads} leads, but {len(row.lead)} names for them: {';'.join(row.lead)}")
    if row.lead or n_leads == 1:
        return row.lead or ("ECG",)
    return row.signal if len(row.signal) == n_leads else tuple(f"ECG {number}" for number in range(n_leads))


def _amplitude(path: Path, signal: NDArray[np.float32]) -> float:
    """Half the range of the middle 98 % of the finite values, of the lead where it is largest."""
    amplitudes = []
    for lead in signal[:, :: -(-signal.shape[1] // MAX_JUDGED)]:
        finite = lead[np.isfinite(lead)]
        if finite.size:
            low, high = np.percentile(finite, (1, 99))
            amplitudes.append(float(high - low) / 2)
    if not amplitudes:
        raise RecordingError(f"{path}: holds no number, every value is missing")
    return max(amplitudes)
