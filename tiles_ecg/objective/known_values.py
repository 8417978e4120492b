"""KnownValues: what a task says of each window, looked up by its row."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tiles_ecg.task.target import Target


class KnownValues(nn.Module):
    """Values, weights and streams of all windows, on the device of the run; no checkpoint holds them.

    Only the windows of training and validation examples have a value: that of a test window is NaN or -1, which no loss
    takes.

    Args:
        target: What is predicted.
        train: (n,) training examples.
        validation: (m,) validation examples.
        codes: (E, ...) the value of each example as the loss takes it.
        stream: (windows, S) float32, NaN where missing.

    Attributes:
        value: (windows,) or (windows, K).
        weight: (windows,) float32; every example weighs the same, training windows 1 on average.
        stream: (windows, S).
    """

    value: Tensor
    weight: Tensor
    stream: Tensor

    def __init__(
        self,
        target: Target,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        codes: NDArray[Any],
        stream: NDArray[np.float32],
    ) -> None:
        super().__init__()
        used = target.windows_of(np.concatenate([train, validation]))
        is_number = target.kind == "regression"
        value = np.full((len(stream), *codes.shape[1:]), np.nan if is_number else -1, codes.dtype)
        value[target.row[used]] = codes[target.example[used]]
        each = target.window_weight
        weight = np.zeros(len(stream), np.float32)
        weight[target.row[used]] = each[used] / each[target.windows_of(train)].mean()
        value = value.astype(np.float32 if is_number else np.int64)
        self.register_buffer("value", torch.from_numpy(value), persistent=False)
        self.register_buffer("weight", torch.from_numpy(weight), persistent=False)
        self.register_buffer("stream", torch.from_numpy(stream), persistent=False)
