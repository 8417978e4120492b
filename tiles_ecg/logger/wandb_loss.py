"""W&B ends no run: it begins as far as it answers, and where it fails in the middle the run goes on without it."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from tiles_ecg.logger.wandb_folder import end_service
from tiles_ecg.logger.wandb_mode import Resolved

log = logging.getLogger(__name__)

P = ParamSpec("P")


class Losable(Protocol):
    """A logger that can do without W&B."""

    is_lost: bool

    def lose(self, error: Exception) -> None:
        """Do without it from now on."""


L = TypeVar("L", bound=Losable)


def spared(call: Callable[Concatenate[L, P], Any]) -> Callable[Concatenate[L, P], None]:
    """A method of a logger in which a failure loses W&B, and raises nothing; afterwards it does nothing."""

    @functools.wraps(call)
    def careful(self: L, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.is_lost:
            return
        try:
            call(self, *args, **kwargs)
        except Exception as error:
            self.lose(error)

    return careful


def begin_run(given: Mapping[str, Any], mode: Resolved) -> tuple[Any, Resolved]:
    """A W&B run in this mode, or where that fails offline, or where that fails one that keeps nothing; and its mode."""
    import wandb

    try:
        return wandb.init(**given, mode=mode), mode
    except Exception as error:
        if mode == "disabled":
            raise
        instead: Resolved = "offline" if mode == "online" else "disabled"
        goes_on = "logging offline" if mode == "online" else "going on without it"
        log.warning("W&B did not answer (%s); %s", " ".join(str(error).split()), goes_on)
        end_service()  # which has the run of the attempt still, and refuses another of its id
        return begin_run(given, instead)
