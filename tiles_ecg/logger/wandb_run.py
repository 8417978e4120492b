"""Weights & Biases without surprises: online with a key, else offline, never a prompt, one run a folder."""

import json
import logging
import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from tiles_ecg.config import ConfigError
from tiles_ecg.run_record import OVER, State

log = logging.getLogger(__name__)

Resolved = Literal["online", "offline", "disabled"]
Mode = Literal["auto"] | Resolved
INIT_TIMEOUT_S = 30.0


def resolve_mode(mode: Mode) -> Resolved:
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
    """The id of the W&B run of a run folder, made once and kept in it, so that a resumed run continues it."""
    path = folder / "wandb_run_id.txt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(6))
    return path.read_text().strip()


class WandbRun(WandbLogger):
    """Lightning's logger, whose run ends with the job, as the job ended."""

    def end(self, state: State, metrics: Mapping[str, float]) -> None:
        """Finish the W&B run, as failed if the run failed, so that the next job begins its own.

        Args:
            state: How the run ended.
            metrics: Its last ones, for the summary.
        """
        import wandb

        if wandb.run is not None:
            wandb.finish(exit_code=0 if state in OVER else 1)


def wandb_logger(
    save_dir: str,
    project: str,
    entity: str | None = None,
    mode: Mode = "auto",
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
) -> WandbRun:
    """A logger for the run of a folder; falls back to offline, with one line, if the service does not answer.

    Args:
        save_dir: The run folder; its last two parts name the run.
        project: W&B project.
        entity: User or team; None for the key's own.
        mode: See `resolve_mode`.
        group: Runs that belong together; null takes the protocol's hash for a run that is judged on a task, else the
            sweep, for a job of one.
        job_type: `pretrain`, `finetune`, ...; null takes what the run is.
        tags: Of the run.

    Raises:
        ConfigError: If the mode is `online` and there is no key.
    """
    folder = Path(save_dir)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return WandbRun(name=folder.name, save_dir=save_dir)  # of a process that logs nothing: it begins no run
    resolved = resolve_mode(mode)
    if resolved == "online" and not _has_key():
        raise ConfigError("logger.wandb.mode = online: there is no API key; run `wandb login`, or choose offline")
    protocol = _protocol(folder)
    name = "/".join(folder.parts[-2:])
    about = {
        "name": f"{name} {protocol['hash']}" if protocol else name,
        "dir": save_dir,
        "id": run_id(folder),
        "project": project,
        "entity": entity,
        "group": group or protocol.get("hash") or _sweep(),
        "job_type": job_type or protocol.get("job", "pretrain"),
        "tags": list(tags),
        "resume": "allow",
    }
    run = _begin(about, resolved)
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbRun(experiment=run, project=project, save_dir=save_dir, id=about["id"])  # type: ignore[arg-type]


def _begin(about: dict[str, Any], mode: Resolved) -> Any:
    """Begin the run, offline if the service does not answer, and tell where it is."""
    import wandb

    os.environ.setdefault("WANDB_CACHE_DIR", about["dir"])  # its service would keep a log in the home folder
    settings = wandb.Settings(init_timeout=INIT_TIMEOUT_S, silent=True)
    try:
        run = wandb.init(**about, mode=mode, settings=settings)
    except wandb.errors.CommError as error:
        log.warning("W&B did not answer (%s); logging offline", error)
        mode = "offline"
        run = wandb.init(**about, mode=mode, settings=settings)
    if mode == "online":
        log.info("W&B: %s", run.url)
    elif mode == "offline":
        log.info("W&B: offline; send it later with: wandb sync %s", Path(run.dir).parent)
    return run


def _protocol(folder: Path) -> dict[str, str]:
    """What a run that is judged on a task wrote into its folder before it began; empty for another."""
    try:
        found = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: str(found[key]) for key in ("hash", "job") if key in found}


def _sweep() -> str | None:
    """Name of the sweep that this run is a job of, if it is one."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return "/".join(Path(HydraConfig.get().sweep.dir).parts[-2:])


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0].split(":")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC") or None).authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError, OSError):
        return False
