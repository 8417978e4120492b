"""Rows of embeddings on their way: a raw file that grows, and how much of it can be relied on."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

SYNC_S = 5.0
"""Seconds from one time to the next that rows are forced to the disk."""
ROWS, STATE = "rows.f32", "rows.json"
AT_ONCE = 8192
"""Rows that are read together."""


class RowFile:
    """Rows of float32, appended; after a crash, those of the last synchronisation are there.

    Used in a `with`.

    Args:
        folder: Where it lies; made.
        width: D, numbers of a row.
        stores: Digests of what the rows are of; rows of others are begun anew.

    Attributes:
        n_rows: How many there are.
    """

    def __init__(self, folder: Path, width: int, stores: Sequence[str]) -> None:
        self.path, self._state = folder / ROWS, folder / STATE
        self.width = width
        self._stores = list(stores)
        self.n_rows = self._reliable()
        self._file: IO[bytes] | None = None
        self._synced = time.monotonic()

    def _reliable(self) -> int:
        try:
            state = json.loads(self._state.read_text())
            is_whole = self.path.stat().st_size >= 4 * self.width * state["rows"]
            return int(state["rows"]) if is_whole and state["stores"] == self._stores else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def __enter__(self) -> "RowFile":
        self._file = self.path.open("r+b" if self.n_rows else "wb")
        self._file.truncate(4 * self.width * self.n_rows)
        self._file.seek(0, os.SEEK_END)
        return self

    def append(self, rows: NDArray[np.float32]) -> None:
        """Write rows, (B, D)."""
        assert self._file is not None
        self._file.write(np.ascontiguousarray(rows, "<f4").data)
        self.n_rows += len(rows)
        if time.monotonic() - self._synced > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Force the rows to the disk, then say how many they are."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        scratch = self._state.with_name(f"{STATE}.tmp")
        scratch.write_text(json.dumps({"rows": self.n_rows, "stores": self._stores}))
        os.replace(scratch, self._state)
        self._synced = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        if kind is None or not issubclass(kind, OSError):
            self.sync()
        self._file.close()

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The rows in order, some thousands at a time, each time with the number of the first: (B, D)."""
        with self.path.open("rb") as file:
            for first in range(0, self.n_rows, AT_ONCE):
                count = min(AT_ONCE, self.n_rows - first)
                yield first, np.fromfile(file, "<f4", count * self.width).reshape(count, self.width)
