"""Trained encoders: a raw signal in, an embedding of every window out. `load_encoder(path)(signal, sample_rate)`."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import SupportsFloat

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from tiles_ecg.encoder.architecture import build_with_weights
from tiles_ecg.encoder.encoder_description import EncoderFile, EncoderFileError
from tiles_ecg.encoder.encoder_file import read_encoder_file
from tiles_ecg.encoder.shipped import is_shipped
from tiles_ecg.encoder_input import NORMALISES, SignalWindows, normalised, preparation_of
from tiles_ecg.preparation import PreparedWindows
from tiles_ecg.raw_signal import SignalError, as_recording
from tiles_ecg.recording import Recording

BATCH = 64
"""Windows that the network sees at once."""


class TrainedEncoder:
    """An encoder with its weights and the preparation that its input needs.

    Called with a raw recording it resamples, filters, cuts and normalises it as the windows of its training were, and
    embeds every window. Row i is the window from `i * step_s` on. A window that cannot be used (missing values, or flat
    or clipped beyond what was trained on) gives a row of NaN and a warning, so that rows stay where they are; what is
    left at the end, shorter than a window, is not embedded. Where the training normalised by subject, mean and
    deviation are those of the usable windows of this call: hand over all of one person's recording at once.

    Args:
        about: What is known of it.
        network: With its weights.
        window_s: Length of a window; None for that of the training.
        step_s: From one window to the next; None for `window_s`.
        device: Where the network runs.

    Attributes:
        network: In eval mode: (B, C, T) float32, normalised, at `sample_rate` -> (B, D).
        about: What is known of it.
        preparation: How signals are resampled, filtered and cut.
        normalise: `subject`, `subject_robust`, `window` or `none`.
        sample_rate: Of the network's input, Hz.
        n_leads: C.
        embedding_dim: D.

    Raises:
        EncoderFileError: If its description does not make a preparation.
    """

    def __init__(
        self,
        about: EncoderFile,
        network: nn.Module,
        window_s: float | None = None,
        step_s: float | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.about = about
        self.preparation, notes = preparation_of(about, window_s, step_s)
        self.normalise = str(about.preprocessing.get("normalise", "subject"))
        if self.normalise not in NORMALISES:
            known = ", ".join(NORMALISES)
            raise EncoderFileError(f"{about.path}: normalise = {self.normalise} of its input; it must be of {known}")
        if "normalise" not in about.preprocessing:
            notes.append("does not say how its input was normalised: taken as by subject")
        for note in notes:
            warnings.warn(f"{about.path} {note}", stacklevel=3)
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.sample_rate = self.preparation.sample_rate
        self.n_leads = int(about.preprocessing["n_leads"])
        self.embedding_dim = int(network.embedding_dim)  # type: ignore[arg-type]

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        revision: str | None = None,
        window_s: float | None = None,
        step_s: float | None = None,
        device: str | torch.device = "cpu",
        trusted: Sequence[str] = (),
    ) -> "TrainedEncoder":
        """Load a folder or file, a model of the package (`tiles-ecg/NAME`), or one of the Hugging Face hub.

        Args:
            model: What `load_encoder` takes, without a network; else `owner/name` on the hub, which is downloaded where
                huggingface_hub is installed.
            revision: Of a model on the hub.
            window_s: See `TrainedEncoder`.
            step_s: See `TrainedEncoder`.
            device: See `TrainedEncoder`.
            trusted: See `load_encoder`.

        Raises:
            EncoderFileError: If it cannot be found, downloaded or read.
        """
        from tiles_ecg.hub import downloaded

        is_local = is_shipped(model) or Path(model).exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(model))
        found = model if is_local else downloaded(str(model), revision)
        return load_encoder(found, window_s, step_s, device, trusted)

    def save_pretrained(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write it as a model folder, with the card that it came with or a new one; see `write_model`."""
        from tiles_ecg.model_card import model_card
        from tiles_ecg.model_folder import CARD, write_model

        beside = self.about.path.with_name(CARD)
        is_own = beside.is_file() and self.about.path.with_name("config.json").is_file()
        card = beside.read_text(encoding="utf-8") if is_own else model_card(self.about, self.embedding_dim)
        return write_model(folder, self.about, self.network.state_dict(), card, overwrite)

    def __call__(self, signal: ArrayLike, sample_rate: SupportsFloat, unit: str = "mV") -> NDArray[np.float32]:
        """Embed a recording of one person.

        Args:
            signal: (T,) or (C, T), raw, at least one window long.
            sample_rate: Of it, Hz; any that holds the encoder's band.
            unit: mV, uV, V, or a.u. for counts of a converter. It matters only where the training did not normalise.

        Returns:
            (N, D); row i for the window from `i * step_s` on, NaN where that cannot be used.

        Raises:
            SignalError: If the signal, its rate or its unit cannot be used.
        """
        windows = self.windows(signal, sample_rate, unit)
        if windows.dropped:
            reasons = ", ".join(f"{count} {reason}" for reason, count in windows.dropped.items())
            n_bad = int((~windows.is_usable).sum())
            warnings.warn(f"{n_bad} of {len(windows.start_s)} windows cannot be used ({reasons}): NaN", stacklevel=2)
        embedding = np.full((len(windows.start_s), self.embedding_dim), np.nan, np.float32)
        embedding[windows.is_usable] = self.embed(windows.signal[windows.is_usable])
        return embedding

    def windows(self, signal: ArrayLike, sample_rate: SupportsFloat, unit: str = "mV") -> SignalWindows:
        """The windows of a recording as the network sees them; arguments and errors as of a call."""
        trained_unit = str(self.about.preprocessing.get("unit", "mV"))
        recording = as_recording(signal, sample_rate, unit, self.n_leads, trained_unit)
        self._check(recording, trained_unit)
        try:
            prepared = self.preparation(recording, ())
        except ValueError as error:  # rates without a ratio
            raise SignalError(str(error)) from error
        if prepared.dropped.get("short"):
            low_s = 1 / self.preparation.low_hz
            raise SignalError(
                f"signal of {recording.signal.shape[-1] / recording.sample_rate:g} s is too short: a window has "
                f"{self.preparation.window_s:g} s, and the band-pass needs more than {low_s:g} s; give more of it, or "
                "load_encoder(path, window_s=...)"
            )
        return self._aligned(prepared)

    def embed(self, windows: NDArray[np.float32] | Tensor) -> NDArray[np.float32]:
        """Embed windows that are prepared and normalised, (N, C, T) float32 -> (N, D)."""
        windows = torch.as_tensor(windows, dtype=torch.float32)
        with torch.inference_mode():
            parts = [self.network(part.to(self.device)).float().cpu().numpy() for part in torch.split(windows, BATCH)]
        return np.concatenate([np.empty((0, self.embedding_dim), np.float32), *(parts if len(windows) else [])])

    def __repr__(self) -> str:
        leads = "1 lead" if self.n_leads == 1 else f"{self.n_leads} leads"
        at = self.preparation
        return (
            f"TrainedEncoder({self.about.path}: {leads} -> {self.embedding_dim}, windows of {at.window_s:g} s every "
            f"{at.step_s:g} s at {self.sample_rate:g} Hz, {at.low_hz:g}-{at.high_hz:g} Hz, normalise {self.normalise})"
        )

    def _check(self, recording: Recording, trained_unit: str) -> None:
        high_hz = self.preparation.high_hz
        if recording.sample_rate / 2 < high_hz:
            raise SignalError(
                f"sample_rate = {recording.sample_rate:g} Hz cannot hold the band up to {high_hz:g} Hz that the "
                f"encoder was trained on; give a signal of at least {2 * high_hz:g} Hz"
            )
        if self.normalise == "none" and recording.unit != trained_unit:
            raise SignalError(
                f"unit = {recording.unit}: this encoder was trained on {trained_unit}, not normalised; give the signal "
                "in mV, uV or V"
            )

    def _aligned(self, prepared: PreparedWindows) -> SignalWindows:
        """Every window in its row, normalised."""
        n_windows = len(prepared.signal) + sum(prepared.dropped.values())
        step = max(1, round(self.preparation.step_s * self.sample_rate)) / self.sample_rate
        row = np.round(prepared.start_s / step).astype(np.int64)
        signal = np.full((n_windows, *prepared.signal.shape[1:]), np.nan, np.float32)
        quality = np.full(n_windows, np.nan, np.float32)
        signal[row], quality[row] = normalised(prepared.signal, self.normalise), prepared.quality
        return SignalWindows(signal, np.arange(n_windows, dtype=np.float64) * step, quality, dict(prepared.dropped))


def load_encoder(
    path: str | Path,
    window_s: float | None = None,
    step_s: float | None = None,
    device: str | torch.device = "cpu",
    trusted: Sequence[str] = (),
) -> TrainedEncoder:
    """Load an encoder to embed raw signals with: `load_encoder(path)(signal, sample_rate)`.

    Args:
        path: A run folder, a model folder, a `.ckpt` or `.safetensors`, or `tiles-ecg/NAME`; see `read_encoder_file`.
        window_s: See `TrainedEncoder`.
        step_s: See `TrainedEncoder`.
        device: See `TrainedEncoder`.
        trusted: Packages outside `tiles_ecg` whose encoders may be built; importing them runs their code.

    Raises:
        EncoderFileError: If it cannot be read, or its network or its preparation cannot be built.
    """
    about, weights = read_encoder_file(path)
    network = build_with_weights(about.architecture, weights, about.path, trusted)
    return TrainedEncoder(about, network, window_s, step_s, device)
