import pytest
import torch
from torch import Tensor

from tiles_ecg.augmentation.warp import TimeWarp


def test_beats_stay_on_the_r_peaks(ecg: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    warped, moved = TimeWarp(max_change=0.3, n_harmonics=4, p=1.0)(*ecg)
    assert torch.equal(moved.sum(dim=1), ecg[1].sum(dim=1))
    assert not torch.equal(moved, ecg[1])
    for window, peak in moved.nonzero().tolist():
        first = max(peak - 10, 0)
        highest = first + int(warped[window, 0, first : peak + 11].argmax())
        assert abs(highest - peak) <= 1


def test_every_call_draws_a_new_map(ecg: tuple[Tensor, Tensor]) -> None:
    step = TimeWarp(max_change=0.3, n_harmonics=4, p=1.0)
    assert not torch.equal(step(*ecg)[0], step(*ecg)[0])


def test_ends_of_the_window_stay_in_place(ecg: tuple[Tensor, Tensor]) -> None:
    warped, _ = TimeWarp(max_change=0.3, n_harmonics=4, p=1.0)(*ecg)
    torch.testing.assert_close(warped[..., [0, -1]], ecg[0][..., [0, -1]], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("max_change", [0.0, 1.0, -0.2])
def test_a_map_that_would_stand_still_or_run_back_is_refused(max_change: float) -> None:
    with pytest.raises(ValueError, match="max_change"):
        TimeWarp(max_change, n_harmonics=4, p=0.5)
