"""Windows of a store through an encoder, as fast as the machine goes, in order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tiles_ecg.dataset.windows import Windows

AT_ONCE = {"cpu": 64, "cuda": 1024}
"""Windows of a batch, by device; on a CPU as many as its cache holds.

`resnet8` does no more windows a second from 16 to 128 (10 s at 100 Hz).
"""


def embed_windows(
    encoder: nn.Module, windows: Windows, first: int, device: torch.device, n_threads: int
) -> Iterator[NDArray[np.float32]]:
    """Embed the windows of a store from one on.

    Each thread gathers and embeds batches by itself (see benchmarks/embedding.py: 0.94 of what the bare network does a
    CPU second). Torch's own threads share the work within each layer and wait for each other at its end, which on a
    machine with other work costs more than they gain.

    Args:
        encoder: (B, C, T) -> (B, D), on the device, in evaluation mode.
        windows: Normalised as the encoder needs.
        first: Row to begin with.
        device: Where the encoder is.
        n_threads: Batches at once.

    Yields:
        (B, D) float32, batch by batch.
    """

    def embed(at: int) -> NDArray[np.float32]:
        with torch.inference_mode():
            rows = np.arange(at, min(at + step, len(windows)))
            embedding: NDArray[np.float32] = encoder(windows.gather(rows).signal.to(device)).float().cpu().numpy()
            return embedding

    step = AT_ONCE[device.type]
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for at in range(first, len(windows), step):
                waiting.append(pool.submit(embed, at))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
