"""The learning rate of every step, by hand."""

import math

import pytest
import torch
from torch import nn

from tiles_ecg.scheduler.cosine import WarmupCosine


def rates(max_steps: int, warmup_share: float, final_share: float, n_taken: int | None = None) -> list[float]:
    """The rate that each step is taken with."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(optimizer, max_steps, warmup_share, final_share)
    found = []
    for _ in range(n_taken or max_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_warm_up_rises_in_a_line_to_the_peak() -> None:
    assert rates(101, 0.1, 0.0)[:11] == pytest.approx([2.0 * (step + 1) / 11 for step in range(11)])


def test_the_peak_is_at_the_end_of_the_warm_up() -> None:
    found = rates(101, 0.1, 0.01)
    assert max(found) == found[10] == 2.0


def test_half_way_down_the_rate_is_the_mean_of_peak_and_end() -> None:
    assert rates(111, 10 / 111, 0.1)[60] == pytest.approx(2.0 * 0.55)


def test_the_last_step_is_taken_at_the_final_share_of_the_peak() -> None:
    assert rates(101, 0.05, 0.01)[-1] == pytest.approx(0.02)


def test_without_warm_up_the_first_step_is_taken_at_the_peak_and_the_rest_is_half_a_cosine() -> None:
    expected = [2.0 * 0.5 * (1 + math.cos(math.pi * step / 20)) for step in range(21)]
    assert rates(21, 0.0, 0.0) == pytest.approx(expected)


def test_steps_beyond_the_last_keep_its_rate() -> None:
    assert rates(11, 0.0, 0.25, n_taken=15)[10:] == pytest.approx([0.5] * 5)


def test_a_run_of_one_step_has_a_rate() -> None:
    assert rates(1, 0.05, 0.01) == [2.0]


def test_a_schedule_restored_from_its_state_goes_on_where_it_was() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(optimizer, 50, 0.1, 0.0)
    for _ in range(20):
        optimizer.step()
        schedule.step()
    again = WarmupCosine(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0), 50, 0.1, 0.0)
    again.load_state_dict(schedule.state_dict())
    assert again.get_last_lr() == schedule.get_last_lr()
    again.step()
    assert again.get_last_lr() == pytest.approx([rates(50, 0.1, 0.0)[21]])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_warm_up_that_leaves_no_step_is_refused(share: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    with pytest.raises(ValueError, match=f"warmup_share = {share}"):
        WarmupCosine(optimizer, 10, share, 0.0)
