"""A program that torchrun starts, with a folder: what its ranks agree on. Each writes what it found to a file there."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import Trainer

from tiles_ecg.config import ConfigError
from tiles_ecg.distributed.agreement import agree, in_turn
from tiles_ecg.distributed.launcher import end_processes
from tiles_ecg.distributed.proof import ProvenAgreement


def told(action: Callable[[], Any]) -> Any:
    """What came back, or what was raised."""
    try:
        return action()
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"


def failing(rank: int, error: Exception) -> Callable[[], None]:
    """Raises on one rank."""

    def make() -> None:
        if trainer.global_rank == rank:
            raise error

    return make


trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
folder = Path(sys.argv[1])
found: dict[str, Any] = {"config": agree(trainer, {"lr": trainer.global_rank + 0.5})}
rank = trainer.global_rank


def first_makes() -> bool:
    """Whether it was there already."""
    made = folder / "made"
    if made.exists():
        return True
    time.sleep(0.3)
    made.touch()
    return False


found["was made"] = in_turn(trainer, first_makes)
found["mistake of rank 1"] = told(lambda: in_turn(trainer, failing(1, ConfigError("dataset.store = x: not there"))))
found["failure of rank 1"] = told(lambda: in_turn(trainer, failing(1, ValueError("worn out"))))
found["failure of rank 0"] = told(lambda: in_turn(trainer, failing(0, ValueError("worn out"))))
same: dict[str, Any] = {"seed": 0, "dataset": {"store": f"/node{rank}/a.h5", "fold": 0}}


def proof(config: dict[str, Any], stores: list[str], step: int = 0) -> Any:
    """What the comparison says."""
    return told(lambda: ProvenAgreement(config, stores, step).on_fit_start(trainer, None))  # type: ignore[arg-type]


found["same"] = proof(same, ["digest"])
found["other seed"] = proof(same | {"seed": rank}, ["digest"])
found["other store"] = proof(same, [f"digest {rank}"])
found["other step"] = proof(same, ["digest"], 10 * rank)
if rank == 0:
    time.sleep(0.5)
    (folder / "done").touch()  # what the first does alone: the others wait for it
end_processes(trainer, "finished")
found["first was done"] = (folder / "done").exists()
(folder / f"{rank}.json").write_text(json.dumps(found))
