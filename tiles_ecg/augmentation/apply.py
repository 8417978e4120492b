"""Chain: named augmentations, one after the other."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class Chain(nn.Module):
    """Applies its steps in the order of the mapping; without steps it hands back what it was given.

    A name belongs to a step so that a command line can speak of it: `augmentation.steps.permute.p=0`,
    `~augmentation.steps.permute`.

    Args:
        steps: Augmentations by name. Each takes and returns signal (B, C, T) and beat (B, T).
        leave_out: Names of steps that are not applied, so that a sweep can leave out one at a time.

    Attributes:
        left_out: Names of the steps that are not applied.

    Raises:
        ValueError: A step is no module, or one that is left out is not there.
    """

    def __init__(self, steps: Mapping[str, nn.Module], leave_out: Sequence[str] = ()) -> None:
        super().__init__()
        for name, step in steps.items():
            if not isinstance(step, nn.Module):
                raise ValueError(f"augmentation: steps.{name} = {step!r} is no module; give it a _target_ or delete it")
        unknown = [name for name in leave_out if name not in steps]
        if unknown:
            there = f"there are {', '.join(steps)}" if steps else "there are none"
            raise ValueError(f"augmentation: leave_out = [{', '.join(unknown)}]: no such step; {there}")
        self.left_out = tuple(leave_out)
        self.steps = nn.ModuleDict({name: step for name, step in steps.items() if name not in leave_out})

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """Signal (B, C, T) float32 and beat (B, T) bool -> the same after every step; T may have changed."""
        for step in self.steps.values():
            signal, beat = step(signal, beat)
        return signal, beat
