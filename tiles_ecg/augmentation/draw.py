"""How augmentations draw parameters: one per window, on its device, from the default generator of that device."""

import math

import torch
from torch import Tensor


def draw_chosen(signal: Tensor, p: float) -> Tensor:
    """Which windows are changed: (B,) bool, each True with probability `p`."""
    return torch.rand(len(signal), device=signal.device) < p


def draw_uniform(signal: Tensor, limits: tuple[float, float], *shape: int) -> Tensor:
    """Uniform values between two limits, (B, *shape) float32."""
    low, high = limits
    return low + (high - low) * torch.rand(len(signal), *shape, device=signal.device)


def draw_log_uniform(signal: Tensor, limits: tuple[float, float], *shape: int) -> Tensor:
    """Values whose logarithm is uniform between two positive limits, (B, *shape) float32."""
    low, high = limits
    return draw_uniform(signal, (math.log(low), math.log(high)), *shape).exp()


def draw_phase(signal: Tensor, *shape: int) -> Tensor:
    """Phases between 0 and 2 pi, (B, *shape) float32."""
    return draw_uniform(signal, (0.0, 2 * math.pi), *shape)


def check_probability(name: str, value: float) -> None:
    """Raises ValueError unless `value` lies within 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"augmentation: {name} = {value} is not a probability; it must lie within 0 and 1")


def check_positive(name: str, value: float) -> None:
    """Raises ValueError unless `value` is finite and above 0."""
    if not 0 < value < math.inf:
        raise ValueError(f"augmentation: {name} = {value} must be a positive number")


def check_limits(name: str, limits: tuple[float, float], low: float = -math.inf, high: float = math.inf) -> None:
    """Raises ValueError unless `limits` are two finite numbers in ascending order within `low` and `high`."""
    if len(limits) != 2 or not all(math.isfinite(limit) for limit in limits):
        raise ValueError(f"augmentation: {name} = {list(limits)} must be two numbers, [lowest, highest]")
    if limits[0] > limits[1]:
        raise ValueError(
            f"augmentation: {name} = {list(limits)} has its lowest value above its highest; "
            f"write [{limits[1]}, {limits[0]}]"
        )
    if limits[0] < low or limits[1] > high:
        raise ValueError(f"augmentation: {name} = {list(limits)} must lie within {low} and {high}")
