"""Layer-wise learning rates: the nearer to the input, the slower."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from tiles_ecg.optimizer.parameter_groups import decay_groups


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """Layers of a network from its input to its output: its children, in order.

    A `Sequential` or `ModuleList` of blocks (modules that have children of their own) counts block by block, one of
    plain layers as one. A network that only wraps another is that one. What has no parameters is left out.
    """
    children = [child for child in encoder.children() if any(True for _ in child.parameters())]
    has_own = any(True for _ in encoder.parameters(recurse=False))
    if len(children) == 1 and not has_own and any(True for _ in children[0].children()):
        return layers_of(children[0])
    layers: list[nn.Module] = []
    for child in children:
        inside = list(child.children())
        is_stack = isinstance(child, nn.Sequential | nn.ModuleList) and any(
            any(True for _ in block.children()) for block in inside
        )
        layers += [block for block in inside if any(True for _ in block.parameters())] if is_stack else [child]
    return layers


def layer_decay_groups(encoder: nn.Module, head: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups whose `lr_scale` is 1 for the head and `decay` to the power of the distance from it below.

    The last layer of the encoder has `decay`, the one before `decay`², and so on; parameters that are in no layer, such
    as a learned token, go with the first. Norms and biases are not decayed by `weight_decay` (see `decay_groups`).

    Args:
        encoder: Its frozen parameters are left out.
        head: What the encoder feeds.
        decay: Above 0, at most 1; 1 gives every layer the same rate.

    References:
        Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, section 3.2; Clark et al., ELECTRA, ICLR 2020,
        for the geometric form.
    """
    layers = layers_of(encoder)
    n = len(layers)
    depth = {id(p): n - at for at, layer in enumerate(layers) for p in layer.parameters()}
    rest = nn.ParameterList([p for p in encoder.parameters() if id(p) not in depth])
    levels: list[tuple[nn.Module, int]] = [
        (head, 0),
        *((layer, n - at) for at, layer in reversed([*enumerate(layers)])),
    ]
    if len(rest):
        levels.append((rest, max(n, 1)))
    groups = []
    seen: set[int] = set()
    for module, distance in levels[::-1]:  # from the input, so that what is shared has its slowest rate
        for group in decay_groups([module]):
            group["params"] = [p for p in group["params"] if id(p) not in seen]
            seen |= {id(p) for p in group["params"]}
            if group["params"]:
                groups.append({**group, "lr_scale": decay**distance})
    return groups


def scale_rates(optimizer: Optimizer) -> None:
    """Multiply the learning rate of each group by its `lr_scale`; before a scheduler takes it as its peak."""
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_scale", 1.0)
