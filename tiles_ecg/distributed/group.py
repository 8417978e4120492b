"""Leaving the group of processes that trained together, so that none of them is cut off in the middle of a word."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

POLL_S = 0.05
LOST = ("gloo", "nccl", "connection", "socket", "broken pipe", "peer")
"""What torch's errors speak of where another process is no longer there."""


def is_joined() -> bool:
    """Whether this process is in a group."""
    import torch.distributed

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def leave(is_orderly: bool, patience_s: float, is_anyone_lost: Callable[[], bool] = lambda: False) -> None:
    """Leave the group, if this process is in one; the next run begins its own.

    Whoever closes gloo's connections while another still reads from them resets these (seen with torch 2.13: one rank
    in three). So, after a run that ended as it should, all tell that they are done, and rank 0 goes last. After another
    end the connections are closed at once: that ends whoever waits for us.

    Args:
        is_orderly: Whether this process has come to the end of the run.
        patience_s: How long to wait for the others.
        is_anyone_lost: Asked while waiting.
    """
    import torch.distributed as dist

    if not is_joined():
        return
    if is_orderly and dist.get_world_size() > 1:
        with contextlib.suppress(RuntimeError):  # the store has ended with the process that kept it
            _say_goodbye(dist.distributed_c10d._get_default_store(), patience_s, is_anyone_lost)
    if is_orderly:
        dist.destroy_process_group()
    else:
        break_off()


def break_off() -> None:
    """Close the connections of the group at once, whatever is under way.

    NCCL would wait for what is, and does not notice that another process has ended.
    """
    import torch.distributed as dist

    if not is_joined():
        return
    if dist.get_backend() == "nccl":
        dist.distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()


def _say_goodbye(store: Any, patience_s: float, is_anyone_lost: Callable[[], bool]) -> None:
    import torch.distributed as dist

    n_others, is_first = dist.get_world_size() - 1, dist.get_rank() == 0
    until = time.monotonic() + patience_s

    def wait_for(key: str, number: int) -> None:
        while store.add(key, 0) < number and time.monotonic() < until and not is_anyone_lost():
            time.sleep(POLL_S)

    if is_first:
        wait_for("tiles_ecg/done", n_others)
        store.add("tiles_ecg/over", 1)
        wait_for("tiles_ecg/gone", n_others)
        return
    store.add("tiles_ecg/done", 1)
    wait_for("tiles_ecg/over", 1)
    store.add("tiles_ecg/gone", 1)


def is_lost_connection(error: BaseException) -> bool:
    """Whether an exception says that another process is no longer there."""
    import torch.distributed

    if isinstance(error, torch.distributed.DistError):
        return True
    text = str(error).lower()
    return type(error) is RuntimeError and any(word in text for word in LOST)
