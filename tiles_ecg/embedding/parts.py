"""The folder beside a file to be, in which what it is made of lies until it is whole."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tiles_ecg.config import ConfigError
from tiles_ecg.embedding.rows import ROWS
from tiles_ecg.folder_lock import LOCK_FILE, is_locked

PLAN = "plan.json"


def open_parts(parts: Path, plan: Mapping[str, Any], tell: Callable[[str], None], output: Path) -> None:
    """Make the folder; what another plan left in it is removed.

    Args:
        parts: The folder.
        plan: Of what the file is made, and how.
        tell: Is told when something is begun anew.
        output: The file to be, for errors.

    Raises:
        ConfigError: If the folder was not made by `tiles-embed`, or another process is at work in it.
    """
    text = json.dumps(plan, sort_keys=True, default=str)
    file = parts / PLAN
    left = [name for name in os.listdir(parts) if name != LOCK_FILE] if parts.is_dir() else []
    if parts.exists() and (not parts.is_dir() or (left and PLAN not in left and f"{PLAN}.tmp" not in left)):
        raise ConfigError(f"-o {output}: {parts} is in the way and was not made by tiles-embed; move it")
    if left and (not file.exists() or file.read_text() != text):
        if is_locked(parts, {}):
            raise ConfigError(f"-o {output}: another process is at work on it, with another model, input or option")
        if file.exists():
            tell(f"{parts} was begun with another model, input or option: starting afresh")
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        scratch = parts / f"{PLAN}.tmp"
        scratch.write_text(text)
        os.replace(scratch, file)


@contextlib.contextmanager
def kept_if_begun(parts: Path) -> Iterator[None]:
    """Empty the folder when the block ends, unless something in it spares work to the same command."""
    try:
        yield
    except ConfigError:  # that command ends so each time
        empty(parts)
        raise
    finally:
        names = [name for _, _, files in os.walk(parts) for name in files]
        if not any(name == ROWS or name.endswith((".h5", ".part")) for name in names):
            empty(parts)


def empty(parts: Path) -> None:
    """Remove all that is in the folder but its lock."""
    for path in parts.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK_FILE:
            path.unlink()


def scratch_store(parts: Path, config: Mapping[str, Any]) -> Path:
    """Where the store of raw recordings lies that are prepared by a config."""
    text = json.dumps(config, sort_keys=True, default=str)
    return parts / f"prepared-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}.h5"
