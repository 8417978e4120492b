"""Part: the windows of one source in a file of their own, while `tiles-prepare` is at work.

Blocks of columns lie one after another as they were appended, raw; then follow a JSON footer that says what lies where,
its length and a mark. HDF5 takes 4 ms to make such a file of ten short columns, this 0.3 ms: there may be thousands.
"""

import json
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MARK = b"ecgpart2"
"""Last bytes of a whole part, with the version of its layout."""
TAIL = struct.Struct("<Q8s")  # length of the footer, mark


class Part:
    """Windows of one source, appended in blocks.

    Used in a `with`: the file gets its name when the block ends well, and vanishes when it does not.

    Args:
        path: The file to be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scratch = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        self._blocks: dict[str, list[tuple[int, str, tuple[int, ...]]]] = {}
        self._description: Mapping[str, Any] = {}

    def __enter__(self) -> "Part":
        self._file: BinaryIO = self._scratch.open("wb")
        return self

    def append(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to columns; a column is made by its first block.

        Raises:
            ValueError: If the rows of a block have another shape or type than those before.
        """
        for name, block in columns.items():
            blocks = self._blocks.setdefault(name, [])
            if blocks and (blocks[0][1], blocks[0][2][1:]) != (block.dtype.str, block.shape[1:]):
                before = f"{blocks[0][1]} of shape {blocks[0][2][1:]}"
                raise ValueError(f"{name}: rows of {block.dtype.str} of shape {block.shape[1:]} after rows of {before}")
            blocks.append((self._file.tell(), block.dtype.str, block.shape))
            self._file.write(np.ascontiguousarray(block).data if block.size else b"")

    def describe(self, description: Mapping[str, Any]) -> None:
        """Set the description, of what JSON can hold; NumPy's numbers become plain ones."""
        self._description = description

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                footer = {"description": self._description, "blocks": self._blocks}
                text = json.dumps(footer, default=_plain).encode()
                self._file.write(text + TAIL.pack(len(text), MARK))
            self._file.close()
            if kind is None:
                os.replace(self._scratch, self.path)
        finally:
            self._scratch.unlink(missing_ok=True)


class PartReader:
    """A finished part.

    Args:
        path: The file.

    Attributes:
        description: What `Part.describe` was given.

    Raises:
        ValueError: If it is no whole part.
        OSError: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL.size))
            tail = file.read()
            length, mark = TAIL.unpack(tail) if len(tail) == TAIL.size else (0, b"")
            if mark != MARK or length > size - TAIL.size:
                raise ValueError(f"{path}: not a whole part")
            file.seek(size - TAIL.size - length)
            footer = json.loads(file.read(length))
        self.description: dict[str, Any] = footer["description"]
        self._blocks: dict[str, list[tuple[int, str, list[int]]]] = footer["blocks"]

    def read_columns(self) -> dict[str, NDArray[Any]]:
        """All columns but the signal, by name."""
        columns = {}
        with self.path.open("rb") as file:
            for name, blocks in self._blocks.items():
                if name != "signal":
                    columns[name] = np.concatenate([_read(file, *block) for block in blocks])
        return columns

    def read_signal(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Windows in the order of `rows`: (B,) -> (B, C, T) float32."""
        blocks = self._blocks["signal"]
        windows = np.empty((len(rows), *blocks[0][2][1:]), np.float32)
        first = 0
        for offset, dtype, shape in blocks:
            inside = np.flatnonzero((rows >= first) & (rows < first + shape[0]))
            if len(inside):
                block = np.memmap(self.path, dtype, "r", offset, tuple(shape))
                windows[inside] = block[rows[inside] - first]
            first += shape[0]
        return windows


def open_part(path: Path) -> PartReader | None:
    """A finished part, or None if the file is absent or damaged."""
    try:
        return PartReader(path)
    except (OSError, ValueError, KeyError):
        return None


def _read(file: BinaryIO, offset: int, dtype: str, shape: list[int]) -> NDArray[Any]:
    file.seek(offset)
    return np.fromfile(file, dtype, int(np.prod(shape))).reshape(shape)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be kept in a part; give text, numbers, or lists of these")
