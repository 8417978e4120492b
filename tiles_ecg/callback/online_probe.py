"""Online probe: what a linear probe reads from the embeddings of subjects that are not trained on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.loader import spread
from tiles_ecg.dataset.windows import Windows

log = logging.getLogger(__name__)

WINDOWS_AT_ONCE = 64
"""What fits into a CPU's cache: 256 at once are slower, and take four times the memory."""


@dataclass(frozen=True)
class _Target:
    """A label of the windows chosen for the probe: rows to fit on, rows to judge by, targets of both (rows, K)."""

    name: str
    metric: str
    fit_rows: NDArray[np.int64]
    fit_value: Tensor
    val_rows: NDArray[np.int64]
    val_value: Tensor


class OnlineProbe(Callback):
    """Fits a ridge regression from frozen embeddings of training subjects, judges it on validation subjects.

    Done before the first step (the encoder untrained), at every validation, and told at the end. Classes are judged by
    AUROC, one against the rest, averaged over those that occur; numbers by the coefficient of determination; identity
    by whether the nearest window of another recording is of the same subject. It is a sign of life, not an evaluation:
    it has no controls and no intervals.

    Args:
        labels: Labels of the store, or `heart_rate`, which every store knows from its beats.
        n_windows: Largest number of training windows to fit on, evenly spread.
        ridge: Penalty relative to the number of windows, on standardised embeddings.
        identify: Whether validation subjects are told apart by their nearest neighbour too.
    """

    def __init__(
        self, labels: Sequence[str], n_windows: PositiveInt = 1024, ridge: PositiveFloat = 1e-3, identify: bool = True
    ) -> None:
        self.labels = list(labels)
        self.n_windows = n_windows
        self.ridge = ridge
        self.identify = identify
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self._targets: list[_Target] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What the untrained encoder reached."""
        return {"first": self.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what the untrained encoder reached."""
        self.first = state_dict["first"]

    @property
    def summary(self) -> dict[str, float]:
        """`untrained/<probe>`: what the untrained encoder reached, to stand beside what the trained one does."""
        return {f"untrained/{name.removeprefix('probe/')}": value for name, value in self.first.items()}

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a label that no store has before the run begins.

        Raises:
            ConfigError: If there is one; it lists those there are.
        """
        windows: Windows = datamodule.windows
        known = sorted({"heart_rate", *windows.label_names})
        problems = [
            f"callback.online_probe.labels = {name}: no store has this label; there are {', '.join(known)}"
            for name in self.labels
            if name not in known
        ]
        if problems:
            raise ConfigError(problems)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the untrained encoder."""
        if trainer.global_step == 0:
            self.first = self._judge(trainer, pl_module)
            for logger in trainer.loggers:
                logger.log_metrics(self.first, step=0)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the encoder as it is, and log it with the validation."""
        if not trainer.sanity_checking:
            self.last = self._judge(trainer, pl_module)
            pl_module.log_dict(self.last, sync_dist=trainer.world_size > 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what was learned."""
        if not trainer.is_global_zero or not self.last:
            return
        n_subjects = len(np.unique(trainer.datamodule.windows.subject[trainer.datamodule.val_rows]))  # type: ignore[attr-defined]
        whom = f"{n_subjects} subject{'s' * (n_subjects != 1)} not trained on"
        lines = [f"{f'linear probe on {whom}':<47} untrained   trained"]
        lines += [
            f"  {key:<45} {self.first.get(key, float('nan')):>9.3f} {value:>9.3f}" for key, value in self.last.items()
        ]
        log.info("%s", "\n".join(lines))

    def _judge(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        if len(datamodule.val_rows) == 0:
            return {}
        if self._targets is None:
            self._targets = self._prepare_targets(datamodule)
        embedded: dict[int, Tensor] = {}
        found = {}
        was_training = pl_module.encoder.training  # type: ignore[union-attr]
        pl_module.encoder.eval()  # type: ignore[union-attr]
        for target in self._targets:
            fit, val = (
                self._embed(datamodule, pl_module, rows, embedded) for rows in (target.fit_rows, target.val_rows)
            )
            predicted = ridge_predictions(fit, target.fit_value.to(fit.device), val, self.ridge).cpu()
            score = _r2 if target.metric == "r2" else _auroc
            found[f"probe/{target.name}_{target.metric}"] = score(predicted, target.val_value)
        if self.identify:
            embedding = self._embed(datamodule, pl_module, datamodule.val_rows, embedded)
            windows = datamodule.windows
            top1 = identification(
                embedding, windows.subject[datamodule.val_rows], windows.recording[datamodule.val_rows]
            )
            if top1 is not None:
                found["probe/subject_top1"] = top1
        pl_module.encoder.train(was_training)  # type: ignore[union-attr]
        return found

    @torch.no_grad()
    def _embed(
        self, datamodule: Any, pl_module: LightningModule, rows: NDArray[np.int64], known: dict[int, Tensor]
    ) -> Tensor:
        new = np.array([row for row in rows.tolist() if row not in known], np.int64)
        for at in range(0, len(new), WINDOWS_AT_ONCE):
            chosen = new[at : at + WINDOWS_AT_ONCE]
            signal = datamodule.gather(chosen).signal.to(pl_module.device)
            embedding = pl_module.encoder(signal).float()  # type: ignore[operator]
            known.update(zip(chosen.tolist(), embedding, strict=True))
        return torch.stack([known[row] for row in rows.tolist()])

    def _prepare_targets(self, datamodule: Any) -> list[_Target]:
        windows: Windows = datamodule.windows
        fit_rows, val_rows = spread(datamodule.train_rows, self.n_windows), datamodule.val_rows
        targets = []
        for name in self.labels:
            metric, values = _values(windows, name, np.concatenate([fit_rows, val_rows]))
            fit, val = (rows[np.isfinite(values[rows]).all(1)] for rows in (fit_rows, val_rows))
            if len(fit) < 2 or len(val) < 2:
                log.warning("the online probe leaves out %s: it is missing on one side of the split", name)
                continue
            targets.append(
                _Target(name, metric, fit, torch.from_numpy(values[fit]), val, torch.from_numpy(values[val]))
            )
        return targets


def ridge_predictions(fit: Tensor, target: Tensor, other: Tensor, penalty: float) -> Tensor:
    """Predictions of a ridge regression with intercept, on embeddings standardised by those it is fitted on.

    Args:
        fit: (N, D) embeddings to fit on.
        target: (N, K).
        other: (M, D) embeddings to predict for.
        penalty: Times N is added to the diagonal of the Gram matrix.

    Returns:
        (M, K).
    """
    mean, scale = fit.mean(0), fit.std(0).clamp_min(1e-6)
    x, z = ((part - mean).div(scale).double() for part in (fit, other))
    centre = target.double().mean(0)
    gram = x.T @ x + penalty * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights: Tensor = torch.linalg.solve(gram, x.T @ (target.double() - centre))
    return (z @ weights + centre).float()


def identification(embedding: Tensor, subject: NDArray[np.int64], recording: NDArray[np.int64]) -> float | None:
    """Share of windows whose nearest window (cosine) of another recording is of the same subject.

    Args:
        embedding: (M, D).
        subject: (M,).
        recording: (M,).

    Returns:
        The share, over the windows whose subject has another recording; None if there are none, or one subject only.
    """
    subject_of, recording_of = torch.from_numpy(subject), torch.from_numpy(recording)
    other = recording_of[:, None] != recording_of
    asked = ((subject_of[:, None] == subject_of) & other).any(1)
    if not asked.any() or len(np.unique(subject)) < 2:
        return None
    unit = torch.nn.functional.normalize(embedding.float().cpu() - embedding.float().cpu().mean(0), dim=1)
    nearest = (unit @ unit.T).masked_fill(~other, -torch.inf).argmax(1)
    return float((subject_of[nearest] == subject_of)[asked].float().mean())


def _values(windows: Windows, name: str, needed: NDArray[np.int64]) -> tuple[str, NDArray[np.float32]]:
    """The metric and (N, K) targets of a label, NaN where missing; a heart rate from beats only for the rows needed."""
    if name == "heart_rate" and not windows.has_label(name):
        rate = np.full((len(windows), 1), np.nan, np.float32)
        rate[needed, 0] = windows.heart_rate(needed)
        return "r2", rate
    label = windows.label(name)
    if label.spec.kind == "continuous":
        return "r2", label.value.astype(np.float32)[:, None]
    value = label.value.astype(np.float32)
    if label.spec.kind == "categorical":
        value = (label.value[:, None] == np.arange(len(label.spec.classes))).astype(np.float32)
    value[label.is_missing] = np.nan
    return "auroc", value


def _r2(predicted: Tensor, target: Tensor) -> float:
    spread_of_target = (target - target.mean(0)).square().sum()
    if spread_of_target == 0:
        return float("nan")  # all the same: there is nothing to explain
    return float(1 - (predicted - target).square().sum() / spread_of_target)


def _auroc(predicted: Tensor, target: Tensor) -> float:
    scores = [
        binary_auroc(predicted[:, k], target[:, k].int())
        for k in range(target.shape[1])
        if 0 < int(target[:, k].sum()) < len(target)
    ]
    return float(torch.stack(scores).mean()) if scores else float("nan")
