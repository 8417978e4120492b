"""Progress bar of a run that is counted in steps: step, loss, windows a second, time left."""

import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from pydantic import PositiveInt
from tqdm import tqdm


class Progress(Callback):
    """One line for the whole run, from the step it began with to its last; seldom refreshed where there is no terminal.

    Args:
        refresh_every_n_steps: Least number of steps between two updates.
    """

    FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    """What matters most comes first: a narrow terminal cuts off the rest."""
    VALIDATED = ("val/loss", "val/effective_rank")

    def __init__(self, refresh_every_n_steps: PositiveInt = 10) -> None:
        self.every = refresh_every_n_steps
        self._bar: tqdm[Any] | None = None
        self._timed = (0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar at the step the run stands at; none where jobs run side by side, whose bars would mix."""
        if trainer.is_global_zero and multiprocessing.current_process().name == "MainProcess":
            self._bar = tqdm(
                total=trainer.max_steps,
                initial=trainer.global_step,
                desc="training",
                bar_format=self.FORMAT,
                file=sys.stderr,
                dynamic_ncols=True,
                mininterval=0.2 if sys.stderr.isatty() else 15.0,
            )
            self._timed = (trainer.global_step, time.monotonic())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar on."""
        step = trainer.global_step
        if self._bar is None or (step % self.every and step < trainer.max_steps):
            return
        before, then = self._timed
        now = time.monotonic()
        if now - then < self._bar.mininterval and step < trainer.max_steps:
            return  # to read the loss is to wait for the GPU
        if step > before:
            windows = trainer.datamodule.batch_size * (step - before)  # type: ignore[attr-defined]
            shown = [
                *_numbers(trainer.callback_metrics, ("train/loss",)),
                f"{windows / (now - then):,.0f} windows/s",
                *_numbers(trainer.callback_metrics, self.VALIDATED),
            ]
            self._bar.set_postfix_str(", ".join(shown), False)
            self._timed = (step, now)
        self._bar.update(step - self._bar.n)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the time of validation out of the rate."""
        self._timed = (trainer.global_step, time.monotonic())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message has a line of its own."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _numbers(metrics: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    shown = [(key, metrics[key]) for key in keys if key in metrics]
    return [f"{key.removeprefix('train/').replace('val/', 'val ')} {float(value):.3g}" for key, value in shown]
