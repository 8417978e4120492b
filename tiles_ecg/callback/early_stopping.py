"""Early stopping: ends a run whose choice on validation subjects no longer improves."""

from typing import Any, Literal

from lightning import LightningModule, Trainer, pytorch
from pydantic import NonNegativeFloat, PositiveInt

from tiles_ecg.callback.monitor import check_monitor


class EarlyStopping(pytorch.callbacks.EarlyStopping):
    """Lightning's, which says before the run begins what it would else stumble over at the first validation.

    A metric that is not defined for once is no improvement, and no reason to stop. A run that was ended is not gone on
    with when it is resumed.

    Args:
        monitor: A metric that validations log.
        mode: Whether less or more of it is better.
        patience: Validations without improvement after which the run ends.
        min_delta: What is less than this is no improvement.
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        patience: PositiveInt = 6,
        min_delta: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__(monitor, min_delta, patience, mode=mode, check_finite=False, check_on_train_epoch_end=False)

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a metric that no validation will log before the run begins.

        Raises:
            ConfigError: See `check_monitor`.
        """
        check_monitor("callback.early_stopping.monitor", self.monitor, objective)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave a run that was ended before it was resumed as it is."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
