"""A run whose loss is no number any more ends there, before it saves a checkpoint of it."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor


class NonFiniteLossError(RuntimeError):
    """The training loss became NaN or infinite. The message names the step."""


class FiniteLoss(Callback):
    """Looks at the loss of every step: at once on a CPU, on a GPU at every logged step and before each checkpoint.

    A look makes the CPU wait for the GPU, hence not at every step there; the message names the first bad step all the
    same. Of several processes all see the mean of their losses, which is no number where one of them is none: they end
    together.
    """

    def __init__(self) -> None:
        self._first_bad: Tensor | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note whether the loss was finite; look now and then.

        Raises:
            NonFiniteLossError: If the loss of a step so far was not finite.
        """
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if trainer.world_size > 1:  # the logged one is the mean already
            loss = trainer.callback_metrics.get("train/loss", loss)
        if self._first_bad is None:
            self._first_bad = torch.full((), -1, device=loss.device)
        is_new = ~torch.isfinite(loss) & (self._first_bad < 0)
        self._first_bad = torch.where(is_new, trainer.global_step, self._first_bad)
        every = 1 if loss.device.type == "cpu" else trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every == 0:
            self._look()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to save after a loss that was not finite.

        Raises:
            NonFiniteLossError: In that case.
        """
        self._look()

    def _look(self) -> None:
        step = -1 if self._first_bad is None else int(self._first_bad)
        if step >= 0:
            raise NonFiniteLossError(
                f"the training loss of step {step} is not a finite number; lower optimizer.lr, set "
                "trainer.gradient_clip_val, or use trainer.precision=32-true; the last checkpoint is from before"
            )
