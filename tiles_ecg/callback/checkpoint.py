"""Checkpoints: the last and the best, each whole or absent, with the encoder alone beside it."""

import errno
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from pydantic import PositiveInt
from safetensors.torch import save_file
from torch import nn

from tiles_ecg.callback.monitor import check_monitor
from tiles_ecg.encoder.encoder_file import ENCODER_FORMAT, ENCODER_FORMAT_VERSION, ExportedEncoder


class CheckpointError(Exception):
    """A checkpoint cannot be written. The message names the file, why, and what can be done."""

    is_user_error = True


class Checkpoint(Callback):
    """Writes `last.ckpt` every so many steps and at the end, `best.ckpt` when the monitored metric improves.

    Each is written under another name and renamed. Where a validation falls on the same step, `last.ckpt` waits for it,
    so that a resumed run logs what the uninterrupted one would have. Beside each checkpoint lies the encoder alone as
    `.safetensors`, whose metadata hold its config and the preprocessing that its input needs. A checkpoint carries the
    resolved config of the run under `config`, and what the metadata hold under `encoder`, in plain types. An encoder
    that wraps another says by `exported()` what is kept of it.

    Args:
        folder: `checkpoints` in the run folder.
        every_n_train_steps: Steps between two `last.ckpt`.
        monitor: Logged metric that decides which is best.
        mode: Whether less or more of it is better.
    """

    def __init__(
        self,
        folder: str,
        every_n_train_steps: PositiveInt,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        self.folder = Path(folder)
        self.every = every_n_train_steps
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self._saved_step = -1

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a metric that no validation will log before the run begins.

        Raises:
            ConfigError: See `check_monitor`.
        """
        check_monitor("callback.checkpoint.monitor", self.monitor, objective)

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best value so far."""
        self.best = state_dict["best"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the run's config, and what a reader of the encoder alone must know."""
        exported = self._exported(pl_module)
        names = {module: name for name, module in pl_module.named_modules()}
        checkpoint["config"] = self._config
        checkpoint["encoder"] = {"prefix": f"{names[exported.network]}.", **self._about(trainer, exported)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the run goes on from need not be saved again."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save `last.ckpt` if it is due and no validation follows."""
        if self._is_due(trainer) and not self._validation_follows(trainer):
            self._save_last(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save `best.ckpt` if the metric improved, and `last.ckpt` if it waited for this."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        logged = trainer.callback_metrics.get(self.monitor)
        value = trainer.strategy.broadcast(None if logged is None else float(logged))  # processes must agree to save
        if value is not None and self._is_better(value):
            self.best = value
            self._save(trainer, pl_module, "best")
        if self._is_due(trainer) and self._is_validated_by_interval(trainer):  # else lightning miscounts when resumed
            self._save_last(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save `last.ckpt` of a run that ended between two savings."""
        if self._saved_step != trainer.global_step:
            self._save_last(trainer, pl_module)

    def _is_due(self, trainer: Trainer) -> bool:
        step = trainer.global_step
        return step != self._saved_step and (step % self.every == 0 or step == trainer.max_steps)

    def _validation_follows(self, trainer: Trainer) -> bool:
        return trainer.enable_validation and (trainer.should_stop or self._is_validated_by_interval(trainer))

    def _is_validated_by_interval(self, trainer: Trainer) -> bool:
        return trainer.global_step % (float(trainer.val_check_batch or 1) / trainer.accumulate_grad_batches) == 0

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return value == value  # not NaN
        return value < self.best if self.mode == "min" else value > self.best

    def _save_last(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, "last")
        self._saved_step = trainer.global_step

    def _save(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        scratch = self.folder / f"{name}.ckpt.tmp"
        try:
            trainer.save_checkpoint(scratch)
            if trainer.is_global_zero:
                exported = self._exported(pl_module)
                about = self._about(trainer, exported)
                metadata = {"encoder": about.pop("architecture"), "step": trainer.global_step, **about}
                save_encoder(self.folder / f"{name}.safetensors", exported.network, metadata)
                os.replace(scratch, self.folder / f"{name}.ckpt")
        except OSError as error:
            scratch.unlink(missing_ok=True)
            advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to the folder"
            raise CheckpointError(
                f"{self.folder / name}.ckpt: not written at step {trainer.global_step} ({error.strerror or error}); "
                f"{advice}, then go on with resume=true"
            ) from error

    @cached_property
    def _config(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.folder.parent / "config.yaml").read_text()))

    def _exported(self, pl_module: LightningModule) -> ExportedEncoder:
        encoder: Any = pl_module.encoder
        return encoder.exported() if hasattr(encoder, "exported") else ExportedEncoder(encoder, self._config["encoder"])

    @staticmethod
    def _about(trainer: Trainer, exported: ExportedEncoder) -> dict[str, Any]:
        windows = trainer.datamodule.windows  # type: ignore[attr-defined]
        first, digests = windows.stores[0], [store.digest for store in windows.stores]
        has_labels = hasattr(trainer.datamodule, "plan")  # type: ignore[attr-defined]
        learns_labels = has_labels and not getattr(trainer.lightning_module, "is_frozen", False)
        return {
            "architecture": exported.architecture,
            "preprocessing": {
                **first.config["preparation"],
                "sample_rate": exported.sample_rate or first.sample_rate,
                "unit": first.unit,
                "n_leads": first.n_leads,
                "normalise": windows.normalise,
            },
            "stores": list(dict.fromkeys([*exported.stores, *digests])),
            "labelled": list(dict.fromkeys([*exported.labelled, *(digests if learns_labels else [])])),
        }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_encoder(path: Path, encoder: nn.Module, metadata: dict[str, Any]) -> None:
    """Write an encoder's weights as safetensors, whole or not at all.

    Args:
        path: The file to be.
        encoder: Its state dict is written.
        metadata: JSON-able; each value becomes a JSON text in the file's metadata.
    """
    about = {"format": ENCODER_FORMAT, "format_version": ENCODER_FORMAT_VERSION}
    about |= {key: json.dumps(value) for key, value in metadata.items()}
    weights = {name: tensor.detach().contiguous().cpu() for name, tensor in encoder.state_dict().items()}
    scratch = path.with_name(f"{path.name}.tmp")
    save_file(weights, scratch, about)
    scratch.chmod(0o666 & ~_umask())  # safetensors makes it private
    os.replace(scratch, path)
