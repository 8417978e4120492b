"""S4: its layers against their equation, causality and precision."""

from typing import Any

import torch
import torch.nn.functional as F

from tiles_ecg.encoder.s4 import S4, StateSpace


def small(dropout: float = 0.0) -> S4:
    torch.manual_seed(0)
    return S4(n_leads=1, width=8, n_layers=2, n_states=4, embedding_dim=5, dropout=dropout)


def test_a_network_is_its_equations_written_out() -> None:
    network, signal = small().double(), torch.randn(3, 1, 90, dtype=torch.float64)
    x = signal.transpose(1, 2) @ network.enter.weight.T + network.enter.bias  # (B, T, H)
    blocks: list[Any] = list(network.blocks)
    for block in blocks:
        normed = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
        kernel = block.space.kernel(90)
        filtered = normed * block.space.direct
        for t in range(90):
            filtered[:, t] += sum(kernel[:, k] * normed[:, t - k] for k in range(t + 1))
        both = F.gelu(filtered) @ block.mix.weight[:, :, 0].T + block.mix.bias
        x = x + both[..., :8] * torch.sigmoid(both[..., 8:])
    expected = x.mean(1) @ network.leave.weight.T + network.leave.bias
    torch.testing.assert_close(network(signal), expected)


def test_a_layer_sees_nothing_of_what_comes_later() -> None:
    torch.manual_seed(0)
    space, signal = StateSpace(4, 8), torch.randn(2, 4, 200)
    changed = signal.clone()
    changed[..., 120:] += 100.0
    before, after = space(signal), space(changed)
    torch.testing.assert_close(after[..., :120], before[..., :120], rtol=0, atol=1e-4)
    assert not torch.allclose(after[..., 120:], before[..., 120:])


def test_the_state_spaces_stay_in_single_precision_under_autocast() -> None:
    torch.manual_seed(0)
    space, signal = StateSpace(4, 8), torch.randn(2, 4, 300)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(space(signal), space(signal.clone()))
        inside = space(signal)
    assert torch.equal(inside, space(signal))


def test_a_network_in_bfloat16_runs() -> None:
    network, signal = small().eval(), torch.randn(2, 1, 300)
    exact = network(signal)
    rough = network.to(torch.bfloat16)(signal.to(torch.bfloat16))
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() < 0.1 * exact.norm()


def test_dropout_acts_in_training_alone() -> None:
    network, signal = small(dropout=0.5), torch.randn(2, 1, 200)
    assert not torch.equal(network(signal), network(signal))
    network.eval()
    assert torch.equal(network(signal), network(signal))


def test_it_learns_to_tell_two_pitches_apart() -> None:
    torch.manual_seed(0)
    network = S4(1, 16, 2, 8, 1)
    time, labels = torch.arange(200) / 100, torch.arange(64) % 2
    pitch = torch.where(labels == 1, 12.0, 4.0)[:, None] + torch.rand(64, 1)
    signal = torch.sin(2 * torch.pi * (pitch * time + torch.rand(64, 1)))[:, None] + 0.5 * torch.randn(64, 1, 200)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(40):
        loss = F.binary_cross_entropy_with_logits(network(signal)[:, 0], labels.float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 0.1
