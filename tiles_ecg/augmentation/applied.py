"""Which steps of a chain really changed which window: labels that are true, for those who learn to tell them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tiles_ecg.augmentation.apply import Chain


class AppliedSteps(nn.Module):
    """Applies a chain, and tells for each window which steps changed it.

    A step changed a window if any point of its signal is another than before the step: a mask that met no beat and a
    permutation that left the order did not. What changes the length of all windows, as a crop does, cannot be told, and
    comes before all that is: it might cut away what they did.

    Args:
        chain: The augmentation.
        told: Names of the steps to be told, in the order of the answer; the others are applied alike.

    Raises:
        ValueError: A name is not that of a step, or is given twice; or (in `forward`) a step changes the length that is
            told, or comes after one that is.
    """

    def __init__(self, chain: Chain, told: Sequence[str]) -> None:
        super().__init__()
        unknown = [name for name in told if name not in chain.steps]
        if unknown:
            there = ", ".join(chain.steps) or "none"
            raise ValueError(f"augmentation: no step {', '.join(unknown)} is there to be told; there are {there}")
        twice = sorted({name for name in told if told.count(name) > 1})
        if twice:
            raise ValueError(f"augmentation: {', '.join(twice)} is to be told twice; name each step once")
        self.chain = chain
        self.told = tuple(told)

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """Signal (B, C, T) and beat (B, T) -> views (B, C, T') and, of each told step, what it changed, (B, S) bool."""
        is_changed: dict[str, Tensor] = {}
        for name, step in self.chain.steps.items():
            before = signal
            signal, beat = step(before, beat)
            if signal.shape != before.shape:
                self._refuse_length(name, is_changed)
            elif name in self.told:
                is_changed[name] = (signal != before).flatten(1).any(1)
        none = signal.new_zeros((len(signal), 0), dtype=torch.bool)
        return signal, torch.stack([is_changed[name] for name in self.told], 1) if self.told else none

    def _refuse_length(self, name: str, before: dict[str, Tensor]) -> None:
        if name in self.told:
            raise ValueError(
                f"augmentation: {name} changes the length of every window, which is nothing to be told; take it out of "
                "the steps that are told"
            )
        if before:
            raise ValueError(
                f"augmentation: {name} changes the length after {', '.join(before)}, and might cut away what they did, "
                "which is to be told; put it first"
            )
