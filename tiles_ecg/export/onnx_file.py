"""An encoder as an ONNX file, and ONNX Runtime to run it."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.export import ExportedProgram

from tiles_ecg.export.program import NARROWED_FROM, folded, quiet
from tiles_ecg.export.proof import ExportError

INPUT, OUTPUT = "signal", "embedding"
DIMENSIONS = ("batch", "time")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LARGEST_FOLDED = 2**28
"""Bytes of a constant that is computed once, at export."""


def check_packages() -> None:
    """Whether the optional extra `export` is there.

    Raises:
        ExportError: If one of its packages is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f'--format onnx needs {", ".join(missing)}: pip install "tiles_ecg[export]"; or give --format torch'
        )


def write_onnx(program: ExportedProgram, path: Path, n_leads: int = 1) -> None:
    """Convert a program, with constants folded and norms joined with the convolutions before them.

    Args:
        program: Of `export_program`.
        path: The file.
        n_leads: C.

    Raises:
        ExportError: If an operation has no ONNX counterpart, or the file is tied to one batch size or length.
    """
    import onnx
    import torch
    from onnxscript import optimizer

    constant = folded(program, n_leads)
    try:
        with quiet():
            converted = torch.onnx.export(
                constant, input_names=[INPUT], output_names=[OUTPUT], dynamo=True, optimize=False, verbose=False
            )
            assert converted is not None  # with dynamo=True and no file
            optimizer.optimize(converted.model, input_size_limit=_LARGEST_FOLDED, output_size_limit=_LARGEST_FOLDED)
    except Exception as error:  # whatever an operation of any network leads to
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"cannot be converted to ONNX ({reason}); give --format torch") from error
    model = converted.model_proto
    _clean(model)
    _name_dimensions(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def describe_onnx(path: Path, about: Mapping[str, Any]) -> None:
    """Write what is known of the encoder into a file's `metadata_props`: text as it is, anything else as JSON."""
    import onnx

    model = onnx.load(str(path))
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    onnx.helper.set_model_props(model, texts)
    path.write_bytes(model.SerializeToString())


def _clean(model: Any) -> None:
    """Take off what says where and by which lines of code it was made, and shapes under the exporter's own names."""
    graph = model.graph
    graph.ClearField("value_info")
    graph.name = "encoder"
    for item in [*graph.node, *graph.initializer, *graph.input, *graph.output, graph]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _name_dimensions(model: Any) -> None:
    """Name what is open `batch` and `time`; the exporter may close it without a word, so it is looked at here."""
    found = {item.name: item.type.tensor_type.shape.dim for item in (*model.graph.input, *model.graph.output)}
    if sorted(found) != sorted((INPUT, OUTPUT)):
        raise ExportError(f"the ONNX file has inputs and outputs {sorted(found)}, not {INPUT} and {OUTPUT}")
    open_ones = (found[INPUT][0], found[INPUT][2], found[OUTPUT][0])
    closed = [axis.dim_value for axis in open_ones if not axis.dim_param]
    if closed:
        raise ExportError(
            f"the ONNX file is tied to a batch or time of {closed}: an operation of the network froze it; give "
            "--format torch, which names the operation if it does so there too"
        )
    for axis, name in zip(open_ones, (*DIMENSIONS, DIMENSIONS[0]), strict=True):
        axis.dim_param = name


def narrow_weights(source: Path, target: Path) -> None:
    """Write a copy whose large weights are kept in bfloat16 and widened when the file is loaded; half its size."""
    import onnx

    model = onnx.load(str(source))
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < NARROWED_FROM:
            continue
        bits = np.frombuffer(onnx.numpy_helper.to_array(weight).tobytes(), np.uint32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, ties to even
        name, weight.name = weight.name, f"{weight.name}_bf16"
        weight.data_type, weight.raw_data = onnx.TensorProto.BFLOAT16, rounded.astype(np.uint16).tobytes()
        weight.ClearField("float_data")
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())


class OnnxEncoder:
    """An ONNX file in ONNX Runtime, on one CPU thread.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed windows (B, C, T) float32, normalised -> (B, D) float32."""
        embedding: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: signal})[0]
        return embedding
