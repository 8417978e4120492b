"""Recorded noise: real baseline wander, electrode motion and muscle activity, laid over the windows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import wfdb
from numpy.typing import NDArray
from pydantic import PositiveFloat
from torch import Tensor, nn

from tiles_ecg.augmentation.draw import check_limits, check_positive, check_probability
from tiles_ecg.augmentation.noise import mix_noise
from tiles_ecg.config_types import Limits, Probability
from tiles_ecg.waveform import resample


class RecordedNoise(nn.Module):
    """Adds a stretch of recorded noise, its place and channel drawn for every window and lead.

    The records are read once, here, and kept on the module's device at `sample_rate`; no checkpoint holds them.

    Args:
        root: Folder of WFDB records.
        records: Names of the records, without suffix; all their channels serve.
        snr_db: Lowest and highest signal-to-noise ratio, in dB of power within the window and lead.
        sample_rate: Hz.
        p: Probability that a window is chosen.

    Raises:
        ValueError: An argument is outside its range, or (in `forward`) the records are shorter than the window.
        FileNotFoundError: The folder or one of the records is missing.

    References:
        Moody, Muldrow, Mark, A noise stress test for arrhythmia detectors, Computers in Cardiology 11, 1984.
    """

    noise: Tensor

    def __init__(
        self,
        root: str,
        records: Sequence[str],
        snr_db: Limits[float],
        sample_rate: PositiveFloat,
        p: Probability,
    ) -> None:
        super().__init__()
        check_limits("snr_db", snr_db)
        check_positive("sample_rate", sample_rate)
        check_probability("p", p)
        self.snr_db = snr_db
        self.sample_rate = sample_rate
        self.p = p
        self.register_buffer(
            "noise", torch.from_numpy(read_noise(Path(root).expanduser(), records, sample_rate)), persistent=False
        )

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) and (B, T) -> the same shapes."""
        n_windows, n_leads, n_points = signal.shape
        n_channels, length = self.noise.shape
        if n_points > length:
            raise ValueError(
                f"augmentation: the recorded noise lasts {length / self.sample_rate} s, less than the window "
                f"({n_points / self.sample_rate} s); name longer records"
            )
        channel = torch.randint(n_channels, (n_windows, n_leads, 1), device=signal.device)
        start = torch.randint(length - n_points + 1, (n_windows, n_leads, 1), device=signal.device)
        point = start + torch.arange(n_points, device=signal.device)  # (B, C, T)
        return mix_noise(signal, self.noise[channel, point], self.snr_db, self.p), beat


def read_noise(root: Path, records: Sequence[str], sample_rate: float) -> NDArray[np.float32]:
    """Reads all channels of the records at one rate, cut to the shortest: (channels, time points) float32.

    Args:
        root: Folder of WFDB records.
        records: Their names, at least one.
        sample_rate: Wanted rate, in Hz.

    Raises:
        ValueError: No record is named, or one cannot be read or holds values that are not numbers.
        FileNotFoundError: The folder or one of the records is missing.
    """
    if not records:
        raise ValueError("augmentation: records is empty; name at least one, such as [bw, em, ma]")
    if not root.is_dir():
        raise FileNotFoundError(
            f"augmentation: root = {root} is no folder; it must hold the WFDB records {', '.join(records)}, "
            "as in PhysioNet's nstdb 1.0.0 (doi:10.13026/C2HS3T)"
        )
    channels = []
    for name in records:
        if not (root / f"{name}.hea").is_file():
            raise FileNotFoundError(f"augmentation: {root / name}.hea is missing, though records names {name!r}")
        try:
            record = wfdb.rdrecord(str(root / name))
        except (ValueError, OSError, IndexError) as error:
            raise ValueError(f"augmentation: {root / name} cannot be read ({error}); is it cut short?") from error
        signal = np.asarray(record.p_signal, dtype=np.float32).T  # (channels, time points)
        if not np.isfinite(signal).all():
            raise ValueError(f"augmentation: {root / name} holds values that are not numbers; leave it out of records")
        channels.append(resample(signal, float(record.fs), sample_rate))
    shortest = min(signal.shape[1] for signal in channels)
    return np.concatenate([signal[:, :shortest] for signal in channels]).astype(np.float32)
