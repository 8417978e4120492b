"""The prepared dataset on disk: one HDF5 file, its names, units and version. The only place that imports h5py.

    signal              (N, C, T) float32, contiguous, in the unit of the attribute `unit`; filtered, not normalised
    window/             subject, recording (row numbers), start_s, wall_time_s, quality, label/<name>
    beat/               position (time points within the window), offset (N + 1)
    subject/            id, mean, std, median, robust_std (subjects, C), label/<name>
    recording/          id, source, device, subject, leads, label/<name>

A store is written under another name and renamed when it is whole. `Part`s are the same, one a source, while
`tiles-prepare` is at work.
"""

import json
import mmap
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tiles_ecg.label import Label
from tiles_ecg.recording import LabelSpec

FORMAT = "tiles_ecg store"
FORMAT_VERSION = 1
RELEASE_BYTES = 256 << 20
"""Pages read through the map are handed back to the system after so many bytes, so that memory does not grow."""


class StoreError(Exception):
    """A store cannot be read or written. The message names the file, what is wrong, and what would be right."""

    is_user_error = True


class Store:
    """A prepared dataset, opened for reading.

    The signal is memory-mapped, never loaded; opening takes milliseconds whatever the size. An instance pickles as its
    path, and opens anew where it is unpickled.

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
        except (OSError, KeyError, ValueError) as error:
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
                f"{self.path}: cut short, {self.path.stat().st_size:,} of at least {expected:,} bytes; copy or prepare it again"
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
    def config(self) -> dict[str, Any]:
        """The resolved config that the store was prepared with."""
        return dict(json.loads(self.attributes["config"]))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Subjects, windows, hours, quality and drops by reason, as `tiles-prepare` printed them."""
        return dict(json.loads(self.attributes["summary"]))

    @cached_property
    def signal(self) -> "SignalMap":
        """The windows, (N, C, T), read on demand."""
        return SignalMap(self.path, self._signal_offset or 0, (self.n_windows, self.n_leads, self.window_length))

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


class SignalMap:
    """Windows of a store, gathered by whole batches from a memory map.

    Args:
        path: The file.
        offset: Where the windows begin in it, in bytes.
        shape: (N, C, T).
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._map: mmap.mmap | None = None
        n_bytes = 4 * int(np.prod(shape))
        if n_bytes == 0:
            self._windows = np.empty(shape, np.float32)
        else:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._windows = np.frombuffer(self._map, np.float32, n_bytes // 4, offset).reshape(shape)
        self._touched = 0

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy windows: rows (B,) -> (B, C, T) float32."""
        windows = self._windows[rows]
        self._touched += windows.nbytes
        if self._touched > RELEASE_BYTES and self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # they stay in the system's cache, no longer in this process
            self._touched = 0
        return windows


class Part:
    """Windows of one source, appended in blocks to a file of their own while `tiles-prepare` is at work.

    Used in a `with`: the file gets its name when the block ends well, and vanishes when it does not.

    Args:
        path: The file to be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self._file: h5py.File = None

    def __enter__(self) -> "Part":
        self._file = h5py.File(self._scratch, "w")
        return self

    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to columns; a column is made by its first block."""
        for name, block in columns.items():
            if name not in self._file:
                rows = max(1, min(64, len(block) or 1))
                self._file.create_dataset(
                    name,
                    (0, *block.shape[1:]),
                    block.dtype,
                    maxshape=(None, *block.shape[1:]),
                    chunks=(rows, *block.shape[1:]),
                )
            column = self._file[name]
            if column.shape[1:] != block.shape[1:]:
                raise ValueError(f"{name}: rows of shape {block.shape[1:]} after rows of shape {column.shape[1:]}")
            column.resize(len(column) + len(block), axis=0)
            if len(block):
                column[-len(block) :] = block

    def describe(self, description: Mapping[str, Any]) -> None:
        """Set the JSON description that `read_description` gives back."""
        _write_text(self._file, "description", json.dumps(description))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                os.replace(self._scratch, self.path)
        finally:
            self._scratch.unlink(missing_ok=True)


def read_description(path: Path) -> dict[str, Any] | None:
    """The description of a finished part, or None if the file is absent or damaged."""
    try:
        with h5py.File(path, "r") as file:
            return dict(json.loads(file["description"][()]))
    except (OSError, KeyError, ValueError):
        return None


def read_columns(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All columns of a part but the signal, by name."""
    with h5py.File(path, "r") as file:
        return {
            name: file[name][:]
            for name in _columns(file)
            if name.startswith(prefix) and name not in ("signal", "description")
        }


def read_signal(path: Path, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """Windows of a part; `rows` may come in any order."""
    with h5py.File(path, "r") as file:
        if isinstance(rows, slice):
            return np.asarray(file["signal"][rows])
        order = np.argsort(rows)
        block = np.empty((len(rows), *file["signal"].shape[1:]), np.float32)
        block[order] = file["signal"][rows[order]]
        return block


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
        self._file = h5py.File(self.scratch, "w", libver="earliest")
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

    def read_signal(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Windows written before, by rising row number."""
        return np.asarray(self._file["signal"][rows])

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
            if kind is None:
                with self.scratch.open("rb") as written:
                    os.fsync(written.fileno())
                os.replace(self.scratch, self.path)
        finally:
            self.scratch.unlink(missing_ok=True)


def _unreadable(path: Path, error: Exception) -> str:
    if path.is_dir():
        return f"{path}: a folder, not a store"
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


def _write_text(file: h5py.File, name: str, text: str) -> None:
    file.create_dataset(name, data=text, dtype=h5py.string_dtype())
