"""TaskDataModule: stores and a task -> batches to train on, to choose by and, at the very end, to judge on."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from tiles_ecg.config import ConfigError
from tiles_ecg.config_types import Probability
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.held import HeldWindows
from tiles_ecg.dataset.loader import EvalLoader, TrainLoader, train_loader
from tiles_ecg.dataset.windows import Normalise, Windows
from tiles_ecg.protocol import Fold, Plan, Protocol
from tiles_ecg.task.target import Task

log = logging.getLogger(__name__)


class TaskDataModule(LightningDataModule):
    """Windows of a task for a Trainer, by one fold of a protocol.

    Training and validation windows are those of the fold's first inner pair. The windows of its test side are sealed:
    `gather` refuses them until `open_test` is called, after everything is chosen.

    Args:
        store: A store or a list of them.
        task: What is predicted.
        protocol: How the subjects are divided.
        batch_size: Windows a step, over all devices together; fewer where there are not so many to train on.
        sample_rate: Hz; must be the stores'.
        window_s: Length of a window; must be the stores'.
        n_leads: C; must be the stores'.
        fold: Number of the outer fold that is judged on.
        n_subjects: Training subjects that have labels; null means all. Below four, none is left to choose by.
        draw: Number of the draw of those subjects; 0 where all have labels.
        normalise: See `Windows`.
        min_quality: Windows of less quality are not used.
        on_device: Whether the windows are held on the device: `auto` on a GPU where they fit.
        accept: Names of checks of the leak audit that may fail.
        seed: Of the order.

    Raises:
        ConfigError: If there is no task, or a draw without a number of subjects.
    """

    def __init__(
        self,
        store: str | Sequence[str] | None,
        task: Task | None,
        protocol: Protocol,
        batch_size: PositiveInt,
        sample_rate: PositiveFloat,
        window_s: PositiveFloat,
        n_leads: PositiveInt,
        fold: NonNegativeInt = 0,
        n_subjects: PositiveInt | None = None,
        draw: NonNegativeInt = 0,
        normalise: Normalise = "subject",
        min_quality: Probability = 0.0,
        on_device: Literal["auto"] | bool = "auto",
        accept: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if task is None:
            raise ConfigError("task = null: fine-tuning needs to know what is predicted; give task=NAME")
        if draw and n_subjects is None:
            raise ConfigError(
                f"dataset.draw = {draw}: all training subjects have labels, so that none are drawn; give "
                "dataset.n_subjects, or dataset.draw=0"
            )
        self._held = HeldWindows(store, sample_rate, window_s, n_leads, normalise, on_device)
        self.task = task
        self.protocol = protocol
        self.batch_size = batch_size
        self.fold_number = fold
        self.n_subjects = n_subjects
        self.draw = draw
        self.min_quality = min_quality
        self.accept = list(accept)
        self.seed = seed
        self._plan: Plan | None = None
        self._is_open = False

    @property
    def windows(self) -> Windows:
        """All windows of the stores, opened and divided on first use.

        Raises:
            StoreError: If a store cannot be read.
            ConfigError: If the stores are not what the config says, or there is no such fold.
            TaskError: If the task cannot be judged on them.
            LeakError: If the audit fails.
        """
        if self._plan is None:
            self._divide(self._held.windows)
        return self._held.windows

    @property
    def plan(self) -> Plan:
        """Who is trained on, chosen by and judged on."""
        assert len(self.windows)  # divided
        assert self._plan is not None
        return self._plan

    def _divide(self, windows: Windows) -> None:
        from tiles_ecg.evaluation.audit import require
        from tiles_ecg.evaluation.planning import plan_for

        plan, self.checks = plan_for(windows, self.task, self.protocol, self.min_quality)
        require(self.checks, self.accept)
        if self.fold_number >= len(plan.folds):
            raise ConfigError(
                f"dataset.fold = {self.fold_number}: the protocol has {len(plan.folds)} folds; choose 0 to "
                f"{len(plan.folds) - 1}"
            )
        self.fold, self.notes = self._labelled(plan)
        train, validation = self.fold.inner[0] if self.fold.inner else (self.fold.train, np.zeros(0, np.int64))
        self.train_examples, self.val_examples, self.test_examples = train, validation, self.fold.test
        rows = [plan.target.row[plan.target.windows_of(examples)] for examples in (train, validation, self.fold.test)]
        self.train_rows, self.val_rows, self.test_rows = rows
        self._is_test = np.zeros(len(windows), bool)
        self._is_test[self.test_rows] = True
        if len(self.train_rows) < self.batch_size:
            log.info(
                "dataset.batch_size = %d: reduced to all %d training windows", self.batch_size, len(self.train_rows)
            )
            self.batch_size = len(self.train_rows)
        self._plan = plan

    def _labelled(self, plan: Plan) -> tuple[Fold, list[str]]:
        """The fold, with labels for some of its subjects, and what is to be said of that."""
        from tiles_ecg.evaluation.low_label import few_labels

        if self.n_subjects is None:
            return plan.folds[self.fold_number], []
        n_most = len(np.unique(plan.group[plan.folds[self.fold_number].train]))
        if self.n_subjects > n_most:
            raise ConfigError(
                f"dataset.n_subjects = {self.n_subjects}: fold {self.fold_number} has {n_most} training subjects; "
                f"choose at most {n_most}, or null for all"
            )
        fold = few_labels(plan, self.fold_number, self.n_subjects, self.draw)
        notes = [
            f"{self.n_subjects} of the {n_most} training subjects of fold {self.fold_number} have labels (draw "
            f"{self.draw})"
        ]
        if not fold.inner:
            notes.append(
                f"{self.n_subjects} subjects with labels are too few to choose by: the last step is judged, at "
                "thresholds of 0.5"
            )
        for note in notes:
            log.info("%s", note)
        return fold, notes

    def open_test(self) -> None:
        """Break the seal of the test windows: everything is chosen."""
        self._is_open = True

    def setup(self, stage: str) -> None:
        """Open the stores; move the windows to the device if they fit there."""
        assert len(self.windows)  # opened and divided
        self._held.hold(self.trainer.strategy.root_device if self.trainer else torch.device("cpu"))

    def gather(self, rows: NDArray[np.int64]) -> EcgBatch:
        """A batch of windows by row, from the device if they are held there.

        Raises:
            LeakError: If a test window is asked for before `open_test`.
        """
        if not self._is_open and len(self.windows) and self._is_test[rows].any():
            from tiles_ecg.evaluation.audit import LeakError

            raise LeakError(
                f"{int(self._is_test[rows].sum())} windows of the test side of fold {self.fold_number} were asked for "
                "before everything was chosen; use train_rows and val_rows until then"
            )
        return self._held.gather(rows)

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches from the step at which the trainer stands to its last."""
        if self.trainer is None:
            raise RuntimeError("TaskDataModule.train_dataloader needs a Trainer, which says how many steps there are")
        size = self.batch_size // self.trainer.world_size * self.trainer.world_size
        return train_loader(self.trainer, self.train_rows, size, self.seed, self.gather)

    def val_dataloader(self) -> list[EvalLoader]:
        """Validation windows in order; no loader if there are none."""
        return [EvalLoader(self.val_rows, self.batch_size, self.gather)] if len(self.val_rows) else []

    def _division(self) -> dict[str, Any]:
        return {
            "protocol": self.plan.hash,
            "fold": self.fold_number,
            "n_subjects": self.n_subjects,
            "draw": self.draw,
        }

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one it goes on with."""
        return self._held.state_dict() | self._division()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a resumed run goes on with the same stores and the same subjects.

        Raises:
            ConfigError: If they are others than before.
        """
        self._held.check_state(state_dict)
        now = self._division()
        changed = [f"{key} was {state_dict.get(key)}, is {now[key]}" for key in now if state_dict.get(key) != now[key]]
        if changed:
            raise ConfigError(
                f"resume: the run was trained on other subjects ({'; '.join(changed)}); leave task, protocol and "
                "dataset as they were"
            )
