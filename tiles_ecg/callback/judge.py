"""Judge: when everything is chosen, the best weights predict the test side of the fold, once."""

import json
import logging
import math
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from tiles_ecg import console
from tiles_ecg.callback.checkpoint import Checkpoint
from tiles_ecg.checkpoint_file import BEST, CheckpointError, read_checkpoint
from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import PROTOCOL_FILE
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.evaluation.audit import Check, require
from tiles_ecg.evaluation.candidate import Candidate, named_paths
from tiles_ecg.evaluation.controls import FROM_SCRATCH, UNTRAINED
from tiles_ecg.evaluation.fold_table import CLASS_COLUMNS, METRIC_COLUMNS, class_rows, metric_rows
from tiles_ecg.evaluation.metric import metrics_of, value
from tiles_ecg.evaluation.outcome import Outcome, outcome
from tiles_ecg.evaluation.predictions import Method, Predictions
from tiles_ecg.evaluation.pretraining import audit_encoder
from tiles_ecg.evaluation.verdict import verdict
from tiles_ecg.objective.finetune import FineTune

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Windows that fit into a CPU's cache together."""


class Judge(Callback):
    """Writes `protocol.json` when a run begins, and `predictions/` when it has ended.

    The weights are those of `best.ckpt`, which inner validation chose, or the last where nothing chose. Until then the
    test windows are sealed. A run resumed after its end writes the same again.

    Args:
        folder: The run folder.
        name: Of the encoder in tables; null: that of its run folder, or what it is a control as.
        path: Where a pre-trained encoder comes from.
        pretraining: Stores of its pre-training, where they are no longer where its run says.
        seed: Of the run.

    Attributes:
        summary: `test/<metric>` of the fold, once it is judged.
    """

    def __init__(
        self,
        folder: str,
        name: str | None = None,
        path: str | None = None,
        pretraining: list[str] | None = None,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.folder = Path(folder)
        self.name = name
        self.path = path
        self.pretraining = list(pretraining or [])
        self.seed = seed
        self.summary: dict[str, float] = {}

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Audit what the encoder was pre-trained on, before the run begins.

        Raises:
            ConfigError: If there is no task to judge by.
            LeakError: If its pre-training saw recordings that are judged on, and this is not accepted.
        """
        if not isinstance(datamodule, TaskDataModule) or not isinstance(objective, FineTune):
            raise ConfigError("callback.judge: there is no task to judge by; give objective=finetune, probe or fusion")
        self._data, self._objective = datamodule, objective
        about = getattr(objective.encoder, "about", None)
        path = self.path
        if getattr(objective.encoder, "is_fresh", False):
            about = path = None  # its weights are of no pre-training
        self.method = self._method(about is not None, path)
        checks: list[Check] = []
        if about is not None:
            candidate = Candidate(self.method.encoder, objective.encoder, datamodule.windows, about.architecture, about)
            checks = audit_encoder(candidate, self.pretraining, datamodule.windows, datamodule.plan)
            require(checks, datamodule.accept)
        self._checks = [*datamodule.checks, *checks]

    def _method(self, is_pretrained: bool, path: str | None) -> Method:
        head, data = self._objective.method, self._data
        control = UNTRAINED if self._objective.is_frozen else FROM_SCRATCH
        named = next(iter(named_paths([path])), control) if path is not None else control
        role = "encoder" if is_pretrained else "control"
        return Method(self.name or named, head, role, data.n_subjects, data.draw)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Write what was agreed on into the run folder, which has just been made."""
        self._write(is_finished=False)
        plan, data = self._data.plan, self._data
        sides = (data.train_examples, data.val_examples, data.test_examples)
        n_subjects = [len(np.unique(plan.group[examples])) for examples in sides]
        log.info(
            "%s, protocol %s, fold %d of %d: trained on %d subjects, chosen by %d, judged on %d",
            plan.target.name, plan.hash, data.fold_number, len(plan.folds), *n_subjects,
        )  # fmt: skip

    def _write(self, is_finished: bool) -> None:
        plan, about = self._data.plan, getattr(self._objective.encoder, "about", None)
        command = ["tiles-train", *console.overrides()] if HydraConfig.initialized() else []
        known = ("step", "digest", "architecture", "preprocessing")
        encoder = {} if about is None else {"path": str(about.path), **{key: getattr(about, key) for key in known}}
        content = {
            "hash": plan.hash,
            "about": plan.about,
            "notes": [*plan.notes, *self._data.notes],
            "checks": [vars(check) for check in self._checks],
            "accepted": self._data.accept,
            "encoders": {self.method.encoder: encoder} if encoder else {},
            "command": shlex.join(command),
            "fold": self._data.fold_number,
            "job": {"fine-tuned": "finetune", "fusion": "fusion"}.get(self.method.head, "probe"),
            "finished": is_finished,
        }
        scratch = self.folder / f"{PROTOCOL_FILE}.tmp"
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(scratch, self.folder / PROTOCOL_FILE)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell W&B the protocol."""
        for logger in trainer.loggers:
            if hasattr(logger, "log_facts") and trainer.is_global_zero:
                logger.log_facts({"protocol_hash": self._data.plan.hash})

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the protocol's hash and the fold."""
        checkpoint["protocol"] = {"hash": self._data.plan.hash, "fold": self._data.fold_number}

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load what was chosen, open the test side, predict, and write it down.

        A run that was over when it was resumed gets here without a step.
        """
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, FineTune)
        notes = (*self._data.notes, self._load_chosen(trainer, pl_module))
        pl_module.to(trainer.strategy.root_device).eval()
        data = self._data
        has_validation = len(data.val_examples) > 0
        validation = self._predict(pl_module, data.val_examples) if has_validation else None
        data.open_test()
        test = self._predict(pl_module, data.test_examples)
        found = verdict(data.plan, test, validation, self.method, data.fold_number, self.seed, notes)
        found.save(self.folder / "predictions")
        self._tell(trainer, found, test)
        self._write(is_finished=True)

    def _load_chosen(self, trainer: Trainer, pl_module: FineTune) -> str:
        """Put the best weights into place; which they are, in words."""
        saved = next((c for c in trainer.callbacks if isinstance(c, Checkpoint)), None)  # type: ignore[attr-defined]
        fold = f"fold {self._data.fold_number}, seed {self.seed}"
        if saved is None or saved.best is None:
            return f"{fold}: judged as it was after its last step, {trainer.global_step}"
        best = self._read_best(saved)
        pl_module.load_state_dict(best["state_dict"])
        return f"{fold}: judged as it was after step {best['global_step']}, when {saved.monitor} was best"

    @staticmethod
    def _read_best(saved: Checkpoint) -> dict[str, Any]:
        try:
            return read_checkpoint(saved.folder / BEST)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}: the weights that {saved.monitor} chose are lost; train again in another folder"
            ) from error

    def _predict(self, pl_module: FineTune, examples: NDArray[np.int64]) -> Outcome:
        target = self._data.plan.target
        windows = target.windows_of(examples)
        rows = target.row[windows]
        parts = []
        for at in range(0, len(rows), AT_ONCE):
            batch = self._data.gather(rows[at : at + AT_ONCE])
            batch = type(batch)(*(part.to(pl_module.device) for part in batch))
            parts.append(pl_module.predict_step(batch).cpu().numpy())
        return outcome(target, np.concatenate(parts), windows)

    def _tell(self, trainer: Trainer, found: Predictions, test: Outcome) -> None:
        values = {f"test/{each.name}": value(each, found) for each in metrics_of(found.kind)}
        self.summary = {name: number for name, number in values.items() if math.isfinite(number)}
        tables = (
            ("tables/test", METRIC_COLUMNS, metric_rows(found)),
            ("tables/test_classes", CLASS_COLUMNS, class_rows(found)),
        )
        for logger in trainer.loggers:
            logger.log_metrics({f"test/{found.metric}": test.primary}, step=trainer.global_step)
            for key, columns, rows in tables:
                if rows and hasattr(logger, "log_rows"):
                    logger.log_rows(key, columns, rows, trainer.global_step)
        n_subjects = len(np.unique(found.subject))
        log.info(
            "%s %.3f on %d %s of %d subjects not trained on (%s; one fold: tiles-report puts them together)",
            found.metric,
            test.primary,
            len(found),
            "pairs" if found.kind == "verification" else "examples",
            n_subjects,
            self.method.title,
        )
