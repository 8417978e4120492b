"""What contrastive objectives share."""

import torch
from torch import Tensor, nn

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.objective.contrastive import judge_views, two_views
from tiles_ecg.objective.nt_xent import nt_xent


class Shift(nn.Module):
    """Moves signal and beats by as many points as it was asked before."""

    asked = 0

    def forward(self, signal: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return signal.roll(self.asked, -1), beat.roll(self.asked, -1)


def test_views_come_with_their_own_beats_first_ones_first() -> None:
    signal = torch.randn(3, 1, 10)
    beat = signal[:, 0] > 0
    views, beats = two_views(Shift(), EcgBatch(signal, beat, torch.zeros(3).long(), torch.arange(3)))
    assert torch.equal(views, torch.cat([signal.roll(1, -1), signal.roll(2, -1)]))
    assert torch.equal(beats, views[:, 0] > 0)


def test_a_last_batch_that_is_smaller_has_no_part_in_the_loss() -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(n, 4), torch.randn(n, 4), torch.randn(2 * n, 6)) for n in (8, 8, 3)]
    found = judge_views(batches, 0.1)
    expected = (nt_xent(*batches[0][:2], 0.1) + nt_xent(*batches[1][:2], 0.1)) / 2
    torch.testing.assert_close(found["loss"], expected)
    assert list(found) == ["loss", "alignment", "uniformity", "effective_rank"]


def test_without_two_windows_there_is_nothing_to_judge() -> None:
    assert judge_views([], 0.1) == {}
    assert judge_views([(torch.randn(1, 4), torch.randn(1, 4), torch.randn(2, 6))], 0.1) == {}
