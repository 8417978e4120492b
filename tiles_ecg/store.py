"""The prepared dataset on disk: one HDF5 file, its names, units and version. The only place that imports h5py.

    signal              (N, C, T) float32, contiguous, in the unit of its attribute `unit`; filtered, not normalised
    window/             subject, recording (row numbers), start_s, wall_time_s, quality, label/<name>
    beat/               position (time points within the window), offset (N + 1)
    subject/            id, mean, std, median, robust_std (subjects, C), label/<name>
    recording/          id, source, device, subject, leads, label/<name>

A store is written under another name and renamed when it is whole.
"""

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tiles_ecg.label import Label
from tiles_ecg.late_failure import LateFailureFile
from tiles_ecg.recording import LabelSpec
from tiles_ecg.window_file import WindowFile

FORMAT = "tiles_ecg store"
FORMAT_VERSION = 1


class StoreError(Exception):
    """A store cannot be read or written. The message names the file, what is wrong, and what would be right."""

    is_user_error = True


class NoWindowError(StoreError):
    """A store is not written, since no window is left of any source.

    Attributes:
        reason: In words, without the store's name.
    """

    def __init__(self, store: Path, reason: str) -> None:
        super().__init__(f"{store}: not written, since {reason}")
        self.reason = reason


class Store:
    """A prepared dataset, opened for reading.

    The signal is read by batches, never loaded; opening takes milliseconds whatever the size. An instance pickles as
    its path, and opens anew where it is unpickled.

    Args:
        path: File written by `tiles-prepare`.

    Raises:
        StoreError: If there is no such file, it is not a store, it is cut short, or its format version is another.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._open()
        except StoreError:
            raise
        except FileNotFoundError:
            raise StoreError(f"{path}: no such store; make it with: tiles-prepare reader=... store={path}") from None
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise StoreError(_unreadable(self.path, error)) from error

    def _open(self) -> None:
        with h5py.File(self.path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise StoreError(f"{self.path}: an HDF5 file, but not one that tiles-prepare wrote")
            version = int(file.attrs["format_version"])
            if version != FORMAT_VERSION:
                raise StoreError(
                    f"{self.path}: store format version {version}, this package reads version {FORMAT_VERSION}; "
                    "prepare it again, or use the package version "
                    f"{file.attrs.get('package_version', 'that wrote it')}"
                )
            signal = file["signal"]
            self.n_windows, self.n_leads, self.window_length = map(int, signal.shape)
            self._signal_offset = signal.id.get_offset()
            if self._signal_offset is None and self.n_windows:
                raise StoreError(f"{self.path}: its signal is not contiguous, so it was not written by tiles-prepare")
            self.attributes: dict[str, Any] = {key: _plain(value) for key, value in file.attrs.items()}
            self.subject = file["window/subject"][:]
            self.recording = file["window/recording"][:]
            self.quality = file["window/quality"][:]
            self.beat_offset = file["beat/offset"][:]
            self.beat_position = file["beat/position"][:]
            self.subject_id = _strings(file["subject/id"])
        expected = (self._signal_offset or 0) + 4 * self.n_windows * self.n_leads * self.window_length
        if self.path.stat().st_size < expected:
            raise StoreError(
                f"{self.path}: cut short, {self.path.stat().st_size:,} of at least {expected:,} bytes; "
                "copy or prepare it again"
            )

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return self.n_windows

    @property
    def sample_rate(self) -> float:
        """Hz."""
        return float(self.attributes["sample_rate"])

    @property
    def unit(self) -> str:
        """`mV`, `a.u.` or `mixed`."""
        return str(self.attributes["unit"])

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.window_length / self.sample_rate

    @property
    def digest(self) -> str:
        """Hash of what the store was made from: its sources' content and the prepare config."""
        return str(self.attributes["digest"])

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """Of the files that it was made from, one for each source: see `tiles_ecg.fingerprint`.

        Empty where recordings are generated, without files, and in a store that was prepared before there were any.
        """
        with h5py.File(self.path, "r") as file:
            return frozenset(_strings(file["source/fingerprint"])) if "source/fingerprint" in file else frozenset()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config that the store was prepared with."""
        return dict(json.loads(self.attributes["config"]))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Subjects, windows, hours, quality and drops by reason, as `tiles-prepare` printed them."""
        return dict(json.loads(self.attributes["summary"]))

    @cached_property
    def signal(self) -> WindowFile:
        """The windows, (N, C, T), read on demand."""
        return WindowFile(self.path, self._signal_offset or 0, (self.n_windows, self.n_leads, self.window_length))

    def read(self, name: str) -> NDArray[Any]:
        """A whole table column such as `window/start_s` or `subject/mean`; text comes as an array of str.

        Raises:
            StoreError: If there is no such column; the message lists those there are.
        """
        with h5py.File(self.path, "r") as file:
            if not isinstance(file.get(name), h5py.Dataset):
                raise StoreError(f"{self.path}: no column {name!r}; there are {', '.join(_columns(file))}")
            column = file[name]
            return np.array(_strings(column)) if h5py.check_string_dtype(column.dtype) else column[:]

    @cached_property
    def labels(self) -> dict[str, LabelSpec]:
        """What labels the store holds, by name."""
        found = {}
        with h5py.File(self.path, "r") as file:
            for level in ("window", "recording", "subject"):
                for name, column in file.get(f"{level}/label", {}).items():
                    classes = tuple(json.loads(column.attrs["classes"]))
                    found[name] = LabelSpec(name, level, column.attrs["kind"], classes, column.attrs["unit"])
        return found

    def label(self, name: str) -> Label:
        """A label with one value a window, whatever its level.

        Raises:
            StoreError: If there is no such label; the message lists those there are.
        """
        if name not in self.labels:
            raise StoreError(f"{self.path}: no label {name!r}; there are {', '.join(self.labels) or 'none'}")
        spec = self.labels[name]
        value = self.read(f"{spec.level}/label/{name}")
        rows = {"recording": self.recording, "subject": self.subject}.get(spec.level)
        return Label(spec, value if rows is None else value[rows])


class StoreWriter:
    """A new store, written under another name and renamed when whole.

    Used in a `with`. The signal goes in through `write_signal`, row by row from 0; then columns, labels, attributes.

    Args:
        path: The store to be.
        shape: (N, C, T) of its signal.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        self.scratch = path.with_name(f"{path.name}.tmp")
        self._shape = shape
        self._file: h5py.File = None

    def __enter__(self) -> "StoreWriter":
        self._disk = LateFailureFile(self.scratch, "w+")
        self._file = h5py.File(self._disk, "w", libver="earliest")
        space = h5py.h5s.create_simple(self._shape)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(self._file.id, b"signal", h5py.h5t.IEEE_F32LE, space, plist)
        return self

    def write_signal(self, first: int, block: NDArray[np.float32]) -> None:
        """Write windows `first`, `first` + 1, ..."""
        if len(block):
            self._file["signal"][first : first + len(block)] = block
            self._disk.check()

    def written_signal(self) -> WindowFile:
        """The windows, once all of them are written."""
        self._file.flush()
        self._disk.check()
        return WindowFile(self.scratch, self._file["signal"].id.get_offset(), self._shape)

    def write_columns(self, columns: Mapping[str, NDArray[Any] | list[str]]) -> None:
        """Write whole columns; lists of str become text."""
        for name, column in columns.items():
            if isinstance(column, list):
                self._file.create_dataset(name, data=np.array(column, object), dtype=h5py.string_dtype())
            else:
                self._file.create_dataset(name, data=column)

    def write_label(self, label: Label) -> None:
        """Write a label under its level."""
        spec = label.spec
        column = self._file.create_dataset(f"{spec.level}/label/{spec.name}", data=label.value)
        column.attrs.update({"kind": spec.kind, "classes": json.dumps(spec.classes), "unit": spec.unit})

    def write_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Write attributes of the file; long text included."""
        self._file["signal"].attrs["unit"] = attributes.get("unit", "")
        for name, value in attributes.items():
            self._file.attrs[name] = value

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION})
                self._file.flush()
            self._file.close()
            self._disk.close()
            self._disk.check()
            if kind is None:
                with self.scratch.open("rb") as written:
                    os.fsync(written.fileno())
                os.replace(self.scratch, self.path)
        finally:
            self.scratch.unlink(missing_ok=True)


def _unreadable(path: Path, error: Exception) -> str:
    if path.is_dir():
        return f"{path}: a folder, not a store; give a file that tiles-prepare wrote"
    reason = str(error)
    if "truncated" in reason:
        return f"{path}: cut short (HDF5 says: {reason}); copy or prepare it again"
    if "signature" in reason:
        return f"{path}: not an HDF5 file; give a store that tiles-prepare wrote"
    return f"{path}: not a readable store (HDF5 says: {reason})"


def _columns(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _strings(column: h5py.Dataset) -> list[str]:
    return [str(text) for text in column.asstr()[:]]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
