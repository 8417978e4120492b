"""Writes checkpoints in the background: training waits while its state is copied, and no longer."""

import threading
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from tiles_ecg.checkpoint_file import put_in_place, remove_scratch, snapshot, write_scratch


class CheckpointWriter(TorchCheckpointIO):
    """Lightning's way to save checkpoints, which copies the state and leaves the writing to a thread.

    What is written gets its final name only when it is `released`: when everything that the run has logged of the step
    is in its files too, so that a run killed at any moment goes on without a gap in them. One write at a time.
    """

    def __init__(self) -> None:
        self._write: _Write | None = None

    @property
    def waits_for_release(self) -> bool:
        """Whether a checkpoint may not yet get its name."""
        return self._write is not None and not self._write.is_decided.is_set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Copy a state and begin to write it.

        Args:
            checkpoint: The state.
            path: The file to be.
            storage_options: A list of further files to be of it, or None.

        Raises:
            Exception: What the write before failed with, unless it was told.
        """
        failure = self.wait()
        if failure is not None:
            raise failure.error
        self._write = _Write(snapshot(checkpoint), [Path(path), *(storage_options or [])])
        self._write.start()

    def release(self) -> None:
        """Let what is being written get its name."""
        self._decide(True)

    def discard(self) -> None:
        """Drop what is being written, unless it was released."""
        self._decide(False)

    def wait(self) -> "WriteFailure | None":
        """Wait until nothing is being written; why the last write failed, told once."""
        self.release()
        write, self._write = self._write, None
        if write is None:
            return None
        write.join()
        return write.failure

    def teardown(self) -> None:
        """A last chance for a run that ended in a way nobody thought of."""
        self.discard()
        self.wait()

    def _decide(self, is_wanted: bool) -> None:
        if self._write is not None and not self._write.is_decided.is_set():
            self._write.is_wanted = is_wanted
            self._write.is_decided.set()


class WriteFailure:
    """Why a checkpoint was not written.

    Attributes:
        path: The file that was to be.
        step: Of the state.
        error: What happened.
    """

    def __init__(self, path: Path, step: int, error: BaseException) -> None:
        self.path, self.step, self.error = path, step, error


class _Write(threading.Thread):
    """One state on its way to the disk."""

    def __init__(self, checkpoint: dict[str, Any], paths: list[Path]) -> None:
        super().__init__(name="checkpoint", daemon=True)
        self.checkpoint: dict[str, Any] | None = checkpoint
        self.step = int(checkpoint["global_step"])
        self.paths = paths
        self.is_decided = threading.Event()
        self.is_wanted = False
        self.failure: WriteFailure | None = None

    def run(self) -> None:
        at = self.paths[0]
        try:
            for at in self.paths:
                write_scratch(self.checkpoint or {}, at)
            self.checkpoint = None
            self.is_decided.wait()
            for at in self.paths if self.is_wanted else []:
                put_in_place(at)
        except BaseException as error:
            self.failure = WriteFailure(at, self.step, error)
        finally:
            for path in self.paths:
                remove_scratch(path)
