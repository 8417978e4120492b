"""SimCLR that keeps the rhythm: views attract, and from the embedding of each its own rhythm can be read."""

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
from tiles_ecg.objective.rhythm import FEATURES, huber_sum, or_nan, rhythm_features, rhythm_targets
from tiles_ecg.optimizer.parameter_groups import decay_groups
from tiles_ecg.seeding import seed_draws


class SimCLRRhythm(LightningModule):
    """Contrastive pre-training as `SimCLR`, and a linear head tells the rhythm of every view from its embedding.

    The targets come from the R-peaks of the store, which move with the signal: no label is needed. The loss is NT-Xent
    plus `rhythm_weight` times the mean Huber loss over what is defined in the global batch (a window with too few
    R-peaks has no rhythm; a batch of such windows, no loss of it, and NaN is logged). R-peaks are taken as they are in
    the store, of noisy windows too; those under a mask of the view still count.

    Views are drawn whole-batch on the device, from (seed, step, rank) alone.

    Args:
        encoder: (B, C, T) -> (B, D), with an `embedding_dim`.
        projector: Called with D, gives the module (B, D) -> (B, P).
        augmentation: (signal, beat) -> (signal, beat). Where it permutes, the rhythm that is told is that of the
            pieces in their new order.
        optimizer: Called with parameter groups.
        scheduler: Called with the optimizer, stepped after every training step.
        temperature: Of NT-Xent, > 0.
        sample_rate: Hz.
        rhythm_weight: Of the loss of the rhythm, > 0.
        seed: Of the views.
        compile: Whether `torch.compile` is applied to augmentation, encoder and projector.
    """

    VALIDATED = (
        "val/loss",
        "val/contrastive",
        "val/rhythm",
        "val/alignment",
        "val/uniformity",
        "val/effective_rank",
    )
    """What a validation logs."""

    def __init__(
        self,
        encoder: nn.Module,
        projector: Callable[[int], nn.Module],
        augmentation: nn.Module,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        temperature: PositiveFloat,
        sample_rate: PositiveFloat,
        rhythm_weight: PositiveFloat,
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        super().__init__()
        for name, value, right in (
            ("temperature", temperature, "SimCLR's best is 0.1"),
            ("rhythm_weight", rhythm_weight, "objective=simclr is without"),
        ):
            if not value > 0:
                raise ValueError(f"{name} = {value}; it must be positive ({right})")
        self.encoder = encoder
        self.projector = projector(encoder.embedding_dim)  # type: ignore[arg-type]
        self.rhythm = nn.Linear(encoder.embedding_dim, len(FEATURES))  # type: ignore[arg-type]
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.temperature = temperature
        self.sample_rate = sample_rate
        self.rhythm_weight = rhythm_weight
        self.seed = seed
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []
        self._told: list[tuple[Tensor, Tensor]] = []
        if compile:
            for part in (self.augmentation, self.encoder, self.projector):
                part.compile(dynamic=False)

    @torch.no_grad()
    def check(self, n_leads: int, n_points: int) -> None:
        """Embed views of two flat windows, so that what does not fit together shows before any data is opened.

        Raises:
            ValueError: By the part that cannot take windows of this shape.
        """
        views, _ = self.augmentation(torch.zeros(2, n_leads, n_points), torch.zeros(2, n_points, dtype=torch.bool))
        self.eval()  # leaves the statistics of norms alone
        self.encoder(views)
        self.train()

    def training_step(self, batch: EcgBatch, batch_idx: int) -> Tensor:
        """NT-Xent of two fresh views of each window, and how well the rhythm of both is told."""
        part = batch_idx % self.trainer.accumulate_grad_batches
        seed_draws(self.seed, "views", self.global_step, part, self.global_rank)
        views, beat = two_views(self.augmentation, batch)
        embedding = self.encoder(views)  # (2B, D)
        first, second = self.projector(embedding).chunk(2)  # (B, P) each
        contrastive = nt_xent_of_all(self, first, second, self.temperature)
        rhythm, is_known = self._rhythm_loss(*self._tell(embedding, beat))
        loss = contrastive + self.rhythm_weight * rhythm
        for name, value in (("loss", loss), ("contrastive", contrastive), ("rhythm", or_nan(rhythm, is_known))):
            self.log(f"train/{name}", value, sync_dist=self.trainer.world_size > 1)
        return loss

    def _tell(self, embedding: Tensor, beat: Tensor) -> tuple[Tensor, Tensor]:
        """What is told of the rhythm of each view and what is true, (2B, K) each."""
        return self.rhythm(embedding).float(), rhythm_targets(rhythm_features(beat, self.sample_rate))

    def _rhythm_loss(self, told: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """This process's share of the mean over what is defined in the global batch; 0 and False where nothing is."""
        total, n_known = huber_sum(told, true)
        if self.trainer.world_size > 1:
            total = total * self.trainer.world_size  # the mean of the gradients is taken
            n_known = self.all_gather(n_known).sum()  # type: ignore[union-attr]
        return total / n_known.clamp_min(1), n_known > 0

    def validation_step(self, batch: EcgBatch, batch_idx: int) -> None:
        """Embed two views of each window, the same views at every validation and in every process."""
        seed_draws(self.seed, "validation", batch_idx)
        views, beat = two_views(self.augmentation, batch)
        embedding = self.encoder(views)  # (2B, D)
        first, second = self.projector(embedding).float().chunk(2)
        self._validated.append((first, second, embedding.float()))
        self._told.append(self._tell(embedding, beat))

    def on_validation_epoch_end(self) -> None:
        """Log losses and geometry once, over all validation windows: in batches of the training size for NT-Xent."""
        (batches, self._validated), (told, self._told) = (self._validated, []), (self._told, [])
        found = judge_views(batches, self.temperature)
        if not found:
            return
        contrastive = found.pop("loss")
        total, n_known = huber_sum(*(torch.cat(parts) for parts in zip(*told, strict=True)))
        rhythm = total / n_known.clamp_min(1)
        values = {"loss": contrastive + self.rhythm_weight * rhythm, "contrastive": contrastive}
        values["rhythm"] = or_nan(rhythm, n_known > 0)
        logged = {f"val/{name}": value for name, value in (values | found).items()}
        self.log_dict(logged, sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Decay the weights, not norms and biases; step the schedule with every batch."""
        optimizer = self.optimizer(decay_groups([self.encoder, self.projector, self.rhythm]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}
