"""The projector."""

import torch

from tiles_ecg.projector.mlp import Mlp


def test_it_is_linear_relu_linear() -> None:
    torch.manual_seed(0)
    projector, embedding = Mlp(6, 5, 3), torch.randn(4, 6)
    w1, b1, w2, b2 = (p.detach().double() for p in projector.parameters())
    expected = (embedding.double() @ w1.T + b1).clamp_min(0) @ w2.T + b2
    torch.testing.assert_close(projector(embedding).double(), expected, rtol=1e-5, atol=1e-6)
