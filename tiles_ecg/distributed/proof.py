"""Proof, before the first step, that all processes of a run are about to train by the same config on the same data."""

import hashlib
import json
from typing import Any

import torch.distributed
from lightning import Callback, LightningModule, Trainer


class DisagreementError(RuntimeError):
    """The processes of a run are about to train by different configs, or on different data."""


class ProvenAgreement(Callback):
    """Compares on all ranks what they are about to train by, when they have met and before the first step.

    Args:
        config: Resolved.
        stores: Digests of the stores.
        step: At which the run goes on.
    """

    def __init__(self, config: dict[str, Any], stores: list[str], step: int) -> None:
        dataset = {key: value for key, value in config["dataset"].items() if key != "store"}  # the digests tell
        whole = [{**config, "dataset": dataset}, stores, step]
        self.digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare.

        Raises:
            DisagreementError: On every rank, if one of them differs.
        """
        if trainer.world_size == 1:
            return
        found = [""] * trainer.world_size
        torch.distributed.all_gather_object(found, self.digest)
        others = [rank for rank, digest in enumerate(found) if digest != found[0]]
        if others:
            raise DisagreementError(
                f"processes {', '.join(map(str, others))} of {len(found)} were about to train by another config, or on "
                f"other stores, than process 0 ({found[0][:12]}, {found[others[0]][:12]}): start them by one command, "
                "and let all nodes see the same files"
            )
