"""Frees a process that waits for another one for ever, since that has ended."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self


class Watch(threading.Thread):
    """While the block lasts, asks whether another process was lost, and then does one thing after the other.

    Args:
        is_lost: Asked every `every_s`.
        measures: Done in turn, each after `grace_s` in which the block did not end by itself.
        grace_s: Time for the block to end by itself.
        every_s: Between two looks.
    """

    def __init__(
        self, is_lost: Callable[[], bool], measures: Sequence[Callable[[], None]], grace_s: float, every_s: float
    ) -> None:
        super().__init__(daemon=True, name="other-processes")
        self.is_lost = is_lost
        self.measures = measures
        self.grace_s = grace_s
        self.every_s = every_s
        self._is_over = threading.Event()

    def run(self) -> None:
        """Look now and then until the block ends."""
        while not self._is_over.wait(self.every_s):
            if self.is_lost():
                break
        for measure in self.measures:
            if self._is_over.wait(self.grace_s):
                return
            measure()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self.join()
