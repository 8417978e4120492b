"""Layer-wise learning rates: the head learns fastest, the stem slowest, every parameter once."""

import pytest
import torch
from torch import nn

from tiles_ecg.encoder.resnet import ResNet1d
from tiles_ecg.optimizer.layer_decay import layer_decay_groups, layers_of, scale_rates


def rates(encoder: nn.Module, head: nn.Module, decay: float) -> dict[int, float]:
    """Learning rate of each parameter, by its identity, with an optimizer whose own is 1."""
    optimizer = torch.optim.AdamW(layer_decay_groups(encoder, head, decay), lr=1.0, weight_decay=0.1)
    scale_rates(optimizer)
    return {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}


class Wrapped(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class Token(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(3))
        self.norm = nn.LayerNorm(3)


@pytest.mark.parametrize("wrap", [lambda network: network, Wrapped])
def test_a_residual_network_is_its_stem_its_blocks_and_its_head(wrap: type[Wrapped]) -> None:
    network = ResNet1d(1, [4, 4, 8], [1, 2, 2], 3, 8)
    encoder, head = wrap(network), nn.Linear(8, 2)
    assert layers_of(encoder) == [network.stem, *network.blocks, network.head]
    found = rates(encoder, head, 0.5)
    for distance, layer in enumerate([head, network.head, *reversed(network.blocks), network.stem]):
        for parameter in layer.parameters():
            assert found[id(parameter)] == pytest.approx(0.5**distance)


def test_what_is_in_no_layer_goes_with_the_first() -> None:
    encoder, head = Token(), nn.Linear(3, 1)
    found = rates(encoder, head, 0.1)
    assert len(layers_of(encoder)) == 4
    assert found[id(encoder.token)] == found[id(encoder.layers[0][0].weight)] == pytest.approx(1e-4)
    assert found[id(encoder.norm.weight)] == pytest.approx(0.1)


def test_every_parameter_is_in_one_group_and_vectors_are_not_decayed() -> None:
    encoder, head = ResNet1d(1, [4, 8], [1, 2], 3, 8), nn.Linear(8, 2)
    groups = layer_decay_groups(encoder, head, 0.7)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for module in (encoder, head) for p in module.parameters())
    assert all((p.ndim > 1) == ("weight_decay" not in group) for group in groups for p in group["params"])


def test_a_frozen_encoder_leaves_the_head_alone() -> None:
    encoder, head = ResNet1d(1, [4], [1], 3, 8).requires_grad_(False), nn.Linear(8, 2)
    assert set(rates(encoder, head, 0.5)) == {id(p) for p in head.parameters()}


def test_without_decay_all_learn_at_one_rate() -> None:
    assert set(rates(ResNet1d(1, [4, 8], [1, 2], 3, 8), nn.Linear(8, 2), 1.0).values()) == {1.0}


def test_a_plain_stack_of_layers_counts_one_by_one() -> None:
    encoder = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    assert layers_of(encoder) == [encoder[0], encoder[2]]


def test_shared_parameters_have_their_slowest_rate() -> None:
    encoder = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    encoder[1].weight = encoder[0].weight
    assert rates(encoder, nn.Linear(3, 1), 0.5)[id(encoder[0].weight)] == pytest.approx(0.25)
