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
from tiles_ecg.dataset.held import HeldWindows, good_rows
from tiles_ecg.dataset.loader import EvalLoader, TrainLoader, spread, train_loader
from tiles_ecg.dataset.split import validation_subjects
from tiles_ecg.dataset.windows import Normalise, Windows
from tiles_ecg.seeding import derive_seed


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
        self._held = HeldWindows(store, sample_rate, window_s, n_leads, normalise, on_device)
        self.paths = self._held.paths
        self.batch_size = batch_size
        self.min_quality = min_quality
        self.val_share = val_share
        self.val_windows = val_windows
        self.seed = seed
        self._is_split = False

    @property
    def windows(self) -> Windows:
        """All windows of the stores, opened on first use.

        Raises:
            StoreError: If a store cannot be read.
            ConfigError: If the stores are not what the config says.
        """
        if not self._is_split:
            self._split(self._held.windows)
            self._is_split = True
        return self._held.windows

    def _split(self, windows: Windows) -> None:
        good = good_rows(windows, self.min_quality)
        present = np.unique(windows.subject[good])
        chosen = np.zeros(len(windows.subject_id), bool)
        chosen[present] = validation_subjects([windows.subject_id[i] for i in present], self.val_share, self.seed)
        is_validation = chosen[windows.subject[good]]
        self.train_rows: NDArray[np.int64] = good[~is_validation]
        val_rows = spread(good[is_validation], self.val_windows)
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
        assert len(self.windows)  # opened and split
        self._held.hold(self.trainer.strategy.root_device if self.trainer else torch.device("cpu"))

    def gather(self, rows: NDArray[np.int64]) -> EcgBatch:
        """A batch of windows by row, from the device if they are held there."""
        return self._held.gather(rows)

    def train_dataloader(self) -> TrainLoader:
        """Shuffled batches from the step at which the trainer stands to its last."""
        if self.trainer is None:
            raise RuntimeError("EcgDataModule.train_dataloader needs a Trainer, which says how many steps there are")
        return train_loader(self.trainer, self.train_rows, self.batch_size, self.seed, self.gather)

    def val_dataloader(self) -> list[EvalLoader]:
        """Validation windows in batches of the size of training over all devices; no loader if there are none."""
        return [EvalLoader(self.val_rows, self.batch_size, self.gather)] if len(self.val_rows) else []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one it goes on with."""
        return self._held.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a resumed run goes on with the same stores.

        Raises:
            ConfigError: If they, or their normalisation, are others than before.
        """
        self._held.check_state(state_dict)
