"""Origin: when a report was made, with what, and what it has to do without."""

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version

from tiles_ecg.summary.document import Listing
from tiles_ecg.summary.runs import Setback

PACKAGES = ("tiles_ecg", "torch", "numpy", "scipy", "scikit-learn")


def origin(made: datetime) -> str:
    """`2026-11-22 14:05, with tiles_ecg 0.1.0, ...`."""
    known = [f"{name} {version(name)}" for name in PACKAGES]
    return f"{made:%Y-%m-%d %H:%M}, with {', '.join([*known, f'Python {platform.python_version()}'])}."


def missing(setbacks: Sequence[Setback]) -> list[Listing]:
    """The list of what could not be used, if there is any."""
    items = tuple(f"{setback.path}: {setback.reason}" for setback in setbacks)
    return [Listing("Not in this report", items)] if items else []
