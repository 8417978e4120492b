"""The reference encoder: what design.md says of it, and its convolution against torch's own."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from tiles_ecg.encoder.resnet import ResNet1d, _Block, _Conv

CONF = Path(__file__).parents[2] / "conf" / "encoder"


def resnet8(n_leads: int = 1) -> ResNet1d:
    torch.manual_seed(0)
    config = OmegaConf.merge({"dataset": {"n_leads": n_leads}}, {"encoder": OmegaConf.load(CONF / "resnet8.yaml")})
    return instantiate(config.encoder, _convert_="all")  # type: ignore[no-any-return]


def plain(encoder: ResNet1d, signal: Tensor) -> Tensor:
    """The network as one writes it with one-dimensional layers, evaluated block by block."""

    def norm(layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(layer, nn.BatchNorm2d)
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    def convolve(layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(layer, _Conv)
        return F.conv1d(x, layer.weight, None, layer.stride, layer.kernel_size[0] // 2)

    x = F.relu(norm(encoder.stem[1], convolve(encoder.stem[0], signal)))
    for number, block in enumerate(encoder.blocks):
        assert isinstance(block, _Block)
        inside = x if number == 0 else F.relu(norm(block.enter[0], x))
        inside = convolve(block.branch[4], F.relu(norm(block.branch[1], convolve(block.branch[0], inside))))
        shortcut = x[:, :, :: block.stride]
        grown = inside.shape[1] - x.shape[1]
        x = inside + F.pad(shortcut, (0, 0, grown // 2, grown - grown // 2))
    x = F.relu(norm(encoder.head[0], x))
    return F.relu(norm(encoder.head[3], convolve(encoder.head[2], x))).mean(2)


@pytest.mark.parametrize("n_leads", [1, 3])
def test_it_computes_what_one_dimensional_layers_would(n_leads: int) -> None:
    encoder = resnet8(n_leads)
    signal = torch.randn(3, n_leads, 1001)
    encoder(torch.randn(8, n_leads, 500))  # statistics of the norms, so that they are no identities
    encoder.eval()
    torch.testing.assert_close(encoder(signal), plain(encoder, signal), rtol=1e-4, atol=1e-5)


def test_resnet8_has_8_blocks_of_16_to_128_filters_and_an_embedding_of_256() -> None:
    encoder = resnet8()
    assert len(encoder.blocks) == 8
    assert [block.branch[0].out_channels for block in encoder.blocks] == [16, 16, 32, 32, 64, 64, 128, 128]
    assert encoder.embedding_dim == 256


def test_resnet8_strides_in_every_second_block_with_kernels_of_3() -> None:
    encoder = resnet8()
    assert [block.stride for block in encoder.blocks] == [1, 2, 1, 2, 1, 2, 1, 2]
    assert {block.branch[at].kernel_size for block in encoder.blocks for at in (0, 4)} == {(3,)}


def test_resnet8_has_the_parameters_that_its_layers_add_up_to() -> None:
    widths = [16, 16, 32, 32, 64, 64, 128, 128]
    stem = 1 * 16 * 3 + 2 * 16
    blocks = sum(
        before * width * 3 + width * width * 3 + 2 * width + (2 * before if number else 0)
        for number, (before, width) in enumerate(zip([16, *widths[:-1]], widths, strict=True))
    )
    head = 2 * 128 + 128 * 256 + 2 * 256
    assert sum(p.numel() for p in resnet8().parameters()) == stem + blocks + head == 264_144


def test_one_point_of_its_output_sees_as_far_as_its_kernels_and_strides_add_up_to() -> None:
    encoder = resnet8().eval()
    encoder.head = nn.Identity()  # (B, 128, 1, T / 16): one point of it looks at a stretch of the input
    signal = torch.randn(1, 1, 1600, requires_grad=True)
    features = encoder.blocks(encoder.stem(signal.unsqueeze(2)))
    assert features.shape[-1] == 100
    features[0, :, 0, 50].sum().backward()
    assert signal.grad is not None
    seen = signal.grad[0, 0].nonzero().flatten()
    # stem 1 + at stride 1: 2 + 1, at 2: 1 + 2 + 1, at 4: 1 + 2 + 1, at 8: 1 + 2 + 1, at 16: 1 point on either side
    reach = 1 + 3 * 1 + (1 + 2 + 1) * 2 + (1 + 2 + 1) * 4 + (1 + 2 + 1) * 8 + 16
    assert int(seen[-1] - seen[0]) == 2 * reach


def test_resnet8_long_sees_25_seconds() -> None:
    config = OmegaConf.merge({"dataset": {"n_leads": 1}}, {"encoder": OmegaConf.load(CONF / "resnet8_long.yaml")})
    torch.manual_seed(0)
    encoder = instantiate(config.encoder, _convert_="all").eval()
    encoder.head = nn.Identity()  # (B, 128, 1, T / 128): one point of it looks at a stretch of the input
    signal = torch.randn(1, 1, 6400, requires_grad=True)
    features = encoder.blocks(encoder.stem(signal.unsqueeze(2)))
    assert features.shape[-1] == 50
    features[0, :, 0, 25].sum().backward()
    assert signal.grad is not None
    seen = signal.grad[0, 0].nonzero().flatten()
    # stem 2; a block that strides from s: 2 s + 2 (2 s); the last one at 128: 2 (128) + 2 (128)
    reach = 2 + sum(2 * s + 2 * 2 * s for s in (1, 2, 4, 8, 16, 32, 64)) + 4 * 128
    assert int(seen[-1] - seen[0]) == 2 * reach == 2552


def test_blocks_are_pre_activation_but_for_the_first() -> None:
    encoder = resnet8()
    assert isinstance(encoder.blocks[0].enter, nn.Identity)
    for block in list(encoder.blocks)[1:]:
        assert [type(layer) for layer in block.enter][:2] == [nn.BatchNorm2d, nn.ReLU]


def test_there_is_no_dropout_unless_asked_for() -> None:
    assert all(layer.p == 0 for layer in resnet8().modules() if isinstance(layer, nn.Dropout))


def test_dropout_acts_in_training_and_not_in_evaluation() -> None:
    torch.manual_seed(0)
    encoder = ResNet1d(1, [8, 8], [1, 2], 3, 16, dropout=0.5)
    signal = torch.randn(4, 1, 200)
    assert not torch.equal(encoder(signal), encoder(signal))
    encoder.eval()
    assert torch.equal(encoder(signal), encoder(signal))


def test_its_convolution_weights_are_those_of_a_conv1d() -> None:
    assert resnet8().stem[0].weight.shape == (16, 1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [8, 8], "strides": [1]}, "2 widths but 1 strides"),
        ({"widths": [16, 8], "strides": [1, 1]}, r"widths = \[16, 8\]"),
        ({"widths": [], "strides": []}, "give at least one"),
        ({"widths": [8], "strides": [1], "kernel_size": 4}, "kernel_size = 4: choose an odd length"),
    ],
)
def test_an_impossible_network_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet1d(**{"n_leads": 1, "kernel_size": 3, "embedding_dim": 8, **arguments})  # type: ignore[arg-type]
