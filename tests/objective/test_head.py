"""The linear head."""

import pytest
import torch

from tiles_ecg.objective.head import LinearHead


def test_a_linear_head_is_linear_in_standardised_embeddings() -> None:
    torch.manual_seed(0)
    head, embedding = LinearHead(5, 2), torch.randn(40, 5) * 7 + 3
    embedding[:, 2] = 4.0  # constant
    head.standardise(embedding)
    none = torch.zeros(40, 0)
    standard = (embedding - embedding.mean(0)) / torch.where(torch.arange(5) == 2, 1.0, embedding.std(0, correction=0))
    torch.testing.assert_close(head(embedding, none), standard @ head.linear.weight.T + head.linear.bias)


def test_until_it_is_standardised_it_takes_embeddings_as_they_are() -> None:
    torch.manual_seed(0)
    head, embedding = LinearHead(5, 2), torch.randn(4, 5)
    torch.testing.assert_close(head(embedding, torch.zeros(4, 0)), head.linear(embedding))


def test_streams_are_refused_by_a_head_that_does_not_read_them() -> None:
    with pytest.raises(ValueError, match="reads the ECG alone"):
        LinearHead(4, 1, [1])
