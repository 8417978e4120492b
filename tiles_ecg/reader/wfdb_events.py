"""Beat and wave annotations of a WFDB record (`.atr`, `.q1c`, ...), checked before they are believed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from tiles_ecg.reader.wfdb import WfdbRecord
from tiles_ecg.reader.wfdb_header import blaming
from tiles_ecg.recording import Annotations, RecordingError

AAMI_CLASSES = ("N", "S", "V", "F", "Q")
"""Beat classes of ANSI/AAMI EC57: normal, supraventricular ectopic, ventricular ectopic, fusion, unknown."""

_AAMI_OF_SYMBOL = {
    symbol: aami
    for aami, symbols in {"N": "NLRBejn", "S": "AaJS", "V": "VrE", "F": "F", "Q": "/fQ?"}.items()
    for symbol in symbols
}


@dataclass(frozen=True)
class Events:
    """Annotations of one file, in time order.

    Attributes:
        time_s: Seconds from the start of the record, (K,) float64.
        symbol: K annotation symbols, such as `N`, `V`, `+`, `(`.
        note: K auxiliary notes, mostly empty.
    """

    time_s: NDArray[np.float64]
    symbol: tuple[str, ...]
    note: tuple[str, ...]


def events_path(record: Path, annotator: str) -> Path:
    """Path of an annotation file: record name and annotator, such as `100.atr`."""
    return record.with_name(f"{record.name}.{annotator}")


def read_events(record: WfdbRecord, annotator: str) -> Events | None:
    """Reads an annotation file; None where there is none.

    Raises:
        RecordingError: The file is cut short (it lacks its end mark), is no annotation file, or belongs to another
            record: its times run backwards or beyond the end.
    """
    file = events_path(record.path, annotator)
    if not file.is_file():
        return None
    end = file.read_bytes()[-2:]
    if end != b"\0\0" or file.stat().st_size % 2:
        raise RecordingError(
            f"{file}: cut short, or no WFDB annotation file: it should hold pairs of bytes and end with two zero "
            "bytes; copy or download it again"
        )
    if file.stat().st_size == 2:
        return Events(np.empty(0), (), ())
    with blaming(file, "wfdb cannot read these annotations"):
        raw = wfdb.rdann(str(record.path), annotator)
        time_s = np.asarray(raw.sample, dtype=np.float64) / raw.fs
        symbols, notes = tuple(map(str, raw.symbol)), tuple((note or "").rstrip("\0") for note in raw.aux_note)
    if np.any(np.diff(time_s) < 0) or (len(time_s) and not 0 <= time_s[0] <= time_s[-1] <= record.duration_s):
        raise RecordingError(
            f"{file}: times run from {time_s.min():.3f} to {time_s.max():.3f} s and are not in order within the "
            f"{record.duration_s:.3f} s of the record: the file is broken, or belongs to another record"
        )
    return Events(time_s, symbols, notes)


def beat_types(events: Events) -> Annotations:
    """AAMI class of every beat, as point events at its annotation (near the R-peak), label `beat_type`.

    | class | annotation symbols |
    | --- | --- |
    | N | N normal, L and R left and right bundle branch block, B unspecified block, e, j and n escape beats |
    | S | A and a atrial premature, J junctional premature, S supraventricular premature |
    | V | V premature ventricular contraction, r the same on a T wave, E ventricular escape |
    | F | F fusion of ventricular and normal |
    | Q | / paced, f fusion of paced and normal, Q unclassifiable, ? unclassified |

    Everything else is not a beat: rhythm changes, noise, waves, and also ventricular flutter waves (`!`) and
    non-conducted P waves (`x`).

    References:
        ANSI/AAMI EC57:2012, Testing and reporting performance results of cardiac rhythm and ST segment measurement
        algorithms. The grouping is that of de Chazal et al., Automatic classification of heartbeats using ECG
        morphology and heartbeat interval features, IEEE Trans Biomed Eng 51(7), 2004, Table I; B, n, r and ?, which
        it does not list, are put with their like.
    """
    beats = [index for index, symbol in enumerate(events.symbol) if symbol in _AAMI_OF_SYMBOL]
    return Annotations(
        label="beat_type",
        time_s=events.time_s[beats],
        value=tuple(_AAMI_OF_SYMBOL[events.symbol[index]] for index in beats),
        duration_s=np.zeros(len(beats)),
    )


def is_beat(symbol: str) -> bool:
    """Whether an annotation symbol stands for a beat."""
    return symbol in _AAMI_OF_SYMBOL
