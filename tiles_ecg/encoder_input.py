"""Encoder input: the preparation and the normalisation that an encoder's training had."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from tiles_ecg.config import config_directory
from tiles_ecg.dataset.windows import SMALLEST_SCALE
from tiles_ecg.encoder.encoder_description import EncoderFile, EncoderFileError
from tiles_ecg.preparation import Preparation
from tiles_ecg.waveform import location_scale

NORMALISES = ("subject", "subject_robust", "window", "none")
_NAMES = {"low_hz": "its band", "high_hz": "its band", "window_s": "the length of its windows"}
"""What an encoder's description should say of its preparation."""
_LIMITS = ("min_quality", "max_flat", "max_clipped")


@dataclass(frozen=True)
class SignalWindows:
    """Windows of a signal as the network sees them; row i begins at i * step_s.

    Attributes:
        signal: (N, C, T) float32, filtered and normalised; NaN in the rows of windows that cannot be used.
        start_s: (N,) seconds from the start of the signal.
        quality: (N,) 0 to 1; NaN in the same rows.
        dropped: How many windows cannot be used, by reason (`nonfinite`, `flat`, `clipped`, `low quality`).
    """

    signal: NDArray[np.float32]
    start_s: NDArray[np.float64]
    quality: NDArray[np.float32]
    dropped: dict[str, int]

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """(N,)."""
        return np.isfinite(self.quality)


def preparation_of(
    about: EncoderFile, window_s: float | None = None, step_s: float | None = None
) -> tuple[Preparation, list[str]]:
    """The preparation of an encoder's training; what it does not say is as in `conf/prepare.yaml`.

    Args:
        about: What is known of the encoder.
        window_s: Length of a window; None for that of the training.
        step_s: From one window to the next; None for `window_s`.

    Returns:
        The preparation, and a note on each thing that the encoder does not say.

    Raises:
        EncoderFileError: If what it says does not make a preparation.
    """
    usual = yaml.safe_load((config_directory() / "prepare.yaml").read_text(encoding="utf-8"))["preparation"]
    said = about.preprocessing if window_s is None else {**about.preprocessing, "window_s": window_s}
    chosen: dict[str, Any] = {key: said.get(key, usual[key]) for key in (*_NAMES, *_LIMITS)}
    numbers = {"sample_rate": said["sample_rate"], **chosen, "step_s": chosen["window_s"] if step_s is None else step_s}
    for key, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise EncoderFileError(f"{about.path}: {key} = {value!r} of its input; it must be a number")
    try:
        preparation = Preparation(**{key: float(value) for key, value in numbers.items()})
    except ValueError as error:
        raise EncoderFileError(f"{about.path}: {error}") from error
    taken = {"its band": f"{preparation.low_hz:g} to {preparation.high_hz:g} Hz"}
    taken["the length of its windows"] = f"{preparation.window_s:g} s"
    unknown = dict.fromkeys(name for key, name in _NAMES.items() if key not in said)
    return preparation, [f"does not say {name}: taken as {taken[name]}" for name in unknown]


def normalised(windows: NDArray[np.float32], normalise: str) -> NDArray[np.float32]:
    """Windows of one subject, normalised as `tiles_ecg.dataset.windows.Windows` does it.

    Args:
        windows: (N, C, T), all that there are of the subject.
        normalise: `subject`, `subject_robust`, `window` or `none`.
    """
    if normalise == "none" or not len(windows):
        return windows
    if normalise == "window":
        location, scale = windows.mean(axis=2, keepdims=True), windows.std(axis=2, keepdims=True)
    else:
        found = location_scale(windows)
        pair = (found.mean, found.std) if normalise == "subject" else (found.median, found.robust_std)
        location, scale = (value[:, None].astype(np.float32) for value in pair)  # (C, 1)
    normal: NDArray[np.float32] = (windows - location) / np.where(scale > SMALLEST_SCALE, scale, np.float32(1))
    return normal
