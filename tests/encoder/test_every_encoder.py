"""The contract of an encoder, for every file in conf/encoder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

FILES = sorted((Path(__file__).parents[2] / "conf" / "encoder").glob("*.yaml"))
N_LEADS = [1, 3]

pytestmark = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


Build = Callable[[Path, int], nn.Module]


@pytest.fixture
def build(write_encoder: Callable[..., Path]) -> Build:
    """Builds the encoder of a YAML; one that takes a path is given that of a small encoder file."""

    def of(file: Path, n_leads: int) -> nn.Module:
        torch.manual_seed(0)
        root = OmegaConf.create({"dataset": {"n_leads": n_leads, "sample_rate": 100.0, "window_s": 15.0}})
        cfg = OmegaConf.merge(root, {"encoder": OmegaConf.load(file)})
        if "path" in cfg.encoder.keys():  # noqa: SIM118
            cfg.encoder.path = str(write_encoder(n_leads=n_leads))
        return instantiate(cfg.encoder, _convert_="all")  # type: ignore[no-any-return]

    return of


@pytest.mark.parametrize("n_leads", N_LEADS)
def test_it_embeds_windows_of_any_length(build: Build, file: Path, n_leads: int) -> None:
    encoder = build(file, n_leads).eval()
    with torch.no_grad():
        for length in (1000, 1500, 1501):
            embedding = encoder(torch.randn(2, n_leads, length))
            assert embedding.shape == (2, encoder.embedding_dim)
            assert embedding.dtype == torch.float32
            assert torch.isfinite(embedding).all()


@pytest.mark.parametrize("n_leads", N_LEADS)
def test_every_parameter_has_a_gradient(build: Build, file: Path, n_leads: int) -> None:
    encoder = build(file, n_leads)
    embedding = encoder(torch.randn(4, n_leads, 400))
    (embedding * torch.randn_like(embedding)).sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_an_evaluated_embedding_does_not_depend_on_the_other_windows(build: Build, file: Path) -> None:
    encoder = build(file, 1).eval()
    signal = torch.randn(4, 1, 500)
    with torch.no_grad():
        together, alone = encoder(signal), torch.cat([encoder(signal[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_the_layout_of_the_input_in_memory_does_not_matter(build: Build, file: Path) -> None:
    encoder = build(file, 3).eval()
    signal = torch.randn(4, 3, 500)
    channels_last = signal.transpose(1, 2).contiguous().transpose(1, 2)
    assert not channels_last.is_contiguous()
    with torch.no_grad():
        torch.testing.assert_close(encoder(channels_last), encoder(signal), rtol=1e-4, atol=1e-6)


def test_the_input_is_left_as_it_was(build: Build, file: Path) -> None:
    signal = torch.randn(2, 1, 500)
    before = signal.clone()
    build(file, 1)(signal)
    assert torch.equal(signal, before)


@pytest.mark.parametrize("shape", [(2, 3, 500), (2, 500), (500,)])
def test_a_wrong_number_of_leads_is_refused_with_both_shapes(build: Build, file: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"signal has shape .*reads \(B, 1, T\)"):
        build(file, 1)(torch.randn(shape))
