"""Fine-tuning: an encoder and a head learn a task's labels, or the head alone from a frozen encoder."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from pydantic import NonNegativeInt
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tiles_ecg.config import ConfigError
from tiles_ecg.config_types import PositiveShare
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.loader import spread
from tiles_ecg.dataset.streams import Streams, stream_values
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.evaluation.outcome import Outcome, outcome
from tiles_ecg.objective.known_values import KnownValues
from tiles_ecg.objective.supervised_loss import ClassWeight, SupervisedLoss
from tiles_ecg.optimizer.layer_decay import layer_decay_groups, scale_rates
from tiles_ecg.seeding import derive_seed, seed_draws

log = logging.getLogger(__name__)

MOST_STANDARDISED = 2048
"""Training windows, evenly spread, by which a linear head of a frozen encoder is standardised."""
AT_ONCE = 64


class FineTune(LightningModule):
    """Supervised training on the windows of a task; see `TaskDataModule` for who is trained on and chosen by.

    What depends on the task (head, loss, values) is built by `build_for`, before the run begins.

    Args:
        encoder: (B, C, T) -> (B, D), with an `embedding_dim`; pre-trained, or fresh for training from scratch.
        head: Called with D, the number of outputs and the numbers of each stream; gives the module (embedding, stream)
            -> (B, K).
        augmentation: (signal, beat) -> (signal, beat), in training only.
        optimizer: Called with parameter groups.
        scheduler: Called with the optimizer, stepped after every training step.
        streams: What else is known of a window: labels of the store, or `heart_rate`.
        is_frozen: Whether the encoder stays as it is: no gradient, no dropout, no batch statistics.
        layer_decay: Factor on the learning rate from each layer to the one before, counted from the head.
        class_weight: See `SupervisedLoss`.
        seed: Of the head's first weights, of views and dropout.
    """

    VALIDATED: tuple[str, ...] = ("val/loss", "val/selection")
    """What a validation logs, beside the task's own metric."""

    def __init__(
        self,
        encoder: nn.Module,
        head: Callable[[int, int, Sequence[int]], nn.Module],
        augmentation: nn.Module,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler],
        streams: Sequence[str] = (),
        is_frozen: bool = False,
        layer_decay: PositiveShare = 1.0,
        class_weight: ClassWeight | None = "balanced",
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"layer_decay = {layer_decay}: choose a factor above 0, at most 1 (the same rate everywhere)"
            )
        self.encoder = encoder.requires_grad_(not is_frozen)
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.stream_names = list(streams)
        self.is_frozen = is_frozen
        self.layer_decay = layer_decay
        self.class_weight = class_weight
        self.seed = seed
        self._head = head
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []
        self._falls_back = False

    @property
    def method(self) -> str:
        """How the embedding becomes a prediction, for tables."""
        if self.stream_names:
            return "fusion"
        return "linear (trained)" if self.is_frozen else "fine-tuned"

    @torch.no_grad()
    def check(self, n_leads: int, n_points: int) -> None:
        """Embed flat windows, so that what does not fit together shows before any data is opened.

        Raises:
            ValueError: By the part that cannot take windows of this shape.
        """
        flat = torch.zeros(2, n_leads, n_points)
        view, _ = self.augmentation(flat, torch.zeros(2, n_points, dtype=torch.bool))
        self.eval()  # leaves the statistics of norms alone
        self.encoder(view)
        self.encoder(flat)
        self.train()

    def build_for(self, datamodule: Any) -> None:
        """Build head and loss for what a task asks, and look up its values.

        Only training and validation windows have values here; those of the test side cannot be looked up.

        Args:
            datamodule: A `TaskDataModule`.

        Raises:
            ConfigError: If it is none, the streams do not exist, or head and task do not go together.
        """
        if not isinstance(datamodule, TaskDataModule):
            raise ConfigError(
                f"dataset = {type(datamodule).__name__}: fine-tuning needs a task's windows; give dataset=task"
            )
        windows, target = datamodule.windows, datamodule.plan.target
        self._refuse(target.kind, getattr(datamodule.task, "label", None))
        self.loss = SupervisedLoss(target, datamodule.train_examples, self.class_weight)
        streams = stream_values(windows, self.stream_names)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "head"))
            try:
                self.head = self._head(self.encoder.embedding_dim, self.loss.n_outputs, streams.columns)  # type: ignore[arg-type]
            except ValueError as error:
                raise ConfigError(f"objective.head: {error}") from error
        self.known = KnownValues(
            target, datamodule.train_examples, datamodule.val_examples, self.loss.codes(target.value), streams.value
        )
        self.VALIDATED = (*FineTune.VALIDATED, f"val/{target.metric}")
        if streams.names:
            self._standardise_streams(datamodule, streams)

    def _refuse(self, kind: str, label: str | None) -> None:
        if kind == "verification" and (self.is_frozen or self.stream_names):
            raise ConfigError(
                "task: people are told apart by the encoder's embedding, which a frozen encoder or a fusion would not "
                "change; choose objective=finetune, or tiles-evaluate for the encoder as it is"
            )
        if label is not None and label in self.stream_names:
            raise ConfigError(f"objective.streams = {label}: it is what is predicted; leave it out")

    def _standardise_streams(self, datamodule: TaskDataModule, streams: Streams) -> None:
        known = streams.value[datamodule.train_rows]
        self.head.standardise_streams(torch.from_numpy(known))  # type: ignore[operator]
        first = np.cumsum([0, *streams.columns[:-1]])
        for name, at in zip(streams.names, first, strict=True):
            if np.isnan(known[:, at]).all():
                log.warning("objective.streams = %s: missing in every training window, so it adds nothing", name)

    def setup(self, stage: str) -> None:
        """Build head and loss, where that was not done before."""
        if not hasattr(self, "head"):
            self.build_for(self.trainer.datamodule)  # type: ignore[attr-defined]

    def train(self, mode: bool = True) -> "FineTune":
        """Training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Standardise a linear head by the embeddings of training windows, which a frozen encoder does not change."""
        if not self.is_frozen or not hasattr(self.head, "standardise"):
            return
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        rows = spread(datamodule.train_rows, MOST_STANDARDISED)
        batches = (datamodule.gather(rows[at : at + AT_ONCE]).signal for at in range(0, len(rows), AT_ONCE))
        self.head.standardise(torch.cat([self.embed(signal.to(self.device)).float() for signal in batches]))  # type: ignore[operator]

    def embed(self, signal: Tensor) -> Tensor:
        """(B, C, T) -> (B, D); without a gradient where the encoder is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            embedding: Tensor = self.encoder(signal)
        return embedding

    def training_step(self, batch: EcgBatch, batch_idx: int) -> Tensor:
        """Mean weighted loss of the batch."""
        part = batch_idx % self.trainer.accumulate_grad_batches
        seed_draws(self.seed, "views", self.global_step, part, self.global_rank)
        with torch.no_grad():
            signal, _ = self.augmentation(batch.signal, batch.beat)  # (B, C, T')
        output = self.head(self.embed(signal), self.known.stream[batch.index])
        loss: Tensor = (self.loss(output, self.known.value[batch.index]) * self.known.weight[batch.index]).mean()
        self.log("train/loss", loss, sync_dist=self.trainer.world_size > 1)
        return loss

    def predict_step(self, batch: EcgBatch, batch_idx: int = 0) -> Tensor:
        """(B, K) probabilities or numbers in the target's unit; (B, D) embeddings where people are told apart."""
        embedding = self.embed(batch.signal)
        if self.loss.kind == "verification":
            return embedding.float()
        prediction: Tensor = self.loss.prediction(self.head(embedding, self.known.stream[batch.index]))
        return prediction

    def validation_step(self, batch: EcgBatch, batch_idx: int) -> None:
        """Keep predictions and losses until the epoch ends."""
        embedding = self.embed(batch.signal)
        if self.loss.kind == "verification":  # nobody here was trained on: there is no class to be right about
            self._validated.append((batch.index, embedding.float(), torch.zeros_like(batch.index, dtype=torch.float32)))
            return
        output = self.head(embedding, self.known.stream[batch.index])
        loss = self.loss(output, self.known.value[batch.index])
        self._validated.append((batch.index, self.loss.prediction(output), loss))

    def on_validation_epoch_end(self) -> None:
        """Log the task's metric and the loss once, over all validation examples, and what is chosen by."""
        batches, self._validated = self._validated, []
        if not batches:
            return
        index, prediction, loss = (torch.cat(parts) for parts in zip(*batches, strict=True))
        target = self.trainer.datamodule.plan.target  # type: ignore[attr-defined]
        windows = np.searchsorted(target.row, index.cpu().numpy())
        found = outcome(target, prediction.cpu().numpy(), windows)
        weight = self.known.weight[index]
        mean_loss = -found.worth if target.kind == "verification" else float((loss * weight).sum() / weight.sum())
        values = {"val/loss": mean_loss, "val/selection": self._selection(found, mean_loss)}
        values[f"val/{target.metric}"] = found.primary
        self.log_dict(values, sync_dist=self.trainer.world_size > 1)

    def _selection(self, found: Outcome, mean_loss: float) -> float:
        """More is better: the signed metric, or the loss (of people: NaN) where validation cannot tell them apart."""
        if found.is_definable:
            return found.worth
        if not self._falls_back:
            self._falls_back = True
            is_loss = found.target.kind != "verification"
            log.warning(
                "%s has no value on the validation subjects (their truth is all the same): %s",
                found.target.metric,
                "the loss chooses instead" if is_loss else "nothing can be chosen by them, the last step is judged",
            )
        return -mean_loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Decay the weights, not norms and biases; slow the layers near the input; step the schedule every batch."""
        optimizer = self.optimizer(layer_decay_groups(self.encoder, self.head, self.layer_decay))
        scale_rates(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}
