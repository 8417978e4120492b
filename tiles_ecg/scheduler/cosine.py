"""Learning rate: up in a line, down in half a cosine."""

import math

from pydantic import PositiveInt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tiles_ecg.config_types import Probability, ShareBelowOne


class WarmupCosine(LambdaLR):
    """Linear warm-up to the optimizer's learning rate, then half a cosine down to a share of it at the last step.

    Args:
        optimizer: Its learning rates are the peaks.
        max_steps: Steps of the whole run.
        warmup_share: Share of the steps spent warming up, 0 to below 1.
        final_share: Share of the peak at the last step, 0 to 1.

    References:
        Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5; Goyal et al. 2017 for the warm-up.
    """

    def __init__(
        self, optimizer: Optimizer, max_steps: PositiveInt, warmup_share: ShareBelowOne, final_share: Probability
    ) -> None:
        if not 0 <= warmup_share < 1:
            raise ValueError(f"warmup_share = {warmup_share}: choose a share of the steps from 0 to below 1")
        warmup = round(warmup_share * max_steps)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            done = min(1.0, (step - warmup) / max(1, max_steps - 1 - warmup))
            return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * done))

        super().__init__(optimizer, factor)
