"""Architecture: a network from the config that its weights came with, and no other code."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiles_ecg.encoder.encoder_file import EncoderFileError

OWN_PACKAGE = "tiles_ecg.encoder"
WRAPPER = f"{OWN_PACKAGE}.pretrained.PretrainedEncoder"
_HYDRA = {"_target_", "_recursive_", "_convert_"}


def build_with_weights(
    architecture: Mapping[str, Any], weights: Mapping[str, Tensor], source: str | Path, trusted: Sequence[str] = ()
) -> nn.Module:
    """Build an encoder from a config and weights that may come from anyone, and load the weights strictly.

    Args:
        architecture: See `build_network`.
        weights: By name.
        source: The file that they come from, for errors.
        trusted: See `build_network`.

    Raises:
        EncoderFileError: If the network cannot be built, or a name or a shape differs.
    """
    network = build_network(architecture, source, trusted, weights)
    load_weights(network, weights, source)
    return network


def build_network(
    architecture: Mapping[str, Any],
    source: str | Path,
    trusted: Sequence[str] = (),
    weights: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """Build an encoder, untrained, from a config that may come from anyone.

    Every `_target_` in it is checked before anything is imported: it must be a class of `tiles_ecg.encoder` or of a
    trusted package. Then each must be an `nn.Module`. Hydra's own instantiation would call any function, and resolve
    interpolations.

    Args:
        architecture: `_target_` and arguments; those may be such nodes too.
        source: The file that it comes from, for errors.
        trusted: Packages (or modules) whose encoders may be built too; importing them runs their code.
        weights: That come with it: a config that asks for others, of any size, is refused before memory is taken.

    Raises:
        EncoderFileError: If a target is not allowed or does not exist, or does not take these arguments; if weights are
            given and differ from its own in name or shape.
    """
    _check_targets(architecture, source, tuple(trusted))
    if weights is not None and str(architecture.get("_target_")).startswith(f"{OWN_PACKAGE}."):
        with torch.device("meta"):
            outline = _built(architecture, source)
        _compare(outline, weights, source)
    network = _built(architecture, source)
    if not isinstance(network, nn.Module) or not isinstance(getattr(network, "embedding_dim", None), int):
        raise EncoderFileError(f"{source}: {architecture.get('_target_')} is no encoder: it has no embedding_dim")
    return network


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Load weights strictly.

    Raises:
        EncoderFileError: If a name or a shape differs; the message names them.
    """
    _compare(network, weights, source)
    network.load_state_dict(dict(weights))


def _compare(network: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    own = network.state_dict()
    problems = [f"no {name}" for name in own if name not in weights]
    problems += [f"{name}, which the network does not have" for name in weights if name not in own]
    problems += [
        f"{name} of shape {tuple(weights[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        some = f"{'; '.join(problems[:3])}{f'; and {len(problems) - 3} more' if len(problems) > 3 else ''}"
        raise EncoderFileError(
            f"{source}: its weights are not those of its architecture, {type(network).__name__} ({some}); it was "
            "changed after it was written, or by another version of the package"
        )


def _check_targets(node: Any, source: str | Path, trusted: tuple[str, ...]) -> None:
    if isinstance(node, Mapping):
        if "_target_" in node:
            _check_target(node["_target_"], source, trusted)
        for child in node.values():
            _check_targets(child, source, trusted)
    elif isinstance(node, list | tuple):
        for child in node:
            _check_targets(child, source, trusted)


def _check_target(target: Any, source: str | Path, trusted: tuple[str, ...]) -> None:
    parts = str(target).split(".")
    is_name = isinstance(target, str) and all(part.isidentifier() for part in parts)
    if not is_name or not any(target.startswith(f"{package}.") for package in (OWN_PACKAGE, *trusted)):
        raise EncoderFileError(
            f"{source}: its network is {target}, which is not in {OWN_PACKAGE}; nothing of it was imported or run. For "
            "an encoder of a package of your own, give encoder.trusted=[PACKAGE]"
        )
    if target == WRAPPER:
        raise EncoderFileError(f"{source}: its network is {target}, which only points to another file; give that file")


def _built(node: Any, source: str | Path) -> Any:
    if isinstance(node, list | tuple):
        return [_built(child, source) for child in node]
    if not isinstance(node, Mapping):
        return node
    if "_target_" not in node:
        return {key: _built(child, source) for key, child in node.items()}
    target = node["_target_"]
    found = _class(target, source)
    arguments = {key: _built(child, source) for key, child in node.items() if key not in _HYDRA}
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        takes = ", ".join(inspect.signature(found).parameters)
        raise EncoderFileError(
            f"{source}: {target}: {error}; it takes {takes}. The file is of another version of the package"
        ) from error
    try:
        return found(**arguments)
    except Exception as error:  # whatever arguments that were tampered with lead to
        raise EncoderFileError(f"{source}: {target} cannot be built from its arguments ({error})") from error


def _class(target: str, source: str | Path) -> type[nn.Module]:
    """The class of that name, where it is defined: a module's own imports are not reached through it."""
    module_name, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ImportError as error:
        raise EncoderFileError(
            f"{source}: its network is {target}, and {error}; install the version or package that has it"
        ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == module_name):
        raise EncoderFileError(
            f"{source}: its network is {target}, which is no nn.Module defined there; nothing of it was run"
        )
    return found
