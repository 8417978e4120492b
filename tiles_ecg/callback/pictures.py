"""Pictures of a run: the views it learns from, when it begins, and a map of its embeddings, when it has ended."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.loader import spread
from tiles_ecg.dataset.task_windows import TaskDataModule
from tiles_ecg.dataset.windows import Windows
from tiles_ecg.evaluation.map_target import HEART_RATE, map_target, part_of
from tiles_ecg.seeding import seed_draws

log = logging.getLogger(__name__)

VIEWS, EMBEDDING_MAP = "pictures/views", "pictures/embedding_map"
"""Their names in W&B and TensorBoard; in the run folder `.png` follows."""
N_VIEWS = 2
AT_ONCE = 64
FEWEST_MAPPED = 3
AUTO = "auto"


class Pictures(Callback):
    """Draws pictures into `pictures/` of the run folder, and hands them to the loggers.

    A run with pictures equals one without, bit for bit: what is drawn is drawn from a generator of its own, and the
    encoder embeds in evaluation mode. The views are drawn in a thread, from the end of the first step.

    Args:
        folder: `pictures` in the run folder.
        n_windows: Training windows whose views are shown; 0 for none.
        n_mapped: Validation windows in the embedding map, evenly spread; 0 for none.
        label: What the map is coloured by, beside subjects: a label of the store, or `heart_rate`, which every store
            knows from its beats; `auto`: the task's value where there is a task, else `heart_rate`; null: nothing.
        every_n_validations: A map after every so many validations, too, which takes seconds; 0: only at the end.
        seed: Of the run.
    """

    def __init__(
        self,
        folder: str,
        n_windows: NonNegativeInt = 3,
        n_mapped: NonNegativeInt = 500,
        label: str | None = AUTO,
        every_n_validations: NonNegativeInt = 0,
        seed: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.n_windows = n_windows
        self.n_mapped = n_mapped
        self.label = label
        self.every = every_n_validations
        self.seed = seed
        self._n_validations = 0
        self._draw: Callable[[], Any] | None = None
        self._drawer: ThreadPoolExecutor | None = None
        self._views: Future[Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """How many validations there were."""
        return {"n_validations": self._n_validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._n_validations = state_dict["n_validations"]

    def check(self, datamodule: Any, objective: LightningModule) -> None:
        """Find a label that no store has before the run begins.

        Raises:
            ConfigError: If there is none of that name.
        """
        windows: Windows = datamodule.windows
        if self.label not in (None, AUTO, HEART_RATE) and not windows.has_label(str(self.label)):
            known = ", ".join([AUTO, HEART_RATE, *windows.label_names])
            raise ConfigError(f"callback.pictures.label = {self.label}: no store has this label; there are {known}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the views of a run that begins."""
        augmentation = getattr(pl_module, "augmentation", None)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        n_windows = min(self.n_windows, len(datamodule.train_rows))
        if not trainer.is_global_zero or trainer.global_step or augmentation is None or not n_windows:
            return
        rows = _typical(datamodule.windows, datamodule.train_rows, n_windows)
        batch = datamodule.gather(rows)
        shown = [(batch.signal, batch.beat)]
        with _undisturbed():
            for number in range(N_VIEWS):
                seed_draws(self.seed, "pictures", number)
                signal, beat = batch.signal.to(pl_module.device), batch.beat.to(pl_module.device)
                shown.append(augmentation.forward(signal, beat))  # not compiled anew for a batch of this size
        if all(
            signal.shape == batch.signal.shape and torch.equal(signal.cpu(), batch.signal.cpu()) for signal, _ in shown
        ):
            return  # the encoder is shown the windows as they are
        plain = [(signal[:, 0].cpu().numpy(), beat.cpu().numpy()) for signal, beat in shown]
        self._draw = partial(_draw_views, plain, datamodule.windows, rows)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Have the views drawn, not before the first step is over, and hand them out."""
        if self._draw is not None:
            self._drawer = ThreadPoolExecutor(1, thread_name_prefix="pictures")
            self._views = self._drawer.submit(self._draw)
            self._draw = None
        if self._views is not None and self._views.done():
            self._hand_out_views(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, before a checkpoint of this validation is saved."""
        self._n_validations += not trainer.sanity_checking and trainer.state.fn == TrainerFn.FITTING

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw a map where one is due."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        is_last = trainer.global_step >= (trainer.max_steps if trainer.max_steps > 0 else float("inf"))
        if self.every and self._n_validations % self.every == 0 and not is_last:
            self._map(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the map of what was learned."""
        self._hand_out_views(trainer)
        self._map(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let the thread end."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the thread end."""
        if self._drawer is not None:
            self._drawer.shutdown(wait=True, cancel_futures=True)
        self._draw = self._drawer = self._views = None

    def _hand_out_views(self, trainer: Trainer) -> None:
        drawn, self._views = self._views, None
        if drawn is not None:
            with _told("the views"):
                self._hand_out(trainer, VIEWS, drawn.result(), 0)

    def _map(self, trainer: Trainer, pl_module: LightningModule) -> None:
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or min(self.n_mapped, len(datamodule.val_rows)) < FEWEST_MAPPED:
            return
        rows = spread(np.sort(datamodule.val_rows), self.n_mapped)
        if self.label == AUTO and isinstance(datamodule, TaskDataModule):
            target = part_of(datamodule.plan.target, rows)
        else:
            target = map_target(datamodule.windows, rows, HEART_RATE if self.label == AUTO else self.label)
        with _undisturbed():
            embedding = _embed(datamodule, pl_module, target.row)
        step = trainer.global_step
        with _told("the embedding map"):
            from tiles_ecg.evaluation.embedding_map import embedding_map
            from tiles_ecg.summary.figure_map import draw_maps

            (figure,) = draw_maps([embedding_map(f"step {step:,}", embedding, target)])
            self._hand_out(trainer, EMBEDDING_MAP, figure, step)

    def _hand_out(self, trainer: Trainer, key: str, figure: Any, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{key.rpartition('/')[2]}.png"
        file.write_bytes(figure.png)
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture(key, file, figure.caption, step)


def _typical(windows: Windows, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """A row of each of `n` equal parts, of the quality that divides the upper quarter of the part from the rest."""
    found = []
    for part in np.array_split(np.sort(rows), n):
        quality = windows.quality[part]
        found.append(part[np.argsort(np.abs(quality - np.quantile(quality, 0.75)), kind="stable")[0]])
    return np.array(found, np.int64)


def _draw_views(shown: list[tuple[NDArray[Any], NDArray[Any]]], windows: Windows, rows: NDArray[np.int64]) -> Any:
    from tiles_ecg.summary.figure_views import Traces, draw_views, window_name

    which = np.searchsorted(windows.first_row, rows, side="right") - 1
    stems = [windows.stores[number].path.stem for number in which]
    names = [window_name(stem, windows.subject_id[windows.subject[row]]) for stem, row in zip(stems, rows, strict=True)]
    titles = ["window", *(f"view {number}" for number in range(1, len(shown)))]
    lines = [Traces(title, signal, beat) for title, (signal, beat) in zip(titles, shown, strict=True)]
    unit = windows.stores[0].unit if windows.normalise == "none" else f"normalised by {windows.normalise}"
    return draw_views(lines, names, windows.sample_rate, unit.replace("_", " "))


@torch.no_grad()
def _embed(datamodule: Any, pl_module: LightningModule, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    encoder: Any = pl_module.encoder
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    parts = [
        encoder.forward(datamodule.gather(rows[at : at + AT_ONCE]).signal.to(pl_module.device)).float().cpu()
        for at in range(0, len(rows), AT_ONCE)
    ]
    for module, mode in modes.items():
        module.training = mode
    return torch.cat(parts).numpy()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """A picture that cannot be drawn is told of, and does not end a run."""
    try:
        yield
    except Exception as error:
        log.warning("%s: not drawn (%s: %s)", what, type(error).__name__, error)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave torch's generators as they were."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        yield
