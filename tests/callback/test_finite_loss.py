"""A loss that is no number ends the run."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tiles_ecg.callback.finite_loss import FiniteLoss, NonFiniteLossError


def see(callback: FiniteLoss, step: int, loss: float) -> None:
    trainer: Any = SimpleNamespace(global_step=step, log_every_n_steps=50, world_size=1)
    module: Any = None
    callback.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, None, step)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_it_raises_at_the_step_and_names_it(loss: float) -> None:
    callback = FiniteLoss()
    see(callback, 1, 3.0)
    with pytest.raises(NonFiniteLossError, match="training loss of step 2 is not a finite number"):
        see(callback, 2, loss)


def test_the_first_bad_step_is_named_where_it_is_looked_at_later() -> None:
    callback = FiniteLoss()
    see(callback, 1, 3.0)
    callback._look = lambda: None  # type: ignore[method-assign]
    for step, loss in [(2, float("nan")), (3, 1.0), (4, float("nan"))]:
        see(callback, step, loss)
    del callback._look  # type: ignore[attr-defined]
    trainer: Any = None
    with pytest.raises(NonFiniteLossError, match="of step 2"):
        callback.on_save_checkpoint(trainer, trainer, {})


def test_of_several_processes_all_see_the_loss_of_one_that_is_no_number() -> None:
    mean = {"train/loss": torch.tensor(float("nan"))}  # of this process, 3, and of another
    trainer: Any = SimpleNamespace(global_step=2, log_every_n_steps=50, world_size=2, callback_metrics=mean)
    module: Any = None
    with pytest.raises(NonFiniteLossError, match="of step 2"):
        FiniteLoss().on_train_batch_end(trainer, module, {"loss": torch.tensor(3.0)}, None, 2)
