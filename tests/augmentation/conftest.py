"""A small root config around conf/augmentation, a hand-made ECG, and a folder of made-up noise records."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
import wfdb
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(scope="session")
def noise_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(0)
    for name in ("bw", "em", "ma"):
        wfdb.wrsamp(
            name,
            fs=360,
            units=["mV", "mV"],
            sig_name=["noise1", "noise2"],
            p_signal=generator.standard_normal((360 * 30, 2)),
            fmt=["16", "16"],
            write_dir=str(root),
        )
    return root


@pytest.fixture(scope="session")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DictConfig]:
    root = tmp_path_factory.mktemp("root")
    (root / "root.yaml").write_text(
        f"defaults: [_self_]\nhydra: {{searchpath: ['file://{CONF}']}}\n"
        "dataset: {sample_rate: 100.0, window_s: 15.0}\n"
    )

    def compose_with(*overrides: str) -> DictConfig:
        with hydra.initialize_config_dir(str(root), version_base=None):
            return hydra.compose("root", overrides=list(overrides))

    return compose_with


@pytest.fixture(scope="session")
def step_arguments(compose: Callable[..., DictConfig], noise_root: Path) -> Callable[[str], dict[str, object]]:
    """Name of a file in conf/augmentation/step -> its resolved content."""

    @cache
    def resolve(name: str) -> dict[str, object]:
        overrides = [f"step.root={noise_root}"] if name == "recorded_noise" else []
        cfg = compose(f"+augmentation/step@step={name}", *overrides)
        arguments = OmegaConf.to_container(cfg.step, resolve=True)
        assert isinstance(arguments, dict)
        return arguments

    return resolve


@pytest.fixture(scope="session")
def build_step(step_arguments: Callable[[str], dict[str, object]]) -> Callable[..., nn.Module]:
    """Name of a file in conf/augmentation/step, and the p it shall have where it has one -> module."""

    def build(name: str, p: float | None = None) -> nn.Module:
        arguments = dict(step_arguments(name))
        if p is not None and "p" in arguments:
            arguments["p"] = p
        return hydra.utils.instantiate(arguments, _convert_="all")

    return build


@pytest.fixture
def ecg() -> tuple[Tensor, Tensor]:
    """16 windows of 15 s at 100 Hz, one lead, a little noise; 17 or 18 beats each, none at the same place."""
    torch.manual_seed(0)
    time_s = torch.arange(1500) / 100
    signal, beat = torch.zeros(16, 1, 1500), torch.zeros(16, 1500, dtype=torch.bool)
    for window in range(16):
        peaks = torch.arange(40 + window, 1500, 85)
        beat[window, peaks] = True
        for delay_s, width_s, height in ((-0.16, 0.025, 0.15), (0.0, 0.012, 1.0), (0.28, 0.05, 0.3)):  # P, R, T
            distance = time_s - peaks.unsqueeze(1) / 100 - delay_s
            signal[window, 0] += (height * torch.exp(-0.5 * (distance / width_s) ** 2)).sum(dim=0)
    return signal + 0.01 * torch.randn_like(signal), beat
