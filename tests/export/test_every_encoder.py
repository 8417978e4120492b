"""Every file in conf/encoder in both formats, compared with torch at other lengths; all but one cut to fewer blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from tiles_ecg.encoder.s4 import S4
from tiles_ecg.encoder.wildecg import WildEcgResNet
from tiles_ecg.export import proof
from tiles_ecg.export.onnx_file import PACKAGES, OnnxEncoder, write_onnx
from tiles_ecg.export.program import export_program, load_program, write_program
from tiles_ecg.export.proof import LARGEST_DIFFERENCE, largest_difference
from tiles_ecg.export.quantise import in_torch

FILES = sorted((Path(__file__).parents[2] / "conf" / "encoder").glob("*.yaml"))
WHOLE = "resnet8"
SMALLER: dict[str, Any] = {"n_layers": 2, "width": 16, "n_states": 8}
N_BLOCKS = 2
"""Of the other files: tracing takes its time for each operation, and more blocks have no others."""
BATCHES, LENGTHS = (1, 2), (77, 3000)
"""Shorter and odd, longer and even; what an S4 kernel loses to another rounding of `exp` grows with the length."""


@pytest.fixture
def build(small_encoder: Path) -> Callable[[Path], nn.Module]:
    """Builds the network of a YAML with shaken weights and norms; that within, if it wraps the file of another."""

    def of(file: Path) -> nn.Module:
        torch.manual_seed(0)
        root = OmegaConf.create({"dataset": {"n_leads": 1, "sample_rate": 100.0, "window_s": 15.0}})
        cfg = OmegaConf.merge(root, {"encoder": OmegaConf.load(file)}).encoder
        if OmegaConf.is_missing(cfg, "path"):
            cfg.path = str(small_encoder)
        if "path" in cfg and not Path(cfg.path).exists():
            pytest.skip(f"no published weights at {cfg.path}: set TILES_ECG_PUBLISHED to their folder")
        for key in cfg.keys() if file.stem != WHOLE else ():
            cfg[key] = cfg[key][:N_BLOCKS] if key in ("widths", "strides") else SMALLER.get(key, cfg[key])
        encoder = instantiate(cfg, _convert_="all")
        return shaken(encoder) if "path" not in cfg else shortened(encoder.network).eval()

    return of


def shortened(network: nn.Module) -> nn.Module:
    """The first layers of a published network, with their weights."""
    blocks: Any = network.blocks
    if isinstance(network, S4):
        network.blocks = blocks[:2]
    elif isinstance(network, WildEcgResNet):
        network.blocks, network.last_norm = blocks[:3], blocks[3].norm1
    return network


def shaken(network: nn.Module) -> nn.Module:
    """In evaluation mode, with the batch statistics of noise, as after training."""
    network.train()
    with torch.no_grad():
        network(3 * torch.randn(4, 1, 400) + 1)
        for parameter in network.parameters():
            if parameter.dim() == 1:  # norms and biases begin at zero and one
                parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_embeds_any_batch_and_length_as_torch_does(
    build: Callable[[Path], nn.Module], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "BATCHES", BATCHES)
    monkeypatch.setattr(proof, "LENGTHS", LENGTHS)
    network = build(file)
    program = export_program(network, 1)
    write_program(program, tmp_path / "encoder.pt2", {})
    loaded = in_torch(load_program(tmp_path / "encoder.pt2"))
    assert largest_difference(loaded, network, 1) <= LARGEST_DIFFERENCE
    for package in PACKAGES:
        pytest.importorskip(package, reason=f'{package} is not installed: pip install "tiles_ecg[export]"')
    write_onnx(program, tmp_path / "encoder.onnx")
    assert largest_difference(OnnxEncoder(tmp_path / "encoder.onnx"), network, 1) <= LARGEST_DIFFERENCE
