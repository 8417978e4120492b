"""NT-Xent against a double loop written from eq. 1 of Chen et al. 2020."""

import math

import pytest
import torch
from torch import Tensor

from tiles_ecg.objective.nt_xent import nt_xent, nt_xent_rows


def looped(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Eq. 1, anchor by anchor: views 2k-1 and 2k of window k stand next to each other, as in the paper."""
    z = [row for pair in zip(first, second, strict=True) for row in pair]
    similarity = [[a @ b / (a.norm() * b.norm()) for b in z] for a in z]
    total = torch.zeros((), dtype=first.dtype)
    for i in range(len(z)):
        j = i + 1 if i % 2 == 0 else i - 1
        denominator = sum(torch.exp(similarity[i][k] / temperature) for k in range(len(z)) if k != i)
        total = total - torch.log(torch.exp(similarity[i][j] / temperature) / denominator)
    return total / len(z)


def views(n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, n, 5, generator=generator, dtype=torch.float64).to(dtype)
    return first.requires_grad_(), second.requires_grad_()


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_it_equals_a_double_loop_over_equation_1(n: int, temperature: float) -> None:
    first, second = views(n)
    torch.testing.assert_close(nt_xent(first, second, temperature), looped(first, second, temperature))


def test_its_gradient_equals_that_of_the_loop_in_double_precision() -> None:
    first, second = views(6)
    exact = views(6, dtype=torch.float64)
    found = torch.autograd.grad(nt_xent(first, second, 0.1), (first, second))
    expected = torch.autograd.grad(looped(*exact, 0.1), exact)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-6)


def test_its_gradient_equals_finite_differences_of_the_loop() -> None:
    first, second = views(4)
    (found,) = torch.autograd.grad(nt_xent(first, second, 0.5), first)
    exact_first, exact_second = (view.detach() for view in views(4, dtype=torch.float64))
    for row, column in [(0, 0), (1, 3), (3, 4)]:
        step = torch.zeros_like(exact_first)
        step[row, column] = 1e-5
        up, down = (looped(exact_first + sign * step, exact_second, 0.5) for sign in (1, -1))
        assert float(found[row, column]) == pytest.approx(float((up - down) / 2e-5), abs=1e-5)


def test_identical_projections_cost_the_logarithm_of_the_number_of_candidates() -> None:
    same = torch.ones(8, 4)
    assert float(nt_xent(same, same, 0.1)) == pytest.approx(math.log(2 * 8 - 1), rel=1e-5)


def test_the_length_of_a_projection_does_not_matter() -> None:
    first, second = views(5)
    torch.testing.assert_close(nt_xent(3 * first, 0.2 * second, 0.1), nt_xent(first, second, 0.1))


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_the_mean_over_the_processes_is_the_loss_of_the_global_batch_and_so_is_the_gradient(n_ranks: int) -> None:
    first, second = views(8)
    share = 8 // n_ranks
    whole = nt_xent(first, second, 0.1)
    rows = [slice(rank * share, (rank + 1) * share) for rank in range(n_ranks)]
    shards = [nt_xent_rows(first[r], second[r], first, second, r.start, 0.1) for r in rows]
    mean = torch.stack(shards).mean()
    torch.testing.assert_close(mean, whole, rtol=1e-6, atol=1e-6)
    expected = torch.autograd.grad(whole, (first, second))
    for a, b in zip(torch.autograd.grad(mean, (first, second)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_half_precision_projections_are_compared_in_single_precision() -> None:
    first, second = (view.detach().bfloat16() for view in views(8))
    found = nt_xent(first, second, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, looped(first.float(), second.float(), 0.1))


@pytest.mark.parametrize(
    ("first", "second", "temperature", "message"),
    [
        (torch.ones(3, 2), torch.ones(4, 2), 0.1, r"\(3, 2\) and second views \(4, 2\)"),
        (torch.ones(1, 2), torch.ones(1, 2), 0.1, "no negatives; NT-Xent needs at least 2"),
        (torch.ones(3, 2), torch.ones(3, 2), 0.0, "temperature = 0.0; it must be positive"),
    ],
)
def test_what_it_cannot_work_on_is_refused(first: Tensor, second: Tensor, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nt_xent(first, second, temperature)
