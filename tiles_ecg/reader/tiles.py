"""TILES-2018: ECG of the OMsignal shirt, 15 s every 5 minutes at 250 Hz, in the layout of the public release."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import PositiveFloat

from tiles_ecg.config_types import Probability
from tiles_ecg.reader.bursts import BurstCutter, Rows
from tiles_ecg.reader.delimited import read_header
from tiles_ecg.reader.tiles_file import DAY_US, SUFFIXES, note_first, participant_of, read_coverage, read_ecg
from tiles_ecg.recording import LabelSpec, Recording, RecordingError, Source

PIECE_SEGMENTS = 256
"""Segments in one `Recording` at most; a longer recording is handed over in pieces."""
EPOCH = datetime(1970, 1, 1)


class TilesReader:
    """Reads `omsignal/ecg/<participant>.csv.gz` and `omsignal/metadata/<participant>.csv.gz`, one source a participant.

    ECG files hold `record_id,timestamp,raw_ecg` (also `Timestamp`; any column order; further columns are ignored), one
    row a time point. Bursts are found by gaps in time, so none is lost to a grid of 5-minute bins. A `Recording` has id
    `<participant>/<record_id>`, one lead `ECG` in `a.u.` (the release does not say the unit), and at most 256 segments:
    longer ones come in pieces. The last one of a source carries the counts of what was dropped, and the notes.

    Times are wall times of the study's zone; `wall_time` is UTC, and `start_s` is counted from the first row of the
    recording in true seconds, also across a change of daylight saving. The hour that occurs twice in autumn is read as
    its first pass.

    A file without `record_id` gives one recording a calendar day, and the coverage filter cannot be applied; nor can it
    where the metadata file is missing. Both keep everything and say so in `Recording.notes`.

    Args:
        root: The bucket folder (that holds `omsignal/`), or the folder that holds `ecg/` and `metadata/`.
        min_coverage: Recordings are kept if their `rrCoverageRatio` (0 to 1) in the metadata is greater than this; one
            that is not listed is left out. None keeps all.
        require_metadata: Refuse a participant without metadata file, instead of keeping all recordings with a note.
        sample_rate: Hz. A file that is evenly spaced at another rate is refused.
        segment_s: Length of a segment in seconds; shorter bursts are dropped, longer ones cut.
        time_zone: Where the wall times were written.

    References:
        Mundnich et al., TILES-2018, a longitudinal physiologic and behavioral data set of hospital workers, Scientific
        Data 7:354, 2020. Layout: `copy_to_opendata_ec2.sh` in github.com/usc-sail/tiles-dataset-release. Burst pattern
        and coverage threshold: github.com/klean2050/tiles_ecg_model (WildECG, arXiv 2309.15292).
    """

    labels: tuple[LabelSpec, ...] = ()

    def __init__(
        self,
        root: str,
        min_coverage: Probability | None = 0.9,
        require_metadata: bool = False,
        sample_rate: PositiveFloat = 250.0,
        segment_s: PositiveFloat = 15.0,
        time_zone: str = "America/Los_Angeles",
    ) -> None:
        n_points = segment_s * sample_rate
        if n_points != round(n_points) or n_points < 2:
            raise ValueError(
                f"segment_s = {segment_s} s at {sample_rate} Hz is {n_points} time points; choose a whole number"
            )
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"time_zone = {time_zone!r} is unknown; give a name such as America/Los_Angeles") from None
        self.root = Path(root)
        self.min_coverage = min_coverage
        self.require_metadata = require_metadata
        self.sample_rate = sample_rate
        self.n_points = round(n_points)
        self.time_zone = time_zone

    def sources(self) -> list[Source]:
        """One source a participant, sorted; its files are the ECG and, where there is one, the metadata."""
        folder = self._ecg_folder()
        files: dict[str, Path] = {}
        for file in sorted(folder.iterdir()):
            participant = participant_of(file)
            if participant is None:
                continue
            if participant in files:
                raise RecordingError(f"{file}: {files[participant].name} is the same participant; keep one of the two")
            files[participant] = file
        if not files:
            raise RecordingError(f"{folder}: no file <participant>.csv.gz or <participant>.csv in it")
        metadata = folder.parent / "metadata"
        return [
            Source(participant, (files[participant], *_existing(metadata, participant)[:1]))
            for participant in sorted(files)
        ]

    def read(self, source: Source) -> Iterator[Recording]:
        """Yield the participant's recordings; at least one, with no segment in it if nothing was usable.

        Raises:
            RecordingError: If the ECG or the metadata file is damaged, lacks a column or holds no rows.
        """
        ecg = source.files[0]
        header = read_header(ecg)
        has_records = "record_id" in header.names
        is_kept, notes = self._filter(source, has_records)
        first_us: dict[int, int] = {}
        clock = _Clock(self.time_zone, first_us)
        cutter = BurstCutter(self.n_points, self.sample_rate)
        n_refused, last = 0, None
        for segments in cutter.cut(note_first(read_ecg(ecg, header), has_records, first_us)):
            for record, piece in _pieces(segments, has_records):
                if is_kept is not None and not is_kept.get(record, False):
                    n_refused += len(piece)
                    continue
                if last is not None:
                    yield last
                last = self._recording(source.key, record if has_records else _day(record), piece, clock, record)
        self._refuse_unusable(ecg, header.names, first_us, cutter)
        dropped = {"coverage": n_refused, "incomplete": cutter.incomplete, "uneven": cutter.uneven}
        unlisted = sorted(first_us.keys() - is_kept.keys()) if is_kept is not None else []
        yield replace(
            last or self._nothing(source.key),
            dropped={reason: count for reason, count in dropped.items() if count},
            notes=(*notes, *_doubts(source.key, cutter, unlisted)),
        )

    def _ecg_folder(self) -> Path:
        if not self.root.is_dir():
            raise RecordingError(
                f"{self.root}: {'not a folder' if self.root.exists() else 'no such folder'}; set reader.root"
            )
        for folder in (self.root / "omsignal" / "ecg", self.root / "ecg"):
            if folder.is_dir():
                return folder
        found = ", ".join(sorted(entry.name for entry in self.root.iterdir())[:8]) or "nothing"
        raise RecordingError(
            f"{self.root}: holds neither omsignal/ecg/ nor ecg/, but {found}; give the folder above ecg/"
        )

    def _filter(self, source: Source, has_records: bool) -> tuple[Mapping[int, bool] | None, list[str]]:
        """Whether each listed record is kept, or None for no filter; and the notes that the user must hear of."""
        ecg, metadata = source.files[0], source.files[1:]
        notes = [] if has_records else ["no column record_id: each calendar day is taken as one recording"]
        if self.min_coverage is None:
            return None, notes
        if not metadata and self.require_metadata:
            raise RecordingError(
                f"{ecg}: no metadata file {ecg.parent.parent / 'metadata' / ecg.name}; download it, or set "
                "reader.require_metadata=false to keep all its recordings"
            )
        if metadata and has_records:
            return {record: ratio > self.min_coverage for record, ratio in read_coverage(metadata[0]).items()}, notes
        reason = "there is no metadata file" if has_records else "without record_id nothing links ECG and metadata"
        notes.append(  # names no file, so that the same note of many participants is counted and not listed
            f"the coverage filter (min_coverage = {self.min_coverage}) WAS NOT APPLIED and all recordings of the "
            f"participant are kept: {reason}"
        )
        return None, notes

    def _refuse_unusable(
        self, ecg: Path, names: Sequence[str], first_us: Mapping[int, int], cutter: BurstCutter
    ) -> None:
        if not first_us:
            raise RecordingError(f"{ecg}: a header ({', '.join(names)}) but no rows")
        if cutter.other_rate is not None:
            raise RecordingError(
                f"{ecg}: evenly spaced at {cutter.other_rate:.6g} Hz; {self.sample_rate:g} Hz is needed (if the file "
                "is right, set reader.sample_rate)"
            )

    def _recording(
        self, participant: str, name: str | int, piece: Sequence[Rows], clock: "_Clock", record: int
    ) -> Recording:
        utc_us = np.array([clock.utc_us(int(segment.time_us[0])) for segment in piece], np.int64)
        return replace(
            self._nothing(participant),
            id=f"{participant}/{name}",
            signal=np.stack([segment.value for segment in piece])[:, None],  # (S, T) -> (S, 1, T)
            start_s=(utc_us - clock.origin_us(record)) / 1e6,
            wall_time=utc_us / 1e6,
        )

    def _nothing(self, participant: str) -> Recording:
        return Recording(
            id=participant,
            signal=np.empty((0, 1, self.n_points), np.float32),
            sample_rate=self.sample_rate,
            leads=("ECG",),
            source=participant,
            subject=participant,
            unit="a.u.",
            start_s=np.empty(0),
            wall_time=np.empty(0),
            device="OMsignal",
        )


class _Clock:
    """Wall time to UTC, and when each recording begins."""

    def __init__(self, time_zone: str, first_us: Mapping[int, int]) -> None:
        self._zone = ZoneInfo(time_zone)
        self._first_us = first_us
        self._origin_us: dict[int, int] = {}

    def utc_us(self, local_us: int) -> int:
        local = (EPOCH + timedelta(microseconds=local_us)).replace(tzinfo=self._zone)
        return local_us - (local.utcoffset() or timedelta()) // timedelta(microseconds=1)

    def origin_us(self, record: int) -> int:
        """UTC of the record's first row; it stays what it was when first asked for."""
        return self._origin_us.setdefault(record, self.utc_us(self._first_us[record]))


def _existing(folder: Path, participant: str) -> list[Path]:
    return [file for suffix in SUFFIXES if (file := folder / f"{participant}{suffix}").is_file()]


def _day(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()


def _pieces(segments: Sequence[Rows], has_records: bool) -> Iterator[tuple[int, Sequence[Rows]]]:
    """Runs of segments of one recording (a record, or the day on which they start), 256 at most."""

    def recording(segment: Rows) -> int:
        return int(segment.record[0]) if has_records else int(segment.time_us[0]) // DAY_US

    for key, group in groupby(segments, recording):
        run = list(group)
        for start in range(0, len(run), PIECE_SEGMENTS):
            yield key, run[start : start + PIECE_SEGMENTS]


def _doubts(participant: str, cutter: BurstCutter, unlisted: Sequence[int]) -> list[str]:
    notes = []
    if unlisted:
        notes.append(
            f"{participant}: {len(unlisted)} records are not in the metadata and were left out: {unlisted[:8]}"
        )
    if cutter.duplicates:
        notes.append(
            f"{participant}: {cutter.duplicates} rows repeat record and time of an earlier one and were dropped"
        )
    if not cutter.is_sorted:
        notes.append(f"{participant}: the rows are not in order of record and time; they were sorted")
    return notes
