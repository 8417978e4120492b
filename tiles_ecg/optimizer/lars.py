"""LARS: stochastic gradient descent with momentum whose step is scaled layer by layer."""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.optim import Optimizer


class Lars(Optimizer):
    """Layer-wise adaptive rate scaling.

    Each layer's gradient, decay included, is multiplied by `trust * |w| / (|g| + weight_decay * |w|)` before momentum.
    Groups marked `is_vector` (norms and biases) take a plain momentum step, as in SimCLR.

    Args:
        params: Parameters or groups (`decay_groups`).
        lr: Learning rate, > 0.
        momentum: 0 to 1.
        weight_decay: Decay added to the gradient.
        trust: The paper's eta.

    References:
        You et al., Large Batch Training of Convolutional Networks, 2017, algorithm 1.
    """

    def __init__(
        self,
        params: Any,
        lr: PositiveFloat,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        trust: PositiveFloat = 1e-3,
    ) -> None:
        if not lr > 0 or not 0 <= momentum < 1 or weight_decay < 0:
            raise ValueError(f"lr = {lr}, momentum = {momentum}, weight_decay = {weight_decay}: need > 0, [0, 1), >= 0")
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "is_vector": False}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, if given, is run first and its loss returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])  # type: ignore[union-attr]
        if not group["is_vector"]:
            size, slope = parameter.norm(), parameter.grad.norm()  # type: ignore[union-attr]
            ratio = group["trust"] * size / (slope + group["weight_decay"] * size)
            gradient.mul_(torch.where((size > 0) & (slope > 0), ratio, torch.ones_like(ratio)))
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        state["velocity"].mul_(group["momentum"]).add_(gradient, alpha=group["lr"])  # lr inside, as in the paper
        parameter.sub_(state["velocity"])
