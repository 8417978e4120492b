"""A run folder and W&B: the id of its run, and what W&B would keep in the home folder, kept here."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiles_ecg.logger.wandb_artifact import RUN_ID_FILE


def run_id(folder: Path, is_anew: bool = False) -> str:
    """The id of the W&B run of a run folder, made once and kept in it, so that a resumed run continues it.

    Args:
        folder: The run folder; a relative one is that below the folder we are in.
        is_anew: Whether the run begins from its first step: then the id of a former attempt is not taken.
    """
    path = folder / RUN_ID_FILE
    known = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if known and not (is_anew and any(folder.glob(f"wandb/*run-*-{known}"))):
        return known
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(secrets.token_hex(6), encoding="utf-8")
    os.replace(scratch, path)
    return path.read_text(encoding="utf-8")


@contextlib.contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Have W&B keep in a folder what it would keep in the home folder: logs of its service, copies of artifacts."""
    names = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder.absolute())))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_service(run: Any = None) -> None:
    """End W&B's service, which keeps its log in the folder of the run that it was started for.

    A service that is lost ends with whatever W&B says of that, `SystemExit` included.

    Args:
        run: The W&B run that is over; where another is at work, its service is left alone.
    """
    import wandb

    if wandb.run is None or wandb.run is run:
        with contextlib.suppress(Exception, SystemExit):
            wandb.teardown()
