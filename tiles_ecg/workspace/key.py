"""Keys of panels: a metric's name, with `{a,b}` for alternatives and `*` for anything."""

import re
from collections.abc import Iterable
from itertools import product

_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)")


def check_key(key: str) -> str:
    """The key as it came.

    Raises:
        ValueError: If it is empty, or its braces hold no alternatives or do not match.
    """
    if not key.strip() or key != key.strip():
        raise ValueError(f"{key!r}: a key is the name under which something is logged, such as train/loss")
    left = _PART.sub("", key)
    if left or any(not all(found[1].split(",")) for found in _PART.finditer(key) if found[0][0] == "{"):
        raise ValueError(f"{key!r}: write alternatives as in test/{{auroc,mae}}")
    return key


def has_star(key: str) -> bool:
    """Whether the key stands for names that are not known beforehand."""
    return "*" in key


def alternatives(key: str) -> list[str]:
    """`test/{auroc,mae}` -> `test/auroc`, `test/mae`."""
    parts = [found[1].split(",") if found[0].startswith("{") else [found[0]] for found in _PART.finditer(key)]
    return ["".join(chosen) for chosen in product(*parts)]


def pattern(keys: Iterable[str]) -> str:
    """A regular expression, for Python and JavaScript, of the names that the keys stand for."""
    names = (name for key in keys for name in alternatives(key))
    return f"^({'|'.join(_escaped(name) for name in names)})$"


def _escaped(name: str) -> str:
    """Without the escapes of `re.escape` that JavaScript refuses."""
    return re.sub(r"[.+?^$()|\[\]\\]", r"\\\g<0>", name).replace("*", ".*")
