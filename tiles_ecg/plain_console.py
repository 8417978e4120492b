"""Commands that take arguments and no config: how these are read, what is said of a mistake, and how they end."""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

MISTAKE = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; its description and epilog are shown as they are written."""

    def __init__(self, prog: str, description: str = "", epilog: str = "", usage: str | None = None) -> None:
        super().__init__(prog, usage, description, epilog, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(MISTAKE, f"{self.prog}: {message}; see {self.prog} --help\n")


@contextlib.contextmanager
def failures_told(program: str, interrupted: str = "interrupted") -> Iterator[None]:
    """End with a line on standard error, and no traceback, for a mistake of the user or an interruption.

    Args:
        program: That the line begins with.
        interrupted: What is said of an interruption.

    Raises:
        SystemExit: With status 2 after a mistake, 130 after an interruption. Anything else is raised as it came.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"{program}: {interrupted}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        from tiles_ecg.console_failure import is_mistake, message

        if not is_mistake(error):
            raise
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        print(f"{program}: {message(error)}", file=sys.stderr)
        sys.exit(MISTAKE)


def say(text: str) -> None:
    """Print; whoever reads no more, as `head` does, does not keep files from being written."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
