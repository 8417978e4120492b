"""Weight decay arrives where it should, for every optimizer in conf/."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from tiles_ecg.optimizer.parameter_groups import decay_groups

FILES = sorted((Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml"))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 2))


def stepped_without_gradient(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Parameters before and after a step whose gradient is zero."""
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {name: (before[name], p.detach()) for name, p in module.named_parameters()}


def test_after_a_step_without_gradient_weights_have_shrunk_by_rate_times_decay_and_vectors_have_not() -> None:
    module = network()
    optimizer = torch.optim.AdamW(decay_groups([module]), lr=0.1, weight_decay=0.2)
    for name, (before, after) in stepped_without_gradient(optimizer, module).items():
        factor = 1 - 0.1 * 0.2 if before.ndim > 1 else 1.0
        torch.testing.assert_close(after, before * factor, msg=name)


def test_the_decay_of_the_config_is_that_of_the_optimizer() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf" / "optimizer" / "adamw.yaml")
    config.weight_decay = 0.125
    module = network()
    optimizer = instantiate(config)(decay_groups([module]))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.125, 0.0]
    before, after = stepped_without_gradient(optimizer, module)["0.weight"]
    torch.testing.assert_close(after, before * (1 - config.lr * 0.125))


def test_every_parameter_is_in_exactly_one_group_and_frozen_ones_in_none() -> None:
    module = network()
    module[3].weight.requires_grad_(False)
    groups = decay_groups([module[:2], module[2:]])
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_optimizer_in_conf_builds_and_lowers_a_loss(file: Path) -> None:
    module, x = network(), torch.randn(16, 1, 4, generator=torch.Generator().manual_seed(1))
    optimizer = instantiate(OmegaConf.load(file))(decay_groups([module]))
    losses = []
    for _ in range(20):
        loss = module(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
