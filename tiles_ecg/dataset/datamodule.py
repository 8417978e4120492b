"""EcgDataModule: stores -> batches, split by subject."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from tiles_ecg.config import ConfigError
from tiles_ecg.config_types import Probability, ShareBelowOne
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.loader import EvalLoader, Gather, TrainLoader, spread
from tiles_ecg.dataset.split import validation_subjects
from tiles_ecg.dataset.windows import DeviceWindows, Normalise, Windows
from tiles_ecg.seeding import derive_seed

SHARE_OF_DEVICE = 0.5
"""`on_device=auto` moves a store that takes at most this share of the device's free memory."""


class EcgDataModule(LightningDataModule):
    """Windows of one or several stores for a Trainer, split by subject into training and validation.

    Args:
        store: A store or a list of them.
        batch_size: Windows a step, over all devices together.
        sample_rate: Hz; must be the stores'.
        window_s: Length of a window; must be the stores'.
        n_leads: C; must be the stores'.
        normalise: See `Windows`.
        min_quality: Windows of less quality are not used.
        val_share: Share of the subjects kept for validation.
        val_windows: Largest number of their windows that is used, evenly spread.
        on_device: Whether the windows are held on the device: `auto` on a GPU where they fit.
        seed: Of the split and the order.
    """

    def __init__(
        self,
        store: str | Sequence[str] | None,
        batch_size: PositiveInt,
        sample_rate: PositiveFloat,
        window_s: PositiveFloat,
        n_leads: PositiveInt,
        normalise: Normalise = "subject",
        min_quality: Probability = 0.0,
        val_share: ShareBelowOne = 0.1,
        val_windows: NonNegativeInt = 1024,
        on_device: Literal["auto"] | bool = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.paths = [store] if isinstance(store, str) else list(store or [])
        self.batch_size = batch_size
        self.sample_rate = sample_rate
        self.window_s = window_s
        self.n_leads = n_leads
        self.normalise = normalise
        self.min_quality = min_quality
        self.val_share = val_share
        self.val_windows = val_windows
        self.on_device = on_device
        self.seed = seed
        self._windows: Windows | None = None
        self._gather: Gather | None = None

    @property
    def windows(self) -> Windows:
        """All windows of the stores, opened on first use.

        Raises:
            StoreError: If a store cannot be read.
            ConfigError: If the stores are not what the config says.
        """
        if self._windows is None:
            windows = Windows(self.paths, self.normalise)
            first = windows.stores[0]
            facts = {"sample_rate": first.sample_rate, "window_s": first.window_s, "n_leads": first.n_leads}
            problems = [
                f"dataset.{key} = {getattr(self, key)}: {first.path} has {fact}; give dataset.{key}={fact}"
                for key, fact in facts.items()
                if getattr(self, key) != fact
            ]
            if problems:
                raise ConfigError(problems)
            self._windows = windows
            self._split()
        return self._windows

    def _split(self) -> None:
        windows = self.windows
        is_good = windows.quality >= self.min_quality
        if not is_good.any():
            raise ConfigError(
                f"dataset.min_quality = {self.min_quality}: no window is that good; the best reaches "
                f"{windows.quality.max():.2f}"
            )
        present = np.unique(windows.subject[is_good])
        chosen = np.zeros(len(windows.subject_id), bool)
        chosen[present] = validation_subjects([windows.subject_id[i] for i in present], self.val_share, self.seed)
        is_validation = chosen[windows.subject]
        self.train_rows: NDArray[np.int64] = np.flatnonzero(is_good & ~is_validation)
        val_rows = spread(np.flatnonzero(is_good & is_validation), self.val_windows)
        # Mixed once, as training batches are: neighbours of one subject, hard to tell apart, would raise its loss.
        mix = np.random.default_rng(derive_seed(self.seed, "validation order")).permutation(len(val_rows))
        self.val_rows: NDArray[np.int64] = val_rows[mix]
        if len(self.train_rows) < self.batch_size:
            raise ConfigError(
                [
                    f"dataset.batch_size = {self.batch_size}: only {len(self.train_rows)} training windows are left of "
                    f"{len(windows)} (val_share {self.val_share}, min_quality {self.min_quality}); choose a smaller "
                    "batch"
                ]
            )

    def setup(self, stage: str) -> None:
        """Open the stores; move the windows to the device if they fit there."""
        windows = self.windows
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._gather is None:
            self._gather = _on_device(windows, device) if self._fits(windows, device) else windows.gather

    def _fits(self, windows: Windows, device: torch.device) -> bool:
        if self.on_device != "auto":
            return self.on_device
        if device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return DeviceWindows.n_bytes(windows) <= SHARE_OF_DEVICE * free

    def gather(self, rows: NDArray[np.int64]) -> EcgBatch:
        """A batch of windows by row, from the device if they are held there."""
        return (self._gather or self.windows.gather)(rows)

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches from the step at which the trainer stands to its last."""
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("EcgDataModule.train_dataloader needs a Trainer, which says how many steps there are")
        parts = trainer.accumulate_grad_batches
        return TrainLoader(
            self.train_rows,
            self.batch_size,
            trainer.max_steps * parts,
            self.seed,
            self.gather,
            start=lambda: trainer.global_step * parts,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )

    def val_dataloader(self) -> list[EvalLoader]:
        """Validation windows in batches of the size of training over all devices; no loader if there are none."""
        return [EvalLoader(self.val_rows, self.batch_size, self.gather)] if len(self.val_rows) else []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one it goes on with."""
        return {"stores": [store.digest for store in self.windows.stores], "normalise": self.normalise}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a resumed run goes on with the same stores.

        Raises:
            ConfigError: If they, or their normalisation, are others than before.
        """
        now = self.state_dict()
        if state_dict["stores"] != now["stores"]:
            named = ", ".join(str(store.path) for store in self.windows.stores)
            raise ConfigError(f"dataset.store: {named} does not hold what the run to be resumed was trained on")
        if state_dict["normalise"] != now["normalise"]:
            raise ConfigError(
                f"dataset.normalise = {self.normalise}: the run to be resumed was trained with "
                f"{state_dict['normalise']}"
            )


def _on_device(windows: Windows, device: torch.device) -> Gather:
    held = DeviceWindows(windows, device)

    def gather(rows: NDArray[np.int64]) -> EcgBatch:
        moved = torch.from_numpy(rows).pin_memory() if device.type == "cuda" else torch.from_numpy(rows)
        return held.gather(moved.to(device, non_blocking=True))

    return gather
