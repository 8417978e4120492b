"""A process of a run that another one started: it does as the file it is handed says."""

import json
import sys
from pathlib import Path

import torch

from tiles_ecg.allocator import keep_freed_memory
from tiles_ecg.components import build, build_trainer, listed
from tiles_ecg.distributed.agreement import as_config
from tiles_ecg.distributed.launcher import end_processes
from tiles_ecg.quiet import silence
from tiles_ecg.resumption import Checkpointed
from tiles_ecg.train import fit


def main(orders_file: str) -> None:
    """Train as one rank of the run that the file describes."""
    from hydra.utils import instantiate

    silence()
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    orders = json.loads(Path(orders_file).read_text(encoding="utf-8"))
    cfg = as_config(orders["config"])
    trainer = build_trainer(cfg)
    parts = build(cfg, trainer)
    trainer.loggers = listed(instantiate(cfg.logger, _convert_="all"))
    found = orders["checkpoint"]
    try:
        fit(trainer, parts, Checkpointed(Path(found[0]), found[1]) if found else None)
    finally:
        end_processes(trainer)


if __name__ == "__main__":
    main(sys.argv[1])
