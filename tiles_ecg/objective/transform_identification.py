"""Transform identification: which transformations were applied to a window, several at once, or none."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tiles_ecg.augmentation.applied import AppliedSteps
from tiles_ecg.augmentation.apply import Chain
from tiles_ecg.augmentation.crop import RandomCrop
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.evaluation.metric_curve import auroc
from tiles_ecg.objective.geometry import effective_rank
from tiles_ecg.optimizer.parameter_groups import decay_groups
from tiles_ecg.seeding import seed_draws

NONE = "none"
"""The first label: none of the others."""


class TransformIdentification(LightningModule):
    """Pre-training of an encoder by naming what was done to each window.

    Labels are `none` and the transformations, in their order. They are true: a transformation counts for a window that
    it changed, see `AppliedSteps`; `none` for a window that none of them changed. Other steps of the augmentation are
    applied alike, and not told.

    Views are drawn whole-batch on the device, one of each window, from (seed, step, rank) alone.

    Args:
        encoder: (B, C, T) -> (B, D), with an `embedding_dim`.
        projector: Called with D and `projection_dim`, the number of labels, gives the module (B, D) -> (B, K) logits.
        augmentation: The chain of steps; those that it leaves out are no labels.
        optimizer: Called with parameter groups.
        scheduler: Called with the optimizer, stepped after every training step.
        transforms: Steps of the augmentation that are told; None: all but the crop.
        seed: Of the views.
        compile: Whether `torch.compile` is applied to augmentation, encoder and projector.

    Attributes:
        labels: `none` and the transformations, in the order of the logits.

    Raises:
        ValueError: Of the transformations, one is no step of the augmentation or named twice, or none is left.

    References:
        Avramidis et al., Scaling Representation Learning from Ubiquitous ECG with State-Space Models, 2023.
        Sarkar and Etemad, Self-supervised ECG Representation Learning for Emotion Recognition, 2020, tell which one
        transformation was applied; here they come together.
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: Callable[..., nn.Module],
        augmentation: Chain,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        transforms: Sequence[str] | None = None,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        told = steps_to_tell(augmentation, transforms)
        self.labels = (NONE, *told)
        self.VALIDATED = ("val/loss", "val/auroc", "val/effective_rank", *(f"val/auroc_{name}" for name in self.labels))
        self.encoder = encoder
        self.projector = projector(encoder.embedding_dim, projection_dim=len(self.labels))
        self.augmentation = augmentation
        self.applied_steps = AppliedSteps(augmentation, told)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.seed = seed
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []
        if compile:
            for part in (self.applied_steps, self.encoder, self.projector):
                part.compile(dynamic=False)

    @torch.no_grad()
    def check(self, n_leads: int, n_points: int) -> None:
        """Tell two flat windows apart, so that what does not fit together shows before any data is opened.

        Raises:
            ValueError: By the part that cannot take windows of this shape.
        """
        view, _ = self.applied_steps(torch.zeros(2, n_leads, n_points), torch.zeros(2, n_points, dtype=torch.bool))
        self.eval()  # leaves the statistics of norms alone
        self.projector(self.encoder(view))
        self.train()

    def training_step(self, batch: EcgBatch, batch_idx: int) -> Tensor:
        """Binary cross-entropy of a fresh view of each window, mean over windows and labels."""
        part = batch_idx % self.trainer.accumulate_grad_batches
        seed_draws(self.seed, "views", self.global_step, part, self.global_rank)
        view, label = self._labelled_view(batch)
        loss = F.binary_cross_entropy_with_logits(self.projector(self.encoder(view)).float(), label)
        self.log("train/loss", loss, sync_dist=self.trainer.world_size > 1)
        return loss

    def _labelled_view(self, batch: EcgBatch) -> tuple[Tensor, Tensor]:
        """(B, C, T') and (B, K) of 0 and 1."""
        with torch.no_grad():
            view, applied = self.applied_steps(batch.signal, batch.beat)
            return view, torch.cat([~applied.any(1, keepdim=True), applied], 1).float()

    def validation_step(self, batch: EcgBatch, batch_idx: int) -> None:
        """Tell a view of each window, the same view at every validation and in every process."""
        seed_draws(self.seed, "validation", batch_idx)
        view, label = self._labelled_view(batch)
        embedding = self.encoder(view)
        self._validated.append((label, self.projector(embedding).float(), embedding.float()))

    def on_validation_epoch_end(self) -> None:
        """Log loss, AUROC and effective rank once, over all validation windows.

        A label that all of them have, or none, has no AUROC (NaN), and the mean leaves it out.
        """
        batches, self._validated = self._validated, []
        if not batches:
            return
        label, logit, embedding = (torch.cat(parts) for parts in zip(*batches, strict=True))
        each = auroc_by_label(label, logit)
        is_known = ~torch.isnan(each)
        values = (
            F.binary_cross_entropy_with_logits(logit, label),
            each[is_known].mean(),
            effective_rank(embedding),
            *each,
        )
        self.log_dict(dict(zip(self.VALIDATED, values, strict=True)), sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Decay the weights, not norms and biases; step the schedule with every batch."""
        optimizer = self.optimizer(decay_groups([self.encoder, self.projector]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}


def steps_to_tell(augmentation: Chain, transforms: Sequence[str] | None) -> list[str]:
    """Those named, but for what the augmentation leaves out; by default all that it has but the crop.

    Raises:
        ValueError: None is left.
    """
    if transforms is None:
        transforms = [name for name, step in augmentation.steps.items() if not isinstance(step, RandomCrop)]
    told = [name for name in transforms if name not in augmentation.left_out]
    if not told:
        raise ValueError(
            "nothing is left to be told; choose an augmentation of more than a crop, such as augmentation=transforms, "
            "and name steps of it in objective.transforms"
        )
    return told


def auroc_by_label(label: Tensor, logit: Tensor) -> Tensor:
    """Area under the ROC curve of each label, (K,); NaN where all windows have it, or none.

    Args:
        label: (N, K) of 0 and 1.
        logit: (N, K).
    """
    truth, score = label.cpu().numpy() > 0, logit.detach().cpu().numpy().astype(np.float64)
    weight = np.ones((1, len(truth)))
    each = [float(auroc(has, column, weight)[0]) for has, column in zip(truth.T, score.T, strict=True)]
    return torch.tensor(each, device=logit.device)
