"""An encoder as a `torch.export` program whose batch and time stay open, and its file."""

import copy
import json
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call
from torch.fx import Node
from torch.fx.node import map_arg
from torch.overrides import TorchFunctionMode

from tiles_ecg.export.proof import ExportError

EXAMPLE = (3, 1000)
"""Batch and time of the traced input; any above one does, as both stay open."""
NARROWED_FROM = 1024
"""Values of a weight from which on it is kept in bfloat16; smaller ones would save nothing."""
ABOUT_FILE = "about.json"
"""Name within a `.pt2` file of what is known of its encoder."""


class _OpenTime(TorchFunctionMode):
    """Leaves out of a traced network what would tie it to one length.

    A layout in memory is a matter of speed and not of the result, but what is derived from it differs between odd and
    even lengths. `max_pool1d` takes the length it is traced with for the only one; the same along the last axis of a
    picture of height one does not.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if given.get("memory_format") is torch.channels_last:
            del given["memory_format"]
        if func is torch.max_pool1d:
            return _max_pool(*args, **given)
        return func(*args, **given)


@contextmanager
def _without_autocast() -> Iterator[None]:
    """Leaves out of a traced network where it turns automatic precision off: files have none, nor look inside."""
    real = torch.autocast
    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        torch.autocast = real  # type: ignore[misc]


def _max_pool(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    size, step, pad, gap = (
        value[0] if isinstance(value, tuple | list) else value
        for value in (kernel_size, stride or kernel_size, padding, dilation)
    )
    flat = torch.max_pool2d(x.unsqueeze(-2), (1, size), (1, step), (0, pad), (1, gap), ceil_mode)
    return flat.squeeze(-2)


class NarrowWeights(nn.Module):
    """A network whose large weights are kept in bfloat16, at half the size, and widened to float32 in use.

    Args:
        network: (B, C, T) -> (B, D); it is copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for tensor in [*self.network.parameters(), *self.network.buffers()]:
            if tensor.dtype is torch.float32 and tensor.numel() >= NARROWED_FROM:
                tensor.data = tensor.data.to(torch.bfloat16)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed windows (B, C, T) float32, normalised -> (B, D) float32."""
        tensors = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        wide = {name: value.float() if value.dtype is torch.bfloat16 else value for name, value in tensors.items()}
        embedding: Tensor = functional_call(self.network, wide, (signal,))
        return embedding


def export_program(network: nn.Module, n_leads: int) -> ExportedProgram:
    """Trace an encoder, with any batch and any time.

    Args:
        network: (B, C, T) float32 -> (B, D), in evaluation mode.
        n_leads: C.

    Returns:
        The program; no line or path of source code is left in it.

    Raises:
        ExportError: If an operation of it cannot be traced, or ties it to one length or batch size.
    """
    batch, time = EXAMPLE
    try:
        with quiet(), torch.no_grad(), _without_autocast(), _OpenTime():
            program = torch.export.export(
                _OneInput(network),
                (torch.randn(batch, n_leads, time, generator=torch.Generator().manual_seed(0)),),
                dynamic_shapes={"signal": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}},
                strict=False,
            )
    except Exception as error:  # whatever a network of any kind leads to
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{type(network).__name__} cannot be exported with an open batch and time: {reason}; write the operation "
            "that is named here so that it does not depend on one length"
        ) from error
    for module in [program.graph_module, *program.graph_module.modules()]:
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
    return program


def folded(program: ExportedProgram, n_leads: int) -> ExportedProgram:
    """The same program, with all that depends on its weights only computed once, by torch.

    Left to ONNX, an exponential may round otherwise in its last bit; a state space's kernel raises it to high powers.
    """
    module = program.module()
    known: dict[Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            module.graph.erase_node(node)
        elif node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(module)
        elif node.op == "call_function" and node.all_input_nodes and known.keys() >= set(node.all_input_nodes):
            args, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
            with torch.no_grad():
                known[node] = node.target(*args, **kwargs)
    for number, (node, value) in enumerate(known.items()):
        if node.op == "call_function" and isinstance(value, Tensor) and not known.keys() >= set(node.users):
            name = f"folded_{number}"
            module.register_buffer(name, value.detach().contiguous().clone())
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.eliminate_dead_code()
    module.recompile()
    return export_program(module, n_leads)


class _OneInput(nn.Module):
    """Names the input `signal`, whatever the network calls it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: Tensor) -> Tensor:
        embedding: Tensor = self.network(signal)
        return embedding


def write_program(program: ExportedProgram, path: Path, about: Mapping[str, Any]) -> None:
    """Write a `.pt2` file, which `torch.export.load` reads; what is known of the encoder lies in it as `about.json`."""
    with quiet():
        torch.export.save(program, str(path), extra_files={ABOUT_FILE: json.dumps(about)})


def load_program(path: Path) -> Callable[[Tensor], Tensor]:
    """What a `.pt2` file computes: (B, C, T) -> (B, D)."""
    with quiet():
        loaded: Callable[[Tensor], Tensor] = torch.export.load(str(path)).module()
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps to itself what the exporters say of their own parts."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
