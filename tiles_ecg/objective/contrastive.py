"""What contrastive objectives share: two views of each window, NT-Xent over all devices, what a validation logs."""

from collections.abc import Sequence

import torch
from lightning import LightningModule
from torch import Tensor, nn

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.objective.geometry import alignment, effective_rank, uniformity
from tiles_ecg.objective.nt_xent import nt_xent, nt_xent_rows


@torch.no_grad()
def two_views(augmentation: nn.Module, batch: EcgBatch) -> tuple[Tensor, Tensor]:
    """Signal (2B, C, T') and beat (2B, T') of two fresh views of each window: all first ones, then all second ones."""
    first, second = (augmentation(batch.signal, batch.beat) for _ in range(2))
    return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])


def nt_xent_of_all(module: LightningModule, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of this process's share of the global batch, whose projections are gathered with their gradient.

    Args:
        module: Being trained.
        first: Projections of this process's first views, (B, P).
        second: The same of its second views.
        temperature: > 0.
    """
    if module.trainer.world_size == 1:
        return nt_xent(first, second, temperature)
    gathered = module.all_gather(torch.stack([first, second]), sync_grads=True)  # (ranks, 2, B, P)
    assert isinstance(gathered, Tensor)  # for mypy: one in, one out
    all_first, all_second = gathered.transpose(0, 1).flatten(1, 2)  # (N, P) each
    return nt_xent_rows(first, second, all_first, all_second, module.global_rank * len(first), temperature)


def judge_views(batches: Sequence[tuple[Tensor, Tensor, Tensor]], temperature: float) -> dict[str, Tensor]:
    """Loss and geometry over all validation windows: `loss`, `alignment`, `uniformity`, `effective_rank`.

    Args:
        batches: Of each, projections of first and of second views, (B, P) each, and embeddings of both, (2B, D).
        temperature: Of NT-Xent, which grows with the batch, so that a smaller last one has no part in it.

    Returns:
        Nothing where there is no batch of two windows or more.
    """
    size = len(batches[0][0]) if batches else 0
    if size < 2:
        return {}
    whole = [b for b in batches if len(b[0]) == size]
    first, second, embedding = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return {
        "loss": torch.stack([nt_xent(a, b, temperature) for a, b, _ in whole]).mean(),
        "alignment": alignment(first, second),
        "uniformity": uniformity(first),
        "effective_rank": effective_rank(embedding),
    }
