"""A file whose failures can be asked for later, since HDF5 cannot live with them where they happen."""

import io
from typing import Any


class LateFailureFile(io.FileIO):
    """A file opened for reading and writing that keeps the first failure to write, and pretends to go on.

    HDF5 tries a write that failed (a full disk) again whenever an object is closed, and in the end takes the process
    with it (seen with HDF5 1.14 under a file size limit). The same holds for Ctrl-C within a write.

    Attributes:
        failure: The first failure, or None.
    """

    failure: BaseException | None = None

    def write(self, block: Any) -> int:
        """Write all of a block, unless a write has failed before."""
        view = memoryview(block).cast("B")
        written = 0
        try:
            while self.failure is None and written < len(view):
                written += super().write(view[written:]) or 0
        except BaseException as error:
            self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, unless a write has failed before."""
        try:
            if self.failure is None:
                return super().truncate(size)
        except BaseException as error:
            self.failure = error
        return size or 0

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure
