"""A validation after the last step, wherever the interval between validations falls."""

from typing import Any

from lightning import Callback, LightningModule, Trainer


class LastValidation(Callback):
    """Asks the trainer to stop with the step that is its last anyway: it validates before it does."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At the last step, ask for the stop."""
        if trainer.global_step >= trainer.max_steps:
            trainer.should_stop = True
