"""Recording: what every reader hands over, whatever the raw files looked like.

A reader lists its `Source`s (units of work: a file, a record, a synthetic subject) and turns each into one or more
`Recording`s. Everything after that (resampling, filtering, windows, beats, quality, labels) is common ground.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

LabelLevel = Literal["window", "recording", "subject"]
LabelKind = Literal["categorical", "multilabel", "continuous"]
LabelValue = str | float | tuple[str, ...]


class RecordingError(Exception):
    """A raw file cannot be used. The message names the file, what is wrong with it, and what would be right."""

    is_user_error = True


@dataclass(frozen=True)
class LabelSpec:
    """What a label is called, what it belongs to, and which values it can take.

    Attributes:
        name: Lower-case identifier, e.g. `rhythm`.
        level: Whether one value holds for a window, a recording or a subject.
        kind: `categorical` (exactly one class), `multilabel` (any subset of the classes) or `continuous`.
        classes: Class names in the order of their codes; empty for `continuous`.
        unit: Unit of a `continuous` label (`year`, `ms`, ...), else empty.
    """

    name: str
    level: LabelLevel
    kind: LabelKind
    classes: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Annotations:
    """Timed values of one window-level label, in time order; `store` windows take theirs from the overlap.

    A categorical window takes the class that covers most of it (point events count as instants), a multilabel one every
    class that occurs in it, a continuous one the mean of the values that occur in it, weighted by overlap.

    Attributes:
        label: Name of a `LabelSpec` of level `window`.
        time_s: Onsets in seconds from the start of the recording, (K,) float64, ascending.
        value: K class names, or K numbers for a continuous label.
        duration_s: Durations in seconds, (K,) float64; 0 for a point event.
    """

    label: str
    time_s: NDArray[np.float64]
    value: Sequence[str] | NDArray[np.float64]
    duration_s: NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """Signal of one recording of one subject: one continuous stretch, or several of equal length.

    A recorder that runs all day gives one stretch (S = 1). One that wakes every 5 minutes for 15 s gives many; each is
    filtered and cut into windows for itself. A long recording may be handed over in several pieces with the same `id`.

    Attributes:
        id: Unique among the recordings of a reader.
        signal: (S, C, T) float32 in `unit`. Values may be NaN or infinite; windows that hold one are dropped, counted.
        sample_rate: Hz, > 0.
        leads: C lead names.
        source: `Source.key` of the file that it came from.
        subject: Subject id; None where the data do not say (the recording is then its own subject, and reports say so).
        unit: `mV`, or `a.u.` where the device does not tell.
        start_s: (S,) start of each stretch in seconds from the start of the recording; None means one stretch at 0.
        wall_time: (S,) seconds since the epoch (UTC) at the start of each stretch, NaN where unknown; None: none known.
        device: Name of the recorder, or empty.
        labels: Values of the recording- and subject-level labels by `LabelSpec.name`; leave out what is missing.
        annotations: Timed values of the window-level labels.
        dropped: Segments that the reader itself had to leave out, by reason (`coverage`, `incomplete`, ...).
        notes: Doubts the user must hear of, e.g. a missing column that disabled a filter.
    """

    id: str
    signal: NDArray[np.float32]
    sample_rate: float
    leads: tuple[str, ...]
    source: str
    subject: str | None = None
    unit: str = "mV"
    start_s: NDArray[np.float64] | None = None
    wall_time: NDArray[np.float64] | None = None
    device: str = ""
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    annotations: tuple[Annotations, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 3 or self.signal.dtype != np.float32:
            raise RecordingError(
                f"{self.source}: signal is {self.signal.dtype} of shape {self.signal.shape}; a Recording needs float32 "
                "of shape (stretches, leads, time points)"
            )
        if self.signal.shape[1] != len(self.leads):
            raise RecordingError(
                f"{self.source}: {self.signal.shape[1]} leads of signal but {len(self.leads)} lead names"
            )
        if not self.sample_rate > 0:
            raise RecordingError(f"{self.source}: sample rate {self.sample_rate} Hz; it must be positive")


@dataclass(frozen=True)
class Source:
    """One unit of a reader's work, read, skipped or resumed as a whole.

    Attributes:
        key: Stable unique name within the reader, such as the path relative to its root. Sorted: the store's order.
        files: Files that the result depends on; empty for synthetic sources.
    """

    key: str
    files: tuple[Path, ...] = ()


class Reader(Protocol):
    """Raw files -> Recordings. Must pickle: sources are read in worker processes.

    `sources` is cheap (it lists, it does not read) and raises `RecordingError` for a root that is missing, is not a
    folder or holds nothing readable. `read` raises `RecordingError` for a source that cannot be used.
    """

    labels: tuple[LabelSpec, ...]

    def sources(self) -> list[Source]:
        """All sources, in any order."""
        ...

    def read(self, source: Source) -> Iterator[Recording]:
        """The recordings of a source, one after the other."""
        ...
