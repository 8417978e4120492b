"""Late fusion: what is predicted for a window depends on that window alone."""

import pytest
import torch
from torch import Tensor

from tiles_ecg.objective.fusion import LateFusion


def made() -> tuple[LateFusion, Tensor, Tensor]:
    torch.manual_seed(0)
    head = LateFusion(6, 3, [1, 2], width=8)
    torch.nn.init.normal_(head.missing)
    stream = torch.randn(9, 3) * 10 + 50
    stream[2, 0] = torch.nan
    stream[4, 1:] = torch.nan
    head.standardise_streams(stream)
    return head, torch.randn(9, 6), stream


@pytest.mark.parametrize("mode", [True, False])
def test_a_prediction_does_not_depend_on_its_batch_mates(mode: bool) -> None:
    head, embedding, stream = made()
    head.train(mode)
    together = head(embedding, stream)
    order = torch.randperm(9)
    torch.testing.assert_close(head(embedding[order], stream[order]), together[order])
    for row in range(9):
        torch.testing.assert_close(head(embedding[row : row + 1], stream[row : row + 1]), together[row : row + 1])
    assert together.isfinite().all()


def test_no_gradient_reaches_a_batch_mate() -> None:
    head, embedding, stream = made()
    embedding.requires_grad_()
    head(embedding, stream)[3].sum().backward()
    assert embedding.grad is not None
    assert embedding.grad.abs().sum(1).nonzero().flatten().tolist() == [3]


def test_a_stream_that_is_missing_is_a_learned_vector_and_no_gradient_is_lost() -> None:
    head, embedding, stream = made()
    head(embedding, stream).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    absent = stream.clone()
    absent[0, 0] = torch.nan
    assert not torch.equal(head(embedding, absent)[0], head(embedding, stream)[0])
    torch.testing.assert_close(head(embedding, absent)[1:], head(embedding, stream)[1:])


def test_streams_are_standardised_by_what_is_known_of_them() -> None:
    head, _, stream = made()
    known = stream[[0, 1, 3, 4, 5, 6, 7, 8], 0]
    torch.testing.assert_close(head.location[0], known.mean())
    torch.testing.assert_close(head.scale[0], known.std(correction=0))


def test_a_stream_that_never_varies_or_is_always_missing_stays_finite() -> None:
    head = LateFusion(4, 1, [1, 1])
    stream = torch.stack([torch.full((5,), 3.0), torch.full((5,), torch.nan)], 1)
    head.standardise_streams(stream)
    assert head(torch.randn(5, 4), stream).isfinite().all()


def test_fusion_without_streams_is_refused() -> None:
    with pytest.raises(ValueError, match="no streams to fuse with"):
        LateFusion(4, 1, [])
