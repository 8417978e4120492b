"""Windows of one or several stores, gathered by whole batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tiles_ecg.dataset.batch import EcgBatch
from tiles_ecg.label import Label, missing_values
from tiles_ecg.recording import LabelSpec
from tiles_ecg.store import Store, StoreError

Normalise = Literal["subject", "subject_robust", "window", "none"]
FEWEST_BEATS = 3
"""A window with fewer has no heart rate."""
SMALLEST_SCALE = 1e-6
"""Windows of a smaller scale are not divided by it: they are flat."""


class Windows:
    """All windows of the stores given, numbered through; subjects of different stores are different subjects.

    Args:
        paths: Stores of the same sample rate, window length and number of leads.
        normalise: `subject`: minus the subject's mean, over its standard deviation, per lead; `subject_robust`: median
            and IQR / 1.349 instead; `window`: mean and standard deviation of the window itself; `none`.

    Raises:
        StoreError: If a store cannot be read, or differs from the first.
    """

    def __init__(self, paths: Sequence[str | Path], normalise: Normalise = "subject") -> None:
        if not paths:
            raise StoreError("no store is given; give dataset.store=FILE.h5")
        self.stores = [Store(path) for path in paths]
        for store in self.stores[1:]:
            _check_alike(self.stores[0], store)
        self.normalise = normalise
        self.first_row = np.cumsum([0, *(len(store) for store in self.stores)])
        n_subjects = [len(store.subject_id) for store in self.stores]
        first_subject = np.cumsum([0, *n_subjects])
        self.subject = np.concatenate(
            [store.subject.astype(np.int64) + first for store, first in zip(self.stores, first_subject, strict=False)]
        )
        first_recording = np.cumsum([0, *(int(store.recording.max(initial=-1)) + 1 for store in self.stores)])
        self.recording = np.concatenate(
            [
                store.recording.astype(np.int64) + first
                for store, first in zip(self.stores, first_recording, strict=False)
            ]
        )
        self.quality = np.concatenate([store.quality for store in self.stores])
        self.subject_id = [name for store in self.stores for name in store.subject_id]
        self._location, self._scale = self._statistics()

    def __len__(self) -> int:
        return int(self.first_row[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """(C, T) of a window."""
        return self.stores[0].n_leads, self.stores[0].window_length

    @property
    def sample_rate(self) -> float:
        """Hz."""
        return self.stores[0].sample_rate

    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        names = {"subject": ("mean", "std"), "subject_robust": ("median", "robust_std")}.get(self.normalise)
        if names is None:
            n_subjects, n_leads = len(self.subject_id), self.shape[0]
            return np.zeros((n_subjects, n_leads, 1), np.float32), np.ones((n_subjects, n_leads, 1), np.float32)
        location, scale = (
            np.concatenate([store.read(f"subject/{name}") for store in self.stores])[:, :, None].astype(np.float32)
            for name in names
        )
        return location, np.where(scale > SMALLEST_SCALE, scale, 1.0).astype(np.float32)

    def gather(self, rows: NDArray[np.int64]) -> EcgBatch:
        """A batch on the CPU, normalised: rows (B,) in any order, over all stores."""
        signal = np.empty((len(rows), *self.shape), np.float32)
        beat = np.zeros((len(rows), self.shape[1]), bool)
        which = np.searchsorted(self.first_row, rows, side="right") - 1
        for number, store in enumerate(self.stores):
            chosen = np.flatnonzero(which == number)
            if len(chosen):
                local = rows[chosen] - self.first_row[number]
                signal[chosen] = store.signal.gather(local)
                _mark_beats(beat, chosen, store, local)
        subject = self.subject[rows]
        if self.normalise == "window":
            location = signal.mean(axis=2, keepdims=True)
            scale = signal.std(axis=2, keepdims=True)
            scale = np.where(scale > SMALLEST_SCALE, scale, 1.0)
        else:
            location, scale = self._location[subject], self._scale[subject]
        signal -= location
        signal /= scale
        return EcgBatch(
            torch.from_numpy(signal), torch.from_numpy(beat), torch.from_numpy(subject), torch.from_numpy(rows.copy())
        )

    @property
    def label_names(self) -> list[str]:
        """Labels that any of the stores has."""
        return sorted({name for store in self.stores for name in store.labels})

    def has_label(self, name: str) -> bool:
        """Whether any of the stores has the label."""
        return name in self.label_names

    def label(self, name: str) -> Label:
        """A label with one value a window.

        It is missing for the windows of stores that do not have it, or mean something else by the name (other classes,
        kind or unit than the first store that has it).

        Raises:
            StoreError: If no store has it.
        """
        having = [store for store in self.stores if name in store.labels]
        if not having:
            raise StoreError(f"no store has a label {name!r}; there are {', '.join(self.label_names) or 'none'}")
        spec = having[0].labels[name]
        alike = [store for store in having if _meaning(store.labels[name]) == _meaning(spec)]
        values = [
            store.label(name).value if store in alike else missing_values(spec, len(store)) for store in self.stores
        ]
        return Label(spec, np.concatenate(values))

    def heart_rate(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Beats a minute of windows, from the median interval of their R-peaks; NaN with fewer than three."""
        rates = np.full(len(rows), np.nan, np.float32)
        which = np.searchsorted(self.first_row, rows, side="right") - 1
        for number, store in enumerate(self.stores):
            chosen = np.flatnonzero(which == number)
            if len(chosen):
                rates[chosen] = _heart_rates(store, rows[chosen] - self.first_row[number])
        return rates


class DeviceWindows:
    """The same windows, held normalised on a device; batches are gathered there.

    Args:
        windows: What to hold.
        device: Where.
    """

    CHUNK = 8192

    def __init__(self, windows: Windows, device: torch.device) -> None:
        n = len(windows)
        self.signal = torch.empty((n, *windows.shape), dtype=torch.float32, device=device)
        self.beat = torch.empty((n, windows.shape[1]), dtype=torch.bool, device=device)
        for at in range(0, n, self.CHUNK):
            batch = windows.gather(np.arange(at, min(n, at + self.CHUNK)))
            self.signal[at : at + self.CHUNK] = batch.signal.to(device)
            self.beat[at : at + self.CHUNK] = batch.beat.to(device)
        self.subject = torch.from_numpy(windows.subject).to(device)

    @staticmethod
    def n_bytes(windows: Windows) -> int:
        """What it takes on the device."""
        n_leads, length = windows.shape
        return len(windows) * length * (4 * n_leads + 1)

    def gather(self, rows: Tensor) -> EcgBatch:
        """A batch on the device: rows (B,) int64 there."""
        return EcgBatch(self.signal[rows], self.beat[rows], self.subject[rows], rows)


def _meaning(spec: LabelSpec) -> tuple[str, tuple[str, ...], str]:
    return spec.kind, spec.classes, spec.unit


def _mark_beats(beat: NDArray[np.bool_], into: NDArray[np.int64], store: Store, local: NDArray[np.int64]) -> None:
    begin, end = store.beat_offset[local], store.beat_offset[local + 1]
    count = end - begin
    flat = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    beat[np.repeat(into, count), store.beat_position[flat]] = True


def _heart_rates(store: Store, local: NDArray[np.int64]) -> NDArray[np.float32]:
    """`Windows.heart_rate` of some windows of one store, all at once."""
    begin = store.beat_offset[local].astype(np.int64)
    n_beats = store.beat_offset[local + 1].astype(np.int64) - begin
    window = np.repeat(np.arange(len(local)), n_beats)
    flat = np.arange(n_beats.sum()) + np.repeat(begin - (np.cumsum(n_beats) - n_beats), n_beats)
    interval = np.diff(store.beat_position[flat].astype(np.int64))
    is_within = window[1:] == window[:-1]
    window, interval = window[1:][is_within], interval[is_within]
    ordered = interval[np.lexsort((interval, window))]  # by window, and within it by length
    n_intervals = np.maximum(n_beats - 1, 0)
    enough = np.flatnonzero(n_beats >= FEWEST_BEATS)
    first = (np.cumsum(n_intervals) - n_intervals)[enough]
    n = n_intervals[enough]
    median = (ordered[first + (n - 1) // 2] + ordered[first + n // 2]) / 2
    rate = np.full(len(local), np.nan, np.float32)
    with np.errstate(divide="ignore"):
        rate[enough] = 60 * store.sample_rate / median
    return np.where(np.isfinite(rate), rate, np.float32(np.nan))


def _check_alike(first: Store, other: Store) -> None:
    for fact in ("sample_rate", "window_length", "n_leads"):
        if getattr(first, fact) != getattr(other, fact):
            raise StoreError(
                f"{other.path}: {fact} {getattr(other, fact)}, but {getattr(first, fact)} in {first.path}; stores that "
                "are used together must be prepared alike"
            )
