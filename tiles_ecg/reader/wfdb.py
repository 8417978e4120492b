"""WfdbReader: any folder of WFDB records, the format of PhysioNet; a labeller adds what one dataset alone knows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tiles_ecg.reader.wfdb_header import list_headers, record_files
from tiles_ecg.reader.wfdb_signal import Lead, read_signal
from tiles_ecg.recording import Annotations, LabelSpec, LabelValue, Recording, RecordingError, Source


@dataclass(frozen=True)
class WfdbRecord:
    """A record as a labeller sees it.

    Attributes:
        root: Folder of the reader.
        path: Path of the header without its extension.
        comments: Comment lines of the header, without `#`.
        duration_s: Length of the record in seconds.
    """

    root: Path
    path: Path
    comments: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True)
class RecordLabels:
    """What a labeller knows about a record.

    Attributes:
        subject: Subject id, None where the dataset does not say.
        values: Recording- and subject-level labels by name, without the missing ones.
        annotations: Window-level labels.
        wall_time: Start of the record, seconds since the epoch (UTC), or NaN.
        notes: Doubts the user must hear of.
    """

    subject: str | None = None
    values: Mapping[str, LabelValue] = field(default_factory=dict)
    annotations: tuple[Annotations, ...] = ()
    wall_time: float = math.nan
    notes: tuple[str, ...] = ()


class Labeller(Protocol):
    """What one dataset knows beyond its WFDB signals. Must pickle."""

    @property
    def labels(self) -> tuple[LabelSpec, ...]:
        """The labels that `label` may give."""

    def files(self, root: Path, path: Path) -> tuple[Path, ...]:
        """Files, beyond those of the signal, that the labels of a record come from, as far as they exist.

        Args:
            root: Folder of the reader.
            path: Path of the header without its extension.

        Raises:
            RecordingError: A file that labels the whole dataset is missing.
        """

    def label(self, record: WfdbRecord) -> RecordLabels:
        """Reads what is known of a record.

        Raises:
            RecordingError: A file that holds labels is broken.
        """


class WfdbReader:
    """Reads every record of a folder, one `Source` and one `Recording` each.

    Where a folder has a `RECORDS` file, that lists its records; elsewhere every header (`*.hea`) counts. Voltages come
    in mV whatever unit the header gives; a signal that is no voltage keeps its own unit, the recording is in `a.u.` and
    a note says so. A multi-segment record becomes one signal, NaN in its gaps. Dates in headers are not used: they
    have no time zone, and are often made up.

    Args:
        root: Folder of the records, or of several folders of them.
        leads: Leads to keep, by index from 0 or by name (`MLII`; case is ignored where that is unambiguous). An entry
            may be a list of alternatives, of which the first that a record has is taken: `[[MLII, 0]]` is MLII, or the
            first lead of a record without it. The default is the first lead, whatever it is called.
        labeller: Adds subject ids and labels; without one there are none.

    Raises:
        ValueError: `leads` is empty, or holds something else than indices and names.
    """

    labels: tuple[LabelSpec, ...]

    def __init__(
        self, root: str | Path, leads: Sequence[Lead | Sequence[Lead]] = (0,), labeller: Labeller | None = None
    ) -> None:
        if isinstance(leads, str) or not leads:
            raise ValueError(f"leads = {leads!r}; expected a list of lead indices or names, such as [0] or [MLII]")
        self.root = Path(root).expanduser()
        self.leads = tuple(_as_alternatives(lead) for lead in leads)
        self.labeller = labeller
        self.labels = labeller.labels if labeller is not None else ()

    def sources(self) -> list[Source]:
        """Lists the records, sorted by their path relative to the root.

        Raises:
            RecordingError: The root is missing, is not a folder or holds no record, or the labeller misses its file.
        """
        if not self.root.is_dir():
            problem = "is a file, not a folder" if self.root.exists() else "does not exist"
            raise RecordingError(f"root {self.root} {problem}; expected a folder of WFDB records (*.hea)")
        headers = list_headers(self.root)
        if not headers:
            raise RecordingError(
                f"root {self.root} holds no WFDB record: no *.hea, at any depth, and none in a RECORDS file"
            )
        sources = []
        for header in headers:
            path = header.with_suffix("")
            labelled_by = self.labeller.files(self.root, path) if self.labeller is not None else ()
            files = dict.fromkeys((*record_files(header), *labelled_by))
            sources.append(Source(path.relative_to(self.root).as_posix(), tuple(files)))
        return sources

    def read(self, source: Source) -> Iterator[Recording]:
        """Yields the one recording of a record.

        Raises:
            RecordingError: A file of the record is missing, foreign, cut short or otherwise broken, or a lead is
                unknown; the message names the file and says what would be right.
        """
        path = self.root / source.key
        signal = read_signal(path, self.leads)
        record = WfdbRecord(self.root, path, signal.comments, signal.values.shape[1] / signal.sample_rate)
        known = self.labeller.label(record) if self.labeller is not None else RecordLabels()
        foreign = [f"{lead} ({unit})" for lead, unit in zip(signal.leads, signal.units, strict=True) if unit != "mV"]
        doubt = (f"no voltage, kept in the unit of the header: lead {', '.join(foreign)}",) if foreign else ()
        yield Recording(
            id=source.key,
            signal=signal.values[None],  # (C, T) -> (1, C, T)
            sample_rate=signal.sample_rate,
            leads=signal.leads,
            source=source.key,
            subject=known.subject,
            unit="a.u." if foreign else "mV",
            wall_time=np.array([known.wall_time]),
            labels=known.values,
            annotations=known.annotations,
            notes=(*signal.notes, *doubt, *known.notes),
        )


def _as_alternatives(lead: Lead | Sequence[Lead]) -> tuple[Lead, ...]:
    alternatives = (lead,) if isinstance(lead, int | str) else tuple(lead)
    if not alternatives:
        raise ValueError("leads holds an empty list of alternatives; expected at least one index or name in it")
    for each in alternatives:
        if isinstance(each, bool) or not isinstance(each, int | str) or (isinstance(each, int) and each < 0):
            raise ValueError(f"leads holds {each!r}; expected an index from 0, a lead name, or a list of these")
    return alternatives
