"""A small encoder file, as a run would leave it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tiles_ecg.checkpoint_file import save_encoder
from tiles_ecg.encoder.resnet import ResNet1d

ARCHITECTURE = {
    "_target_": "tiles_ecg.encoder.resnet.ResNet1d",
    "n_leads": 1,
    "widths": [8, 16],
    "strides": [2, 2],
    "kernel_size": 3,
    "embedding_dim": 32,
}
PREPROCESSING = {
    "sample_rate": 100.0,
    "low_hz": 0.5,
    "high_hz": 40.0,
    "window_s": 15.0,
    "unit": "mV",
    "n_leads": 1,
    "normalise": "subject",
}


@pytest.fixture(scope="session")
def write_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes an encoder whose weights are drawn with the seed given, its norms moved."""

    def write(seed: int) -> Path:
        torch.manual_seed(seed)
        network = ResNet1d(1, [8, 16], [2, 2], 3, 32)
        network(torch.randn(8, 1, 200))
        path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
        about = {"encoder": ARCHITECTURE, "preprocessing": PREPROCESSING, "stores": ["0123"], "step": 7}
        save_encoder(path, network, {**about, "licence": "MIT", "name": "small"})
        return path

    return write


@pytest.fixture(scope="session")
def small_encoder(write_encoder: Callable[[int], Path]) -> Path:
    """The first of them."""
    return write_encoder(1)
