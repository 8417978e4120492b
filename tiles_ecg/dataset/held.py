"""HeldWindows: the stores of a data module, opened on first use and held on the device where they fit."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tiles_ecg.config import ConfigError
from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.dataset.loader import Gather
from tiles_ecg.dataset.windows import DeviceWindows, Normalise, Windows

SHARE_OF_DEVICE = 0.5
"""`on_device=auto` moves a store that takes at most this share of the device's free memory."""


class HeldWindows:
    """Windows of one or several stores, as a config describes them.

    Args:
        store: A store or a list of them.
        sample_rate: Hz; must be the stores'.
        window_s: Length of a window; must be the stores'.
        n_leads: C; must be the stores'.
        normalise: See `Windows`.
        on_device: Whether the windows are held on the device: `auto` on a GPU where they fit.
    """

    def __init__(
        self,
        store: str | Sequence[str] | None,
        sample_rate: float,
        window_s: float,
        n_leads: int,
        normalise: Normalise,
        on_device: Literal["auto"] | bool,
    ) -> None:
        self.paths = [store] if isinstance(store, str) else list(store or [])
        self.facts = {"sample_rate": sample_rate, "window_s": window_s, "n_leads": n_leads}
        self.normalise = normalise
        self.on_device = on_device
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
            found = {"sample_rate": first.sample_rate, "window_s": first.window_s, "n_leads": first.n_leads}
            problems = [
                f"dataset.{key} = {self.facts[key]}: {first.path} has {fact}; give dataset.{key}={fact}"
                for key, fact in found.items()
                if self.facts[key] != fact
            ]
            if problems:
                raise ConfigError(problems)
            self._windows = windows
        return self._windows

    def hold(self, device: torch.device) -> None:
        """Move the windows to a device if they fit there, once."""
        if self._gather is None:
            windows = self.windows
            self._gather = _on_device(windows, device) if self._fits(device) else windows.gather

    def _fits(self, device: torch.device) -> bool:
        if self.on_device != "auto":
            return self.on_device
        if device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return DeviceWindows.n_bytes(self.windows) <= SHARE_OF_DEVICE * free

    def gather(self, rows: NDArray[np.int64]) -> EcgBatch:
        """A batch of windows by row, from the device if they are held there."""
        return (self._gather or self.windows.gather)(rows)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one it goes on with."""
        return {"stores": [store.digest for store in self.windows.stores], "normalise": self.normalise}

    def check_state(self, state: dict[str, Any]) -> None:
        """Check that a resumed run goes on with the same stores.

        Raises:
            ConfigError: If they, or their normalisation, are others than before.
        """
        now = self.state_dict()
        if state["stores"] != now["stores"]:
            named = ", ".join(str(store.path) for store in self.windows.stores)
            raise ConfigError(f"dataset.store: {named} does not hold what the run to be resumed was trained on")
        if state["normalise"] != now["normalise"]:
            raise ConfigError(
                f"dataset.normalise = {self.normalise}: the run to be resumed was trained with {state['normalise']}"
            )


def good_rows(windows: Windows, min_quality: float) -> NDArray[np.int64]:
    """Windows of at least some quality, ascending.

    Raises:
        ConfigError: If there are none.
    """
    rows = np.flatnonzero(windows.quality >= min_quality)
    if not len(rows):
        raise ConfigError(
            f"dataset.min_quality = {min_quality}: no window is that good; the best reaches {windows.quality.max():.2f}"
        )
    return rows


def _on_device(windows: Windows, device: torch.device) -> Gather:
    held = DeviceWindows(windows, device)

    def gather(rows: NDArray[np.int64]) -> EcgBatch:
        moved = torch.from_numpy(rows).pin_memory() if device.type == "cuda" else torch.from_numpy(rows)
        return held.gather(moved.to(device, non_blocking=True))

    return gather
