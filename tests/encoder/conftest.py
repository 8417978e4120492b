"""Small encoder files, as a run would leave them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiles_ecg.checkpoint_file import save_encoder
from tiles_ecg.encoder.resnet import ResNet1d

ARCHITECTURE = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "widths": [4, 8],
    "strides": [2, 2],
    "kernel_size": 3,
    "embedding_dim": 16,
}
PREPROCESSING = {
    "sample_rate": 100.0,
    "low_hz": 0.5,
    "high_hz": 40.0,
    "window_s": 15.0,
    "unit": "mV",
    "normalise": "subject",
}


@pytest.fixture
def write_encoder(tmp_path: Path) -> Callable[..., Path]:
    """Writes an encoder with moved norms; keyword arguments replace entries of its description, None leaves them out.

    Those of `architecture` and `preprocessing` are added to what it would say.
    """

    def write(name: str = "encoder.safetensors", n_leads: int = 1, **changes: Any) -> Path:
        torch.manual_seed(1)
        network = ResNet1d(n_leads, [4, 8], [2, 2], 3, 16)
        network(torch.randn(8, n_leads, 200))
        about = {
            "encoder": {**ARCHITECTURE, "n_leads": n_leads, **changes.pop("architecture", {})},
            "preprocessing": {**PREPROCESSING, "n_leads": n_leads, **changes.pop("preprocessing", {})},
            "stores": ["0123"],
            "step": 7,
            **changes,
        }
        about["preprocessing"] = {key: value for key, value in about["preprocessing"].items() if value is not None}
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_encoder(path, network, {key: value for key, value in about.items() if value is not None})
        return path

    return write
