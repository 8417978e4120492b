"""Preemption: a run that is asked to end by a signal saves a checkpoint first, and has Slurm start it again."""

import inspect
import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from tiles_ecg.callback.checkpoint import Checkpoint
from tiles_ecg.requeue import is_preempted, requeue, slurm_job
from tiles_ecg.run_record import RunPreempted

log = logging.getLogger(__name__)

PREEMPTED = 143
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
AGREE_EVERY = 5
"""Steps after which several processes tell each other whether one of them was signalled."""
SAME_S = 2.0
"""Signals so shortly after the first mean the same: Slurm and torchrun both pass one on."""


class SignalsLeftAlone(_SignalConnector):
    """Lightning's handling of signals, without any: its own broadcasts within a handler, which may never come back."""

    def register_signal_handlers(self) -> None:
        """Register none."""


class Preemption(Callback):
    """Ends a run after the step in which SIGTERM, SIGUSR1 or SIGUSR2 came, with `last.ckpt` of that very step.

    The handler sets a flag and does no more. Where a validation falls on the step, or was under way, it is done first,
    as a run cannot go on from the middle of one. Of several processes it is enough that one is signalled: they agree,
    and save at the same step. The run ends with `RunPreempted`, status 143; a second signal, `SAME_S` after the first
    or later, ends it at once. A signal that comes when the last step is done lets the run finish, but not what follows
    it in a sweep.

    The handler that was there before, such as submitit's, which requeues the job, is called when the checkpoint is
    written. Where there was none, under Slurm, the job is requeued after SIGUSR1 and SIGUSR2. SIGTERM is also what
    `scancel` sends, so that the job is requeued after it only if Slurm says that it was preempted.

    Place it before `Checkpoint`.

    Args:
        requeue: Whether to do so.
    """

    def __init__(self, requeue: bool = True) -> None:
        self.requeue = requeue
        self._previous: dict[int, Any] = {}
        self._received = 0
        self._received_at = 0.0
        self._agreed = 0
        self._began_at = -1
        self._is_handed_on = False
        self._told: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen, in place of Lightning."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():
            trainer._signal_connector = SignalsLeftAlone(trainer)
            self._received = self._agreed = 0
            self._is_handed_on = False
            found = {number: signal.signal(number, self._note) for number in SIGNALS}
            self._previous = {number: None if was is _do_nothing else was for number, was in found.items()}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the run, if it is to end and everything of the step before is logged and saved."""
        self._began_at = trainer.global_step
        checkpoint = self._checkpoint(trainer)
        if not self._agreed or (checkpoint is not None and checkpoint.saved_step != trainer.global_step):
            return
        if checkpoint is not None:
            checkpoint.finish(trainer)
        saved = f"saved {checkpoint.folder / 'last.ckpt'}" if checkpoint else "nothing is saved (callback.checkpoint)"
        self._end(trainer, f"{saved} after step {trainer.global_step:,}; go on with resume=true")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask for a checkpoint of this step, if a signal came; not while gradients are still being gathered."""
        if trainer.global_step != self._began_at and (
            trainer.world_size == 1 or trainer.global_step % AGREE_EVERY == 0
        ):
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for a checkpoint after this validation, if a signal came before it."""
        self._look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for a checkpoint after this validation, if a signal came while it lasted."""
        self._look(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more. What was preempted is left to end in peace: Slurm sends SIGTERM to what it requeues."""
        if not isinstance(exception, RunPreempted) or not self._received:  # or it came before this one listened
            self._listen_no_more()
            return
        if not self._is_handed_on:
            self._told = [f"{self._name()} again: ended at once; the last checkpoint is from before"]
            self._hand_on(trainer)
        for line in self._told if trainer.is_global_zero else []:
            log.info("%s", line)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more; what a signal asked for that came too late for this run is for what follows it."""
        if stage != "fit":
            return
        if self._received and trainer.is_global_zero:
            self._end(trainer, "the run is complete, and nothing follows it")
        self._listen_no_more()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._received:
            self._received, self._received_at = number, time.monotonic()
        elif time.monotonic() - self._received_at > SAME_S:
            raise RunPreempted(PREEMPTED)

    def _look(self, trainer: Trainer) -> None:
        if trainer.world_size == 1:
            self._agreed = self._received
        elif not self._agreed:
            mine = torch.tensor(self._received, device=trainer.strategy.root_device)
            self._agreed = int(trainer.strategy.reduce(mine, reduce_op="max"))
        checkpoint = self._checkpoint(trainer)
        if self._agreed and checkpoint is not None:
            checkpoint.request()

    def _end(self, trainer: Trainer, what: str) -> None:
        self._received = self._received or self._agreed
        self._told = [f"{self._name()}: {what}"]
        self._hand_on(trainer)
        raise RunPreempted(PREEMPTED)

    def _hand_on(self, trainer: Trainer) -> None:
        """Leave the rest to the handler of before, or to Slurm; why the handler would not is told."""
        self._is_handed_on = True
        for number in self._previous:
            signal.signal(number, _do_nothing)
        if not self.requeue:
            return
        previous, job = self._previous.get(self._received), slurm_job()
        if callable(previous):
            try:
                previous(self._received, inspect.currentframe())
            except SystemExit:  # it has seen to everything
                return
            except Exception as error:  # submitit's, of a job that has been requeued often enough
                self._told.append(f"{self._name()}: {type(error).__name__}: {' '.join(str(error).split())}")
                return
        if job is None or not trainer.is_global_zero:
            return
        if is_preempted(job) if self._received == signal.SIGTERM else not callable(previous):
            self._told.append(requeue(job))

    def _listen_no_more(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous = {}

    def _name(self) -> str:
        return signal.Signals(self._received).name

    @staticmethod
    def _checkpoint(trainer: Trainer) -> Checkpoint | None:
        return next((found for found in trainer.callbacks if isinstance(found, Checkpoint)), None)  # type: ignore[attr-defined]


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Where a signal asks for what is being done."""
