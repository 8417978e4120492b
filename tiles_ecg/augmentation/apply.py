"""Chain: named augmentations, one after the other."""

from collections.abc import Mapping

from torch import Tensor, nn


class Chain(nn.Module):
    """Applies its steps in the order of the mapping; without steps it hands back what it was given.

    A name belongs to a step so that a command line can speak of it: `augmentation.steps.permute.p=0`,
    `~augmentation.steps.permute`.

    Args:
        steps: Augmentations by name. Each takes and returns signal (B, C, T) and beat (B, T).

    Raises:
        ValueError: A step is no module.
    """

    def __init__(self, steps: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, step in steps.items():
            if not isinstance(step, nn.Module):
                raise ValueError(f"augmentation: steps.{name} = {step!r} is no module; give it a _target_ or delete it")
        self.steps = nn.ModuleDict(dict(steps))

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """Signal (B, C, T) float32 and beat (B, T) bool -> the same after every step; T may have changed."""
        for step in self.steps.values():
            signal, beat = step(signal, beat)
        return signal, beat
