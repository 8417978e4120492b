"""Weights & Biases without surprises: online with a key, else offline, never a prompt, one run a folder."""

import logging
import netrc
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)

Mode = Literal["auto", "online", "offline", "disabled"]
INIT_TIMEOUT_S = 30.0


def resolve_mode(mode: Mode) -> Mode:
    """`auto` -> `online` if a key is found in the environment or the netrc file, else `offline`.

    WANDB_MODE, where set, decides before that.
    """
    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE", "")
    if asked in ("online", "offline", "disabled"):
        return asked  # type: ignore[return-value]
    return "online" if _has_key() else "offline"


def run_id(folder: Path) -> str:
    """The id of the W&B run of a run folder: made once, kept in `wandb_run_id.txt`, so that a resumed run continues it."""
    path = folder / "wandb_run_id.txt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(6))
    return path.read_text().strip()


def wandb_logger(
    save_dir: str,
    project: str,
    entity: str | None = None,
    mode: Mode = "auto",
    group: str | None = None,
    job_type: str = "pretrain",
    tags: Sequence[str] = (),
) -> WandbLogger:
    """A logger for the run of a folder; falls back to offline, with one line, if the service does not answer.

    Args:
        save_dir: The run folder; its last two parts name the run.
        project: W&B project.
        entity: User or team; None for the key's own.
        mode: See `resolve_mode`.
        group: Runs that belong together, such as a sweep.
        job_type: `pretrain`, `finetune`, ...
        tags: Of the run.
    """
    import wandb

    folder = Path(save_dir)
    resolved = resolve_mode(mode)
    settings = wandb.Settings(init_timeout=INIT_TIMEOUT_S, silent=True)
    about = {
        "name": "/".join(folder.parts[-2:]),
        "save_dir": save_dir,
        "id": run_id(folder),
        "project": project,
        "entity": entity,
        "group": group,
        "job_type": job_type,
        "tags": list(tags),
        "resume": "allow",
        "settings": settings,
    }
    logger = WandbLogger(**about, mode=resolved)
    try:
        run = logger.experiment
    except wandb.errors.CommError as error:
        log.warning("W&B did not answer (%s); logging offline", error)
        wandb.finish(exit_code=1)
        resolved = "offline"
        logger = WandbLogger(**about, mode=resolved)
        run = logger.experiment
    if resolved == "online":
        log.info("W&B: %s", run.url)
    elif resolved == "offline":
        log.info("W&B: offline; send it later with: wandb sync %s", Path(run.dir).parent)
    return logger


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0].split(":")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC") or None).authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError, OSError):
        return False
