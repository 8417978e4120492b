"""Checkpoints: the last, the one before and the best, each whole or absent, with the encoder alone beside it."""

import errno
import logging
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from pydantic import PositiveInt

from tiles_ecg.callback.checkpoint_writer import CheckpointWriter, WriteFailure
from tiles_ecg.callback.monitor import check_monitor
from tiles_ecg.checkpoint_file import BEST, LAST, CheckpointError
from tiles_ecg.encoder.encoder_file import ExportedEncoder
from tiles_ecg.fingerprint import kept

log = logging.getLogger(__name__)


class Checkpoint(Callback):
    """Writes `last.ckpt` every so many steps and at the end, `best.ckpt` when the monitored metric improves.

    Training waits while the state is copied; a thread writes it, under another name, and renames it. The former
    `last.ckpt` stays as `previous.ckpt`. Where a validation falls on the same step, `last.ckpt` waits for it, so that a
    resumed run logs what the uninterrupted one would have. Beside each checkpoint lies the encoder alone as
    `.safetensors`, whose metadata hold its config and the preprocessing that its input needs. A checkpoint carries the
    resolved config of the run under `config`, and what the metadata hold under `encoder`, in plain types. An encoder
    that wraps another says by `exported()` what is kept of it.

    What cannot be written (`CheckpointError`) is told at the next save, or when the run ends.

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
        self.saved_step = -1
        self._began_at = -1
        self._is_requested = False
        self._writer = CheckpointWriter()

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a metric that no validation will log before the run begins.

        Raises:
            ConfigError: See `check_monitor`.
        """
        check_monitor("callback.checkpoint.monitor", self.monitor, objective)

    def begin(self) -> None:
        """Remove what a killed run left half-written."""
        for scratch in self.folder.glob("*.tmp"):
            scratch.unlink(missing_ok=True)

    @property
    def summary(self) -> dict[str, float]:
        """The best value, for the run's record."""
        return {} if self.best is None else {f"best/{self.monitor}": self.best}

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have Lightning save by our writer."""
        if stage == "fit":
            trainer.strategy.checkpoint_io = self._writer

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the run goes on from need not be saved again."""
        self.saved_step = trainer.global_step

    def request(self) -> None:
        """Have `last.ckpt` saved as soon as a run can go on from it, whatever the interval."""
        self._is_requested = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Let the checkpoint of the step before appear, now that all of that step is logged."""
        self._began_at = trainer.global_step
        self._release(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save `last.ckpt` if it is due and no validation follows; not while gradients are still being gathered."""
        is_step = trainer.global_step != self._began_at
        if is_step and self._is_due(trainer) and not self._validation_follows(trainer):
            self._save(trainer, [LAST])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save `best.ckpt` if the metric improved, and `last.ckpt` if it waited for this."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        logged = trainer.callback_metrics.get(self.monitor)
        value = trainer.strategy.broadcast(None if logged is None else float(logged))  # processes must agree to save
        due = []
        if value is not None and self._is_better(value):
            self.best = value
            due.append(BEST)
        if self._is_due(trainer) and self._is_validated_by_interval(trainer):  # else lightning miscounts when resumed
            due.append(LAST)
        if due:
            self._save(trainer, due)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save `last.ckpt` of a run that ended between two savings, and wait until it is written."""
        if self.saved_step != trainer.global_step:
            self._save(trainer, [LAST])
        self.finish(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Wait for what is being written; what is not logged in full is dropped."""
        self._writer.discard()
        failure = self._writer.wait()
        if failure is not None and failure.error is not exception:
            log.error("%s", _told(failure))

    def finish(self, trainer: Trainer) -> None:
        """Wait until what was saved is written, on all ranks.

        Raises:
            CheckpointError: On all ranks, if it cannot be.
        """
        self._release(trainer)
        failure = self._writer.wait()
        told = trainer.strategy.broadcast(None if failure is None else _told(failure))
        if told is None:
            return
        if failure is not None and not isinstance(failure.error, OSError):
            raise failure.error
        raise CheckpointError(told) from (failure.error if failure else None)

    def _release(self, trainer: Trainer) -> None:
        if self._writer.waits_for_release:
            for logger in trainer.loggers:
                logger.save()
            self._writer.release()

    def _is_due(self, trainer: Trainer) -> bool:
        step = trainer.global_step
        is_time = self._is_requested or step % self.every == 0 or step == trainer.max_steps
        return is_time and step != self.saved_step

    def _validation_follows(self, trainer: Trainer) -> bool:
        return trainer.enable_validation and (trainer.should_stop or self._is_validated_by_interval(trainer))

    def _is_validated_by_interval(self, trainer: Trainer) -> bool:
        return trainer.global_step % (float(trainer.val_check_batch or 1) / trainer.accumulate_grad_batches) == 0

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return value == value  # not NaN
        return value < self.best if self.mode == "min" else value > self.best

    def _save(self, trainer: Trainer, names: list[str]) -> None:
        self.finish(trainer)
        first, *others = (self.folder / name for name in names)
        trainer.save_checkpoint(first, weights_only=False, storage_options=others)
        if LAST in names:
            self.saved_step = trainer.global_step
            self._is_requested = False

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
        sources = frozenset().union(*(store.fingerprints for store in windows.stores))
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
            "sources": kept(exported.sources | sources),
            "labelled_sources": kept(exported.labelled_sources | (sources if learns_labels else frozenset())),
            "source": exported.source,
            "protocol": trainer.datamodule.plan.hash if has_labels else "",  # type: ignore[attr-defined]
        }


def _told(failure: WriteFailure) -> str:
    error = failure.error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "make room" if is_full else "see to the folder"
    return f"{failure.path}: not written at step {failure.step} ({reason}); {advice}, then go on with resume=true"
