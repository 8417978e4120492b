"""SimCLR: the two views of a window attract, all other windows repel."""

from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.objective.contrastive import judge_views, nt_xent_of_all, two_views
from tiles_ecg.optimizer.parameter_groups import decay_groups
from tiles_ecg.seeding import seed_draws


class SimCLR(LightningModule):
    """Contrastive pre-training of an encoder with two augmented views of each window.

    Views are drawn whole-batch on the device, from (seed, step, rank) alone. Across devices the projections are
    gathered with their gradient, so that the negatives are those of the global batch.

    Args:
        encoder: (B, C, T) -> (B, D), with an `embedding_dim`.
        projector: Called with D, gives the module (B, D) -> (B, P).
        augmentation: (signal, beat) -> (signal, beat).
        optimizer: Called with parameter groups.
        scheduler: Called with the optimizer, stepped after every training step.
        temperature: Of NT-Xent, > 0.
        seed: Of the views.
        compile: Whether `torch.compile` is applied to augmentation, encoder and projector: uncompiled, they start 500
            kernels a step, 300 of them for the views. Compiled views are other draws of the same distribution.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
    """

    VALIDATED = ("val/loss", "val/alignment", "val/uniformity", "val/effective_rank")
    """What a validation logs."""

    def __init__(
        self,
        encoder: nn.Module,
        projector: Callable[[int], nn.Module],
        augmentation: nn.Module,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        temperature: PositiveFloat,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature = {temperature}; it must be positive (SimCLR's best is 0.1)")
        self.encoder = encoder
        self.projector = projector(encoder.embedding_dim)  # type: ignore[arg-type]
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.temperature = temperature
        self.seed = seed
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []
        if compile:
            for part in (self.augmentation, self.encoder, self.projector):
                part.compile(dynamic=False)  # not torch.compile(part): that would rename the weights in checkpoints

    @torch.no_grad()
    def check(self, n_leads: int, n_points: int) -> None:
        """Embed views of two flat windows, so that what does not fit together shows before any data is opened.

        Raises:
            ValueError: By the part that cannot take windows of this shape.
        """
        flat = torch.zeros(2, n_leads, n_points)
        views, _ = self.augmentation(flat, torch.zeros(2, n_points, dtype=torch.bool))
        self.eval()  # leaves the statistics of norms alone
        self.encoder(views)
        self.train()

    def training_step(self, batch: EcgBatch, batch_idx: int) -> Tensor:
        """NT-Xent of two fresh views of each window, in this process's share of the global batch."""
        part = batch_idx % self.trainer.accumulate_grad_batches
        seed_draws(self.seed, "views", self.global_step, part, self.global_rank)
        first, second = self.projector(self.encoder(self._views(batch))).chunk(2)  # (B, P) each
        loss = nt_xent_of_all(self, first, second, self.temperature)
        self.log("train/loss", loss, sync_dist=self.trainer.world_size > 1)
        return loss

    def _views(self, batch: EcgBatch) -> Tensor:
        return two_views(self.augmentation, batch)[0]  # (2B, C, T')

    def validation_step(self, batch: EcgBatch, batch_idx: int) -> None:
        """Embed two views of each window, the same views at every validation and in every process."""
        seed_draws(self.seed, "validation", batch_idx)
        embedding = self.encoder(self._views(batch))  # (2B, D)
        first, second = self.projector(embedding).float().chunk(2)
        self._validated.append((first, second, embedding.float()))

    def on_validation_epoch_end(self) -> None:
        """Log loss and geometry once, over all validation windows: in batches of the training size for the loss."""
        batches, self._validated = self._validated, []
        found = judge_views(batches, self.temperature)
        values = {f"val/{name}": value for name, value in found.items()}
        if values:
            self.log_dict(values, sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Decay the weights, not norms and biases; step the schedule with every batch."""
        optimizer = self.optimizer(decay_groups([self.encoder, self.projector]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}
