"""Randomness that depends on where a run stands, not on how it got there."""

import hashlib

import torch


def derive_seed(*parts: int | str) -> int:
    """Mix integers and words into one well-spread 63-bit seed; other parts, other seed.

    Args:
        parts: Such as (seed, "views", step, rank).
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_draws(*parts: int | str) -> None:
    """Seed torch's generators, on the CPU and the device in use, for the draws that follow, from `derive_seed(*parts)`.

    Called once a step with (seed, step, rank), it makes every draw of the step (views, dropout) the same in a resumed
    run as in an uninterrupted one, without a generator's state in the checkpoint. `torch.manual_seed` gives the same
    draws, but notes the call stack for each kind of device that is not there: half a millisecond in a training step.
    """
    seed = derive_seed(*parts)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
