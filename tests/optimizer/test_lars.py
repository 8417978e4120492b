"""LARS against a loop written from algorithm 1 of You et al. 2017."""

import numpy as np
import pytest
import torch
from torch import nn

from tiles_ecg.optimizer.lars import Lars
from tiles_ecg.optimizer.parameter_groups import decay_groups


def test_it_equals_a_loop_from_the_paper_while_the_rate_changes() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3))
    optimizer = Lars([weight], lr=0.5, momentum=0.9, weight_decay=0.01, trust=0.02)
    w, v = weight.detach().double().numpy().copy(), np.zeros((4, 3))
    for rate in (0.5, 0.3, 0.1):
        gradient = torch.randn(4, 3)
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = gradient.clone()
        optimizer.step()
        g = gradient.double().numpy()
        local = 0.02 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.01 * np.linalg.norm(w))
        v = 0.9 * v + rate * local * (g + 0.01 * w)
        w = w - v
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-5)
        assert torch.equal(weight.grad, gradient)


def test_it_scales_no_vectors() -> None:
    layer = nn.Linear(3, 2)
    before = layer.bias.detach().clone()
    optimizer = Lars(decay_groups([layer]), lr=0.1, momentum=0.0, weight_decay=0.5, trust=1e-3)
    layer.weight.grad, layer.bias.grad = torch.ones(2, 3), torch.ones(2)
    optimizer.step()
    torch.testing.assert_close(layer.bias.detach(), before - 0.1)  # a plain step, without decay


def test_a_zero_weight_takes_a_plain_step() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    Lars([weight], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))


def test_its_momentum_is_part_of_its_state() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([weight], lr=0.1)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    other = Lars([weight], lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(other.state[weight]["velocity"], optimizer.state[weight]["velocity"])


def test_a_closure_is_run_with_gradient_and_its_loss_returned() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([weight], lr=0.1)

    def closure() -> float:
        loss = weight.sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4
    assert not torch.equal(weight.detach(), torch.ones(2, 2))


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"lr": 0.1, "momentum": 1.0}, {"lr": 0.1, "weight_decay": -1.0}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need > 0, \[0, 1\), >= 0"):
        Lars([nn.Parameter(torch.ones(1))], **wrong)
