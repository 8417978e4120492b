"""Lower precision: what is measured, and that it is refused where it does not hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.export.quantise import loss_between
from tiles_ecg.export_model import main


def test_no_loss_is_told_of_equal_embeddings_and_much_of_others() -> None:
    draw = np.random.default_rng(0)
    exact = 5 + draw.standard_normal((50, 16)).astype(np.float32)
    same = loss_between(exact, exact)
    assert same.holds
    assert same.cosine == pytest.approx(1)
    assert same.neighbour == 1
    other = loss_between(exact, 5 + draw.standard_normal((50, 16)).astype(np.float32))
    assert not other.holds
    assert abs(other.cosine) < 0.6
    assert other.error == pytest.approx(2**0.5, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_a_lower_precision_is_smaller_takes_any_shape_and_says_its_loss(
    small_encoder: Path, small_store: Path, tmp_path: Path, precision: str
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f'{package} is not installed: pip install "tiles_ecg[export]"')
    wanted = ["--format", "onnx", "--precision", precision, "--calibration", str(small_store), "--accept-loss"]
    main([str(small_encoder), "-o", str(tmp_path), *wanted])
    entry = json.loads((tmp_path / "export.json").read_text())["files"][f"encoder-{precision}.onnx"]
    assert entry["precision"] == precision
    assert entry["loss"]["error"] < 0.2
    assert entry["checked"]["batches"] == [1, 2, 7]
