"""Alignment, uniformity and effective rank on point sets whose answer is known by hand."""

import math

import numpy as np
import pytest
import torch

from tiles_ecg.objective.geometry import alignment, effective_rank, uniformity


def test_equal_views_are_perfectly_aligned_whatever_their_length() -> None:
    first = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    assert float(alignment(first, 3 * first)) == pytest.approx(0, abs=1e-12)


def test_opposite_views_have_alignment_four() -> None:
    first = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    assert float(alignment(first, -first)) == pytest.approx(4, rel=1e-6)


def test_orthogonal_views_have_alignment_two() -> None:
    assert float(alignment(torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.1]]))) == pytest.approx(2)


def test_uniformity_of_an_antipodal_pair_is_minus_eight() -> None:
    assert float(uniformity(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))) == pytest.approx(-8)  # log exp(-2 * 2^2)


def test_uniformity_of_a_collapsed_batch_is_zero() -> None:
    assert float(uniformity(torch.ones(6, 3))) == pytest.approx(0, abs=1e-6)


def test_uniformity_equals_a_loop_over_pairs() -> None:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    unit = (x / x.norm(dim=1, keepdim=True)).double().numpy()
    pairs = [math.exp(-2 * float(((unit[i] - unit[j]) ** 2).sum())) for i in range(7) for j in range(i)]
    assert float(uniformity(x)) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_the_effective_rank_of_a_collapsed_batch_is_one(value: float) -> None:
    assert float(effective_rank(torch.full((50, 8), value))) == pytest.approx(1, abs=1e-3)


def test_the_effective_rank_of_points_on_a_line_is_one() -> None:
    x = torch.linspace(-1, 1, 40)[:, None] * torch.randn(1, 8, generator=torch.Generator().manual_seed(0)) + 3
    assert float(effective_rank(x)) == pytest.approx(1, abs=1e-3)


def test_the_effective_rank_of_an_isotropic_batch_is_near_the_dimension() -> None:
    x = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    assert float(effective_rank(x)) == pytest.approx(8, abs=0.01)


def test_the_effective_rank_equals_the_entropy_of_singular_values_by_numpy() -> None:
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(2)) * torch.tensor([5.0, 3, 1, 1, 0.1, 0.01])
    singular = np.linalg.svd(x.double().numpy() - x.double().numpy().mean(0), compute_uv=False)
    share = singular / singular.sum()
    assert float(effective_rank(x)) == pytest.approx(math.exp(-(share * np.log(share)).sum()), rel=1e-5)
