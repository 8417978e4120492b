"""Proof that an exported file embeds as torch does, at lengths and batch sizes that it was not traced with."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

LARGEST_DIFFERENCE = 1e-5
"""Of a value of an embedding, in units of the largest absolute value of the same embedding in torch."""
SMALLEST_SCALE = 1e-30
"""Of embeddings that are zero."""
BATCHES = (1, 2, 7)
LENGTHS = (512, 997, 1000, 1503)
"""Time points."""

Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(B, C, T) -> (B, D)."""


class ExportError(Exception):
    """An encoder cannot be exported. The message says what is wrong, and what would be right."""

    is_user_error = True


def largest_difference(embed: Embed, network: nn.Module, n_leads: int, more_lengths: tuple[int, ...] = ()) -> float:
    """The largest difference between a file and torch over all of `BATCHES` and `LENGTHS`.

    Args:
        embed: What the file computes.
        network: What it was made from, in evaluation mode.
        n_leads: C.
        more_lengths: Further lengths, such as that of the training windows.

    Returns:
        The largest absolute difference of a value, divided by the largest absolute value of torch's embedding of the
        same window, so that a strong window does not hide what happens to a weak one.

    Raises:
        ExportError: If it cannot embed a shape, or gives another shape, or values that are not finite.
    """
    found = 0.0
    for length in dict.fromkeys((*LENGTHS, *more_lengths)):
        for batch in BATCHES:
            signal = proof_signal(batch, n_leads, length)
            with torch.no_grad():
                expected = network(torch.from_numpy(signal)).numpy()
            given = _embedded(embed, signal, expected.shape)
            scale = np.abs(expected).max(axis=1).clip(min=SMALLEST_SCALE)  # (B,)
            found = max(found, float((np.abs(given - expected).max(axis=1) / scale).max()))
    return found


def check_shapes(embed: Embed, n_leads: int, embedding_dim: int, more_lengths: tuple[int, ...] = ()) -> None:
    """Whether a file takes all of `BATCHES` and `LENGTHS`; for one that is not meant to agree to rounding.

    Raises:
        ExportError: As `largest_difference`.
    """
    for length in dict.fromkeys((*LENGTHS, *more_lengths)):
        for batch in BATCHES:
            _embedded(embed, proof_signal(batch, n_leads, length), (batch, embedding_dim))


def proof_signal(batch: int, n_leads: int, length: int) -> NDArray[np.float32]:
    """(batch, n_leads, length) noise with pulses, as an ECG has; windows of a third, once and three times its scale."""
    draw = np.random.default_rng([batch, n_leads, length])
    signal = draw.standard_normal((batch, n_leads, length))
    signal[..., draw.integers(80) :: 80] += 5.0
    return (signal * 3.0 ** (np.arange(batch) % 3 - 1.0)[::-1, None, None]).astype(np.float32)


def _embedded(embed: Embed, signal: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        given = embed(signal)
    except Exception as error:  # whatever a runtime says of a shape it was not made for
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"the exported file does not take input of shape {signal.shape}: {reason}") from error
    if given.shape != shape or not np.isfinite(given).all():
        what = f"of shape {given.shape}" if given.shape != shape else "with NaN or infinity"
        raise ExportError(f"the exported file embeds {signal.shape} {what}; torch gives {shape}, finite")
    return given
