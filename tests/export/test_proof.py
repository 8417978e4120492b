"""The proof of an exported file: what it must not let pass."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tiles_ecg.export.proof import BATCHES, LENGTHS, ExportError, check_shapes, largest_difference

Array = NDArray[np.float32]


class Spread(nn.Module):
    """(B, C, T) -> (B, 2): a mean of absolute values, and twice that; as strong as the window is."""

    def forward(self, signal: Tensor) -> Tensor:
        strength = signal.abs().mean(dim=(1, 2))
        return torch.stack([strength, -2 * strength], dim=1)


def exact(signal: Array) -> Array:
    found: Array = Spread()(torch.from_numpy(signal)).numpy()
    return found


def test_a_file_that_agrees_differs_by_nothing_and_every_shape_was_tried() -> None:
    seen = []

    def embed(signal: Array) -> Array:
        seen.append(signal.shape)
        return exact(signal)

    assert largest_difference(embed, Spread(), 2, (3000, 512)) == 0
    assert sorted(seen) == sorted((batch, 2, length) for batch in BATCHES for length in (*LENGTHS, 3000))


@pytest.mark.parametrize("only_at", [LENGTHS[1], LENGTHS[-1]])
def test_a_difference_at_one_length_in_the_weakest_window_alone_is_found(only_at: int) -> None:
    def embed(signal: Array) -> Array:
        found = exact(signal)
        if signal.shape[2] == only_at:
            found[np.abs(found[:, 0]).argmin(), 0] *= 1 + 4e-5  # half as large as the largest value there
        return found

    assert largest_difference(embed, Spread(), 1) == pytest.approx(2e-5, rel=0.05)


def refuse(signal: Array) -> Array:
    raise RuntimeError("Got invalid dimensions\nand more")


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda x: exact(x)[:1], r"embeds \(2, 1, 512\) of shape \(1, 2\); torch gives \(2, 2\)"),
        (lambda x: exact(x) * np.float32(np.nan), r"embeds \(1, 1, 512\) with NaN or infinity"),
        (refuse, r"does not take input of shape \(1, 1, 512\): Got invalid dimensions$"),
    ],
)
def test_a_file_tied_to_a_shape_or_with_values_that_are_none_is_refused(
    embed: Callable[[Array], Array], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        largest_difference(embed, Spread(), 1)
    with pytest.raises(ExportError, match=message):
        check_shapes(embed, 1, 2)
