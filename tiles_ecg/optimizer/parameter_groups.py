"""Which parameters are decayed: weights of layers are, norms and biases are not."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def decay_groups(modules: Iterable[nn.Module]) -> list[dict[str, Any]]:
    """Split parameters for an optimizer whose own `weight_decay` then holds for the first group alone.

    Vectors (biases, the scale and shift of norms) are not decayed: decay would only shrink the network's gain
    (Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1; SimCLR, appendix B.7). Nor are those that a module
    names in `undecayed`, such as the poles of a state space.

    Args:
        modules: Modules to optimise; frozen parameters are left out.

    Returns:
        Two parameter groups: matrices and kernels; vectors, scalars and those spared, with `weight_decay` 0 and
        `is_vector` true.
    """
    modules = list(modules)
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    parts = [part for module in modules for part in module.modules()]
    spared = {id(getattr(part, name)) for part in parts for name in getattr(part, "undecayed", ())}
    return [
        {"params": [p for p in parameters if p.ndim > 1 and id(p) not in spared], "is_vector": False},
        {"params": [p for p in parameters if p.ndim <= 1 or id(p) in spared], "is_vector": True, "weight_decay": 0.0},
    ]
