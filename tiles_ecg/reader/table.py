"""Your own data: a manifest with one row a recording, and files of common formats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import PositiveFloat

from tiles_ecg.reader.manifest import Defaults, Row, Unit, check_rows, read_cells, scale_to_mv, split_names
from tiles_ecg.reader.manifest_label import DeclaredLabel, check_declarations, read_labels
from tiles_ecg.reader.row_signal import read_row
from tiles_ecg.recording import LabelSpec, LabelValue, Recording, RecordingError, Source


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
        yield read_row(self.root / row.file, row, source.key, labels, self.max_amplitude_mv, self._defaults.time_zone)

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


@dataclass(frozen=True)
class _Entries:
    """Rows with their label values by key, and what the labels are."""

    labels: tuple[LabelSpec, ...]
    by_key: Mapping[str, tuple[Row, Mapping[str, LabelValue]]]


def _names(given: str | int | Sequence[str | int] | None) -> tuple[str, ...]:
    if isinstance(given, str | int):
        return split_names(str(given))
    return tuple(str(name) for name in given or ())
