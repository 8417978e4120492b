"""Whose fault an exception is, and what is said of it."""

import os
import re
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from hydra.errors import InstantiationException

from tiles_ecg.console_flags import program

MISTAKE = 2


def end_with_failure(error: Exception) -> NoReturn:
    """End with a message for a mistake; raise anything else as it came."""
    if not is_mistake(error):
        raise error
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    print(f"{program()}: {message(error)}", file=sys.stderr)
    sys.exit(MISTAKE)


def cause_of(error: BaseException) -> BaseException:
    """What a component raised, without Hydra's wrapping."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_mistake(error: BaseException) -> bool:
    """Whether an exception is the user's: by its class, or raised by a component that checks its arguments."""
    cause = cause_of(error)
    return getattr(type(cause), "is_user_error", False) is True or (cause is not error and _is_argument_check(cause))


def message(error: BaseException) -> str:
    """The exception's own message, led by the key of the component that raised it."""
    key = re.search(r"full_key: (\S+)", str(error)) if isinstance(error, InstantiationException) else None
    text = str(cause_of(error))
    return f"{key[1]}: {text}" if key and _is_argument_check(cause_of(error)) else text


def _is_argument_check(error: BaseException) -> bool:
    """Whether a component's own `__init__`, or what that calls of ours, refused a value or a file that it names."""
    frames = traceback.extract_tb(error.__traceback__)
    started = [number for number, frame in enumerate(frames) if frame.name in {"__init__", "__post_init__"}]
    ours = Path(__file__).parent
    is_own = bool(started) and all(Path(frame.filename).is_relative_to(ours) for frame in frames[started[0] :])
    return isinstance(error, ValueError | FileNotFoundError) and is_own
