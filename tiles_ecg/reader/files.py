"""Signal files without a manifest: each file is one recording."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import PositiveFloat

from tiles_ecg.reader.manifest import Row, Unit, scale_to_mv, split_names
from tiles_ecg.reader.row_signal import read_row
from tiles_ecg.reader.signal_file import SUFFIXES, is_edf
from tiles_ecg.recording import LabelSpec, Recording, RecordingError, Source

Names = str | int | Sequence[str | int]


class FilesReader:
    """Reads signal files, one source and one recording each; there are no labels, and each is its own subject.

    CSV, NumPy, MATLAB and EDF files, see `signal_file.read_signal_file`. Where subjects or labels are known, or files
    differ in what they hold, a manifest says so: `TableReader`.

    Args:
        root: A file, several files, or a folder.
        pattern: Which files of a folder are read (`*.csv`, `**/*.edf`); all of a readable format by default.
        sample_rate: Hz, of all files but EDF, which tells its own.
        signal: Column, key, variable or label of the ECG, or several; None where there is only one.
        unit: mV, uV, V or a.u.; None for what EDF tells and for mV elsewhere.
        lead: Name or names of the leads.
        max_amplitude_mv: See `TableReader`.
        time_zone: Where the wall times of EDF files were written.

    Raises:
        ValueError: If the rate is not positive, or the unit or time zone is unknown.
    """

    labels: tuple[LabelSpec, ...] = ()

    def __init__(
        self,
        root: str | Sequence[str],
        pattern: str | None = None,
        sample_rate: PositiveFloat | None = None,
        signal: str | int | Sequence[str | int] | None = None,
        unit: Unit | None = None,
        lead: str | Sequence[str] | None = None,
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
        self.given = [root] if isinstance(root, str) else list(root)
        self.pattern = pattern
        self.sample_rate = sample_rate
        self.signal, self.lead = _names(signal), _names(lead)
        self.unit = unit
        self.max_amplitude_mv = max_amplitude_mv
        self.time_zone = time_zone

    def sources(self) -> list[Source]:
        """One source a file: its path as given, or relative to the folder.

        Raises:
            RecordingError: If a file is missing or of an unknown format, a folder holds none, or the sample rate of a
                format that does not tell it is not given.
        """
        if not self.given:
            raise RecordingError("reader.root is empty; give a signal file or a folder")
        sources = []
        for given in dict.fromkeys(self.given):
            path = Path(given)
            if path.is_dir():
                sources += [Source(file.relative_to(path).as_posix(), (file,)) for file in self._files_in(path)]
            elif not path.is_file():
                raise RecordingError(f"{path}: no such file or folder; set reader.root")
            else:
                sources.append(Source(given, (path,)))
        for source in sources:
            self._check(source.files[0])
        return sources

    def read(self, source: Source) -> Iterator[Recording]:
        """Yield the one recording of a file.

        Raises:
            RecordingError: If it is damaged, does not hold the signal, or tells another unit than `unit`.
        """
        path = source.files[0]
        tells = is_edf(path.name)
        row = Row(
            key=source.key,
            file=str(path),
            subject=None,
            sample_rate=None if tells else self.sample_rate,
            signal=self.signal,
            unit=self.unit if tells or self.unit else "mV",
            lead=self.lead,
            start=math.nan,
        )
        yield read_row(path, row, source.key, {}, self.max_amplitude_mv, self.time_zone)

    def _files_in(self, folder: Path) -> list[Path]:
        try:
            found = sorted(file for file in folder.glob(self.pattern or "**/*") if file.is_file())
        except (ValueError, NotImplementedError) as error:
            raise RecordingError(f"pattern {self.pattern!r} cannot be used ({error}); give one such as *.csv") from None
        visible = [file for file in found if not file.name.startswith(".")]
        if self.pattern is None:
            visible = [file for file in visible if file.name.lower().endswith(SUFFIXES)]
        if not visible:
            wanted = f"no file fits reader.pattern={self.pattern}" if self.pattern else f"none of {', '.join(SUFFIXES)}"
            raise RecordingError(f"{folder}: holds no signal file ({wanted}); choose another folder or reader.pattern")
        return visible

    def _check(self, file: Path) -> None:
        if not file.name.lower().endswith(SUFFIXES):
            raise RecordingError(f"{file}: unknown format; readable are {', '.join(SUFFIXES)}")
        if self.sample_rate is None and not is_edf(file.name):
            raise RecordingError(f"{file}: the file does not tell its sample rate; give it, as reader.sample_rate=250")


def _names(given: Names | None) -> tuple[str, ...]:
    if isinstance(given, str | int):
        return split_names(str(given))
    return tuple(str(name) for name in given or ())
