"""What the jobs of a sweep are called: by what varies in them, readable, safe for a file system, unique."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

MAX_BYTES = 120
HASH_DIGITS = 6
ALONE = "run"
"""A job in which nothing varies."""


def job_names(
    stages: Sequence[str],
    varied: Sequence[Mapping[str, str]],
    overrides: Sequence[Sequence[str]],
    taken: Collection[str] = (),
) -> list[str]:
    """A name for each job.

    Args:
        stages: Stage of each job, or empty.
        varied: What tells each from the others: key -> value.
        overrides: All of each job; names that would be equal are told apart by a hash of them.
        taken: Names that are given already.
    """
    whole = [_join(stage, values, is_short=False) for stage, values in zip(stages, varied, strict=True)]
    short = [_join(stage, values, is_short=True) for stage, values in zip(stages, varied, strict=True)]
    names = [text if len(text.encode()) <= MAX_BYTES else brief for text, brief in zip(whole, short, strict=True)]
    cut = [_cut(name, MAX_BYTES) for name in names]
    count = Counter(name.casefold() for name in cut)  # some file systems do not tell A from a
    used = {name.casefold() for name in taken}
    return [
        name if count[name.casefold()] == 1 and name.casefold() not in used and name == full else _hashed(name, texts)
        for name, full, texts in zip(cut, names, overrides, strict=True)
    ]


def _join(stage: str, varied: Mapping[str, str], is_short: bool) -> str:
    """`encoder=resnet8,seed=0`; short: of dotted keys the last part only."""
    parts = [f"{_safe(_last(key) if is_short else key)}={_value(value)}" for key, value in varied.items()]
    return "-".join(text for text in (_safe(stage), ",".join(parts)) if text) or ALONE


def _last(key: str) -> str:
    return re.split(r"[./@]", key)[-1]


def _value(text: str) -> str:
    """Of a path its last part; of a list its elements; `none` where nothing is left."""
    inner = text.strip("'\"").rstrip("/")
    return _safe(re.sub(r"[^,=\[\]{}:]*/(?=[^,=\[\]{}:])", "", inner)) or "none"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.,=+~-]", "", re.sub(r"[\s:@/]+", "-", text.strip(" /"))).strip(".")


def _hashed(name: str, overrides: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(sorted(overrides)).encode()).hexdigest()[:HASH_DIGITS]
    return f"{_cut(name, MAX_BYTES - HASH_DIGITS - 1)}-{digest}"


def _cut(text: str, n_bytes: int) -> str:
    return text.encode()[:n_bytes].decode(errors="ignore").rstrip(",=-.")
