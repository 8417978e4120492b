"""Raw signals: what somebody hands to an encoder -> a Recording, or an error that says what to hand over instead."""

import math
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tiles_ecg.recording import Recording

SOURCE = "signal"


class SignalError(ValueError):
    """A signal cannot be embedded. The message names what is wrong, the value, and what would be right."""

    is_user_error = True


def as_recording(
    signal: ArrayLike, sample_rate: SupportsFloat, unit: str, n_leads: int, trained_unit: str
) -> Recording:
    """Check a signal, and bring it to the layout and, if both are voltages, the unit of the training.

    Args:
        signal: (T,) of one lead, or (C, T): numbers of any type. NaN and infinite values may occur.
        sample_rate: Hz.
        unit: mV, uV, V, or a.u. where the recorder does not tell.
        n_leads: C.
        trained_unit: To convert to.

    Raises:
        SignalError: If the shape, the type, the rate or the unit cannot be used.
    """
    rate = _rate(sample_rate)
    leads = _leads(signal, n_leads)
    factor, unit = _conversion(unit, trained_unit)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32 becomes infinite: an unusable window
        stretch = np.ascontiguousarray(leads if factor == 1 else np.multiply(leads, factor), dtype=np.float32)
    names = tuple(f"lead {number}" for number in range(n_leads))
    return Recording(SOURCE, stretch[None], rate, names, SOURCE, subject=SOURCE, unit=unit)


def _rate(sample_rate: SupportsFloat) -> float:
    try:
        rate = float(sample_rate)
    except (TypeError, ValueError):
        rate = math.nan
    if not 0 < rate < math.inf:
        raise SignalError(f"sample_rate = {sample_rate!r}: give the signal's rate, a positive number of Hz")
    return rate


def _leads(signal: ArrayLike, n_leads: int) -> NDArray[np.number[Any]]:
    """(C, T), of a real number type."""
    try:
        if isinstance(signal, np.ma.MaskedArray):  # `asarray` would hand out what lies under the mask
            signal = np.ma.filled(signal.astype(np.float64), np.nan)
        array = np.asarray(signal)
    except ValueError as error:
        raise SignalError(f"signal: leads of different lengths ({error}); give (T,) or (C, T)") from error
    except (TypeError, RuntimeError) as error:
        raise SignalError(f"signal: no array ({error}); give (T,) or (C, T) numbers in memory") from error
    if array.dtype.kind not in "fiu":
        raise SignalError(f"signal: values of type {array.dtype}; give real numbers")
    leads = array[None] if array.ndim == 1 else array
    if leads.ndim != 2:
        raise SignalError(f"signal has shape {array.shape}; give (T,) or (C, T): one recording at a time")
    if not leads.size:
        raise SignalError(f"signal has shape {array.shape}: it is empty")
    if len(leads) != n_leads:
        wanted = "1 lead" if n_leads == 1 else f"{n_leads} leads"
        turned = "; its axes look exchanged: give signal.T" if leads.shape[1] == n_leads else ""
        mend = turned or f"; give {'one of them, such as signal[0]' if n_leads == 1 else f'({n_leads}, T)'}"
        raise SignalError(f"signal has shape {array.shape}, {len(leads)} leads; this encoder reads {wanted}{mend}")
    return leads


def _conversion(unit: str, trained_unit: str) -> tuple[float, str]:
    """What to multiply by, and the unit that results."""
    if unit == trained_unit:
        return 1.0, unit
    from tiles_ecg.reader.manifest import scale_to_mv  # on use: it brings all file formats

    try:
        given = scale_to_mv(str(unit))
    except ValueError as error:
        raise SignalError(str(error)) from error
    try:
        trained = scale_to_mv(trained_unit)
    except ValueError:
        trained = None
    if given is None or trained is None:
        return 1.0, unit
    return given / trained, trained_unit
