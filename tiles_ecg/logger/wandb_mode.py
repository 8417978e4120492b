"""Where W&B runs go: online, offline or nowhere, decided before W&B could ask or wait."""

import netrc
import os
from typing import Literal
from urllib.parse import urlsplit

from tiles_ecg.config import ConfigError

Resolved = Literal["online", "offline", "disabled"]
Mode = Literal["auto"] | Resolved
CLOUD = "api.forge.coreweave.com"
"""W&B's own service, as `wandb login` writes it into the netrc file."""
OLD_CLOUD = "api.wandb.ai"
"""The same, as W&B before 0.31 wrote it; it is read still."""


def resolve_mode(mode: Mode) -> Resolved:
    """`auto` -> `online` if a key is found in the environment or the netrc file, else `offline`.

    WANDB_MODE, where set, decides before that.
    """
    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE", "")
    if asked in ("online", "offline", "disabled"):
        return asked  # type: ignore[return-value]
    return "online" if has_key() else "offline"


def check_mode(mode: Mode) -> None:
    """Refuse a mode that W&B would ask for a key in.

    Raises:
        ConfigError: If it is online, and there is no key.
    """
    if resolve_mode(mode) == "online" and not has_key():
        raise ConfigError("logger.wandb.mode = online: there is no API key; run `wandb login`, or choose offline")


def has_key() -> bool:
    """Whether there is an API key for the host in use."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or f"https://{CLOUD}").netloc  # with its port
    try:
        known = netrc.netrc(os.environ.get("NETRC") or None)
    except (netrc.NetrcParseError, OSError):
        return False
    return any(known.authenticators(name) for name in ((host, OLD_CLOUD) if host == CLOUD else (host,)))
