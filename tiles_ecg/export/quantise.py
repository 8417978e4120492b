"""Lower precision: 8-bit integers by calibration, and what is lost of the embeddings."""

import contextlib
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.export.onnx_file import INPUT
from tiles_ecg.export.program import quiet
from tiles_ecg.export.proof import Embed, ExportError

Float32 = NDArray[np.float32]

N_CALIBRATION = 256
"""Windows that the ranges of 8-bit values are taken from."""
N_JUDGED = 1024
"""Windows, of other subjects, that the loss is measured on."""
LEAST_COSINE = 0.99
LEAST_NEIGHBOUR = 0.95
"""What a precision must keep to hold: see `Loss`."""
KEPT_PERCENT = 99.99
"""Share of an activation's values, over the calibration windows, that its 8-bit range holds."""
_PRODUCTS = ("Conv", "MatMul", "Gemm")
_AT_ONCE = 32


@dataclass(frozen=True)
class Loss:
    """What a lower precision loses, over windows.

    Attributes:
        cosine: 5th percentile, over windows, of the cosine between the embedding and that in float32, both less the
            mean of the float32 embeddings: without that, all cosines are near one, whatever was lost.
        neighbour: Share of windows whose nearest other window (by the same cosine, in float32) is still among their
            nearest five.
        error: Root mean square of the difference over that of the centred float32 embeddings.
    """

    cosine: float
    neighbour: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether it may be used in place of float32."""
        return self.cosine >= LEAST_COSINE and self.neighbour >= LEAST_NEIGHBOUR

    def __str__(self) -> str:
        return f"cosine {self.cosine:.4f} (5th percentile), nearest neighbour kept {self.neighbour:.1%}"


def loss_between(exact: Float32, other: Float32) -> Loss:
    """Compare embeddings (N, D) of the same windows, N >= 7, with those in float32."""
    mean = exact.mean(0, dtype=np.float64)
    first, second = exact - mean, other - mean
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    units = [rows / np.maximum(length, 1e-30)[:, None] for rows, length in zip((first, second), lengths, strict=True)]
    cosine = (units[0] * units[1]).sum(1)
    alike = [unit @ unit.T for unit in units]
    for matrix in alike:
        np.fill_diagonal(matrix, -np.inf)
    nearest, five = alike[0].argmax(1), np.argpartition(-alike[1], 5, axis=1)[:, :5]
    return Loss(
        float(np.quantile(cosine, 0.05)),
        float((five == nearest[:, None]).any(1).mean()),
        float(np.sqrt(np.square(second - first).sum() / np.square(first).sum())),
    )


@dataclass(frozen=True)
class Trial:
    """Windows (N, C, T) float32, normalised as the encoder needs: those to calibrate on, and those to judge by."""

    calibration: Float32
    judged: Float32


def trial_windows(store: Path, preprocessing: Mapping[str, Any]) -> Trial:
    """Draw windows of a store, those that are judged from other subjects than those that are calibrated on.

    Raises:
        ExportError: If the encoder does not read such windows, or there are too few.
        StoreError: If the store cannot be read.
    """
    windows = Windows([store], preprocessing.get("normalise", "subject"))
    rate, n_leads = float(preprocessing["sample_rate"]), int(preprocessing["n_leads"])
    if windows.shape[0] != n_leads or not math.isclose(windows.sample_rate, rate, rel_tol=1e-6):
        raise ExportError(
            f"--calibration {store}: {windows.shape[0]} leads at {windows.sample_rate:g} Hz, but the encoder reads "
            f"{n_leads} at {rate:g} Hz; prepare it with preparation.sample_rate={rate:g}"
        )
    draw = np.random.default_rng(0)
    subjects = draw.permutation(np.unique(windows.subject))
    is_calibration = np.isin(windows.subject, subjects[: max(len(subjects) // 3, 1)])
    sides = [draw.permutation(np.flatnonzero(side)) for side in (is_calibration, ~is_calibration)]
    if min(map(len, sides)) < 10:
        raise ExportError(
            f"--calibration {store}: {len(windows)} windows of {len(subjects)} subjects; at least ten windows are "
            "needed to calibrate on, and ten of other subjects to judge by"
        )
    rows = [np.sort(side[:most]) for side, most in zip(sides, (N_CALIBRATION, N_JUDGED), strict=True)]
    calibration, judged = (windows.gather(chosen).signal.numpy() for chosen in rows)
    return Trial(calibration, judged)


def embedded(embed: Embed, windows: Float32) -> Float32:
    """Embed windows (N, C, T) in batches -> (N, D)."""
    return np.concatenate([embed(windows[at : at + _AT_ONCE]) for at in range(0, len(windows), _AT_ONCE)])


def in_torch(network: Callable[[Tensor], Tensor]) -> Embed:
    """A network or program as a function of arrays."""

    def embed(signal: Float32) -> Float32:
        with torch.no_grad():
            found: Float32 = network(torch.from_numpy(signal)).numpy()
        return found

    return embed


def write_int8(source: Path, target: Path, windows: Float32) -> None:
    """Write a copy that computes its convolutions and products in 8-bit integers.

    Weights have a scale a filter and seven bits, since processors without VNNI saturate on eight; activations have
    a scale a tensor, from the values they take on the windows given, the rarest left out: the largest of all would
    spend most steps on outliers. The first and the last product stay in float32, at no cost in time, as does whatever
    is no product with a weight.

    Args:
        source: The ONNX file in float32.
        target: The file to be.
        windows: (N, C, T) float32, normalised.
    """
    from onnxruntime import quantization  # type: ignore[import-untyped, unused-ignore]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # what ONNX Runtime asks for
        def __init__(self) -> None:
            self._left: Iterator[Float32] = (windows[at : at + 1] for at in range(len(windows)))

        def get_next(self) -> dict[str, Float32] | None:
            batch = next(self._left, None)
            return None if batch is None else {INPUT: batch}

    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_PRODUCTS),
            nodes_to_quantize=_inner_products(source),
            per_channel=True,
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": KEPT_PERCENT},
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def _inner_products(source: Path) -> list[str]:
    """Names of the products with a weight, but for the first and the last.

    Raises:
        ExportError: If there are none.
    """
    import onnx

    graph = onnx.load(str(source)).graph
    weights = {weight.name for weight in graph.initializer}
    names = [node.name for node in graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]
    if len(names) < 3:
        raise ExportError("--precision int8: the network has no products with weights between its first and its last")
    return names[1:-1]
