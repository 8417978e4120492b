import pytest
import torch
from torch import Tensor

from tiles_ecg.augmentation.order import Permutation, TimeReversal


def test_a_permutation_loses_and_repeats_no_point() -> None:
    torch.manual_seed(0)
    signal = torch.arange(1000.0).expand(32, 1, 1000)
    permuted, _ = Permutation((2, 10), p=1.0)(signal, torch.zeros(32, 1000, dtype=torch.bool))
    assert torch.equal(permuted.sort(dim=2).values, signal)


def test_a_permutation_has_a_number_of_segments_within_its_limits() -> None:
    torch.manual_seed(0)
    signal = torch.arange(1000.0).expand(500, 1, 1000)
    permuted, _ = Permutation((3, 6), p=1.0)(signal, torch.zeros(500, 1000, dtype=torch.bool))
    n_runs = (permuted.diff(dim=2) != 1).sum(dim=2) + 1  # segments that chance leaves side by side count as one
    assert n_runs.max() == 6
    assert set(n_runs.unique().tolist()) >= {3, 4, 5, 6}


def test_reversal_turns_signal_and_beats_round(ecg: tuple[Tensor, Tensor]) -> None:
    reversed_signal, reversed_beat = TimeReversal(p=1.0)(*ecg)
    assert reversed_signal[2, 0].tolist() == ecg[0][2, 0].tolist()[::-1]
    assert reversed_beat[2].tolist() == ecg[1][2].tolist()[::-1]


def test_impossible_orders_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n_segments = \[1, 5\] must lie within 2"):
        Permutation((1, 5), p=0.5)
    with pytest.raises(ValueError, match=r"n_segments = \[6, 5\]"):
        Permutation((6, 5), p=0.5)
    with pytest.raises(ValueError, match="p = 2"):
        TimeReversal(p=2)
    with pytest.raises(ValueError, match="more than the window's 8 points"):
        Permutation((2, 10), p=0.5)(torch.zeros(1, 1, 8), torch.zeros(1, 8, dtype=torch.bool))
