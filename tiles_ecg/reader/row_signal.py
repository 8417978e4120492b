"""One recording that a manifest or a list of files describes -> its Recording: rate, unit and leads as agreed."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiles_ecg.reader.manifest import Row, scale_to_mv, to_epoch
from tiles_ecg.reader.signal_file import SignalFile, read_signal_file
from tiles_ecg.recording import LabelValue, Recording, RecordingError

MIN_AMPLITUDE_MV = 0.005
"""Below this amplitude a note asks whether the unit is right."""
MAX_JUDGED = 1_000_000
"""Values of a lead at most that its amplitude is judged from, evenly spaced."""


def read_row(
    path: Path,
    row: Row,
    source: str,
    labels: Mapping[str, LabelValue],
    max_amplitude_mv: float | None,
    time_zone: str,
) -> Recording:
    """Read the recording of a row.

    Args:
        path: Its file.
        row: What is known of it.
        source: Key of the `Source` that it is.
        labels: Its labels.
        max_amplitude_mv: A greater amplitude is refused, since the unit is probably wrong. None accepts all.
        time_zone: Where the wall time in the file was written.

    Raises:
        RecordingError: If the file is missing or damaged, does not hold the signal, or contradicts the row.
    """
    file = read_signal_file(path, row.signal)
    rate = _agreed_rate(path, file, row)
    unit = _agreed_unit(path, file, row)
    scale = scale_to_mv(unit)
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, and its window is dropped
        signal = np.multiply(file.values, scale or 1.0).astype(np.float32)  # (C, T)
    notes = _judge_amplitude(path, signal, unit, max_amplitude_mv) if scale is not None else ()
    start = row.start
    if math.isnan(start) and file.start is not None:
        start = to_epoch(file.start, time_zone)
    return Recording(
        id=row.key,
        signal=signal[None],  # (C, T) -> (1, C, T)
        sample_rate=rate,
        leads=_lead_names(path, row, len(signal)),
        source=source,
        subject=row.subject,
        unit="a.u." if scale is None else "mV",
        wall_time=None if math.isnan(start) else np.array([start]),
        labels=labels,
        notes=notes,
    )


def _judge_amplitude(
    path: Path, signal: NDArray[np.float32], unit: str, max_amplitude_mv: float | None
) -> tuple[str, ...]:
    amplitude_mv = _amplitude(path, signal)
    if max_amplitude_mv is not None and amplitude_mv > max_amplitude_mv:
        raise RecordingError(
            f"{path}: an amplitude of {amplitude_mv:.6g} mV if its unit is {unit}; an ECG has a few mV, so these "
            "are probably uV or raw counts (unit: uV or a.u.); if it is right, raise reader.max_amplitude_mv "
            f"(now {max_amplitude_mv:g}) or set it to null"
        )
    if 0 < amplitude_mv < MIN_AMPLITUDE_MV:
        return (f"{path}: an amplitude of only {amplitude_mv:.2g} mV if its unit is {unit}; check the unit",)
    return ()


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
