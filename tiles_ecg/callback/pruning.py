"""Pruning: a run follows its trial of a search, and ends where that gives it up."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from pydantic import NonNegativeInt

from tiles_ecg.callback.monitor import check_monitor
from tiles_ecg.run_record import RunPruned

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial

STATE = "pruning"
"""What a checkpoint holds our values under; written when it is saved, since it may be saved before we see them."""


class Pruning(Callback):
    """Reports the monitored metric at each validation, and ends the run where the pruner says so.

    It comes after the checkpoint, so that a run that is given up has saved what it was. A value that is no number is
    not reported; a run at its last step is not given up any more. In several processes the first one decides. What a
    resumed run logs again is not reported again. The search adds this callback to its jobs; see
    `conf/hydra/sweeper/optuna.yaml`.

    Args:
        storage: Of the study: a file, or the address of a database.
        study: Its name.
        trial: The number of this run's trial in it.
        monitor: A metric that validations log.
        direction: Whether less or more of it is better.
        pruner: Which decides; None never gives a run up.
    """

    def __init__(
        self,
        storage: str,
        study: str,
        trial: NonNegativeInt = 0,
        monitor: str = "val/loss",
        direction: Literal["minimize", "maximize"] = "minimize",
        pruner: "BasePruner | None" = None,
    ) -> None:
        self.storage = storage
        self.study = study
        self.number = trial
        self.monitor = monitor
        self.direction = direction
        self.pruner = pruner
        self.values: dict[int, float] = {}
        self._is_validating = False

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a metric that no validation will log before the run begins.

        Raises:
            ConfigError: See `check_monitor`.
        """
        check_monitor("hydra.sweeper.monitor", self.monitor, objective)

    @property
    def summary(self) -> dict[str, float]:
        """The best value of the run, which is what the search compares."""
        best = min if self.direction == "minimize" else max
        return {f"best/{self.monitor}": best(self.values.values())} if self.values else {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the values so far, that of a validation which has just ended included."""
        if self._is_validating:
            self._note(trainer)
        checkpoint[STATE] = {str(step): value for step, value in self.values.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the values so far."""
        self.values = {int(step): value for step, value in checkpoint.get(STATE, {}).items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide on what a run saved that was killed before it could."""
        if trainer.global_step in self.values:
            self._follow(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on a checkpoint belongs to this validation."""
        self._is_validating = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the value, and end the run if it is given up.

        Raises:
            RunPruned: In that case.
        """
        if not self._is_validating:
            return
        self._is_validating = False
        self._note(trainer)
        self._follow(trainer)

    def _note(self, trainer: Trainer) -> None:
        logged = trainer.callback_metrics.get(self.monitor)
        if logged is not None and not logged.isnan():
            self.values[trainer.global_step] = float(logged)

    def _follow(self, trainer: Trainer) -> None:
        is_given_up = trainer.global_step in self.values and trainer.is_global_zero and self._report(trainer)
        if trainer.strategy.broadcast(is_given_up):
            raise RunPruned(f"trial {self.number}: {self.monitor} = {self.values.get(trainer.global_step)}")

    def _report(self, trainer: Trainer) -> bool:
        """Report what has not been yet; whether the run is given up."""
        from optuna.trial import TrialState

        trial = self._trial
        (found,) = [t for t in trial.study.get_trials(deepcopy=False) if t.number == self.number]
        if found.state != TrialState.RUNNING:
            return False  # the search is over with it, or this run was started by hand again
        for step in sorted(self.values.keys() - found.intermediate_values.keys()):
            trial.report(self.values[step], step)
        is_behind = any(step > trainer.global_step for step in found.intermediate_values)  # decided on before the kill
        is_last = trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
        return self.pruner is not None and not is_behind and not is_last and trial.should_prune()

    @cached_property
    def _trial(self) -> "Trial":
        import optuna

        from tiles_ecg.sweep.search_study import open_storage

        study = optuna.load_study(
            study_name=self.study,
            storage=open_storage(self.storage),
            sampler=optuna.samplers.RandomSampler(),  # it draws nothing
            pruner=self.pruner,
        )
        (trial,) = [trial for trial in study.get_trials(deepcopy=False) if trial.number == self.number]
        return optuna.trial.Trial(study, trial._trial_id)
