"""EcgBatch: what travels from the store to an objective."""

from typing import NamedTuple

from torch import Tensor


class EcgBatch(NamedTuple):
    """A batch of windows, on one device.

    Attributes:
        signal: (B, C, T) float32, normalised as the dataset config says.
        beat: (B, T) bool, one at every R-peak.
        subject: (B,) int64, index into the subjects of all stores together.
        index: (B,) int64, index of the window over all stores together.
    """

    signal: Tensor
    beat: Tensor
    subject: Tensor
    index: Tensor  # type: ignore[assignment]  # tuple.index is not missed
