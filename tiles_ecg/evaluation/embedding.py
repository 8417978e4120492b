"""Embeddings of windows by a frozen encoder, computed once."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.task.target import TaskError

AT_ONCE = 64
"""Windows that fit into a CPU's cache together."""
ALL_ALIKE = (
    "its embedding is the same for all windows, so that its predictions are the shares of the training sides and say "
    "nothing of a window; ranked over all folds, they may lie below chance"
)
"""Note on what `is_constant`."""


@torch.no_grad()
def embed(
    encoder: nn.Module, windows: Windows, rows: NDArray[np.int64], name: str, show_progress: bool = True
) -> NDArray[np.float32]:
    """Embed windows with an encoder in evaluation mode, on a GPU if there is one.

    Args:
        encoder: (B, C, T) -> (B, D).
        windows: Normalised as the encoder needs.
        rows: (N,).
        name: Of the encoder, for the progress bar and errors.
        show_progress: Whether there is a bar.

    Returns:
        (N, D) float32.

    Raises:
        TaskError: If an embedding is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device).eval()
    parts = []
    bar = tqdm(total=len(rows), desc=f"embedding, {name}", unit=" windows", disable=not show_progress, leave=False)
    for at in range(0, len(rows), AT_ONCE):
        batch = windows.gather(rows[at : at + AT_ONCE])
        parts.append(encoder(batch.signal.to(device)).float().cpu().numpy())
        bar.update(len(batch.index))
    bar.close()
    embedding = np.concatenate(parts)
    if bad := np.flatnonzero(~np.isfinite(embedding).all(1)).tolist():
        raise TaskError(
            f"{name}: its embedding is NaN or infinite for {len(bad)} of {len(rows)} windows (the first is row "
            f"{rows[bad[0]]}); the encoder did not survive its training, or the store holds what it cannot take"
        )
    return embedding


def is_constant(embedding: NDArray[np.float32]) -> bool:
    """Whether all windows (N, D) are embedded alike, up to rounding."""
    return bool((np.ptp(embedding, axis=0) <= 1e-6 * np.abs(embedding).max(axis=0)).all())
