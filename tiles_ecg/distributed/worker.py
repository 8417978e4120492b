"""A process of a run that another one started: it does as the file it is handed says."""

import json
import sys
from pathlib import Path
from typing import Any

from tiles_ecg.source_part import end_with


def main(orders_file: str) -> None:
    """Train as one rank of the run that the file describes."""
    path = Path(orders_file)
    orders = json.loads(path.read_text(encoding="utf-8"))
    end_with(orders["parent"])  # before what takes seconds to import
    work(orders, path)


def work(orders: dict[str, Any], path: Path) -> None:
    """Build what the first process has built and checked, join it, and train."""
    import torch
    from hydra.utils import instantiate

    from tiles_ecg.allocator import keep_freed_memory
    from tiles_ecg.components import build, build_trainer, listed
    from tiles_ecg.distributed.agreement import as_config
    from tiles_ecg.distributed.launcher import end_processes, join, start_processes_by_config
    from tiles_ecg.quiet import silence
    from tiles_ecg.resumption import Checkpointed
    from tiles_ecg.run_record import RunPruned, outcome
    from tiles_ecg.train import fit

    silence()
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    cfg = as_config(orders["config"])
    trainer = build_trainer(cfg)
    parts = build(cfg, trainer)
    trainer.loggers = listed(instantiate(cfg.logger, _convert_="all"))
    found = orders["checkpoint"]
    resumed = Checkpointed(Path(found[0]), found[1]) if found else None
    start_processes_by_config(trainer, orders["config"], parts.datamodule, resumed)
    join(path)
    ended: BaseException | None = None
    try:
        fit(trainer, parts, resumed)
    except BaseException as error:
        ended = error
        if not isinstance(error, RunPruned):
            raise
    finally:
        end_processes(trainer, outcome(ended))


if __name__ == "__main__":
    main(sys.argv[1])
