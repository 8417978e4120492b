"""tiles-train: one run, from a composed config to a run folder with metrics and checkpoints."""

import contextlib
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.allocator import keep_freed_memory
from tiles_ecg.components import Components, build, build_trainer, listed
from tiles_ecg.console_resume import COMMAND_FILE, CONFIG_FILE
from tiles_ecg.distributed.agreement import agree, as_config, in_turn
from tiles_ecg.quiet import silence
from tiles_ecg.resumption import Checkpointed, checkpoint_to_go_on_from
from tiles_ecg.run_record import RunPruned, RunRecord, State, outcome

log = logging.getLogger(__name__)


def main() -> None:
    """Console entry point."""
    console.run(train, "train")


def train(cfg: DictConfig) -> None:
    """Build what the config names, train it, and tell where it is.

    The run folder is made when everything is built, so that a mistake in the stores leaves none behind.

    Args:
        cfg: A composed, validated config of `conf/train.yaml`.

    Raises:
        ConfigError: If the stores, the machine or the run to go on with do not fit the config.
        StoreError: If a store cannot be read.
    """
    import torch

    silence()
    keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    composed = Path(cfg.run_dir)
    try:
        trainer = build_trainer(cfg)
        config = agree(trainer, json.loads(json.dumps(OmegaConf.to_container(cfg, resolve=True))))
        if not trainer.is_global_zero:
            trainer = build_trainer(as_config(config))  # so far by a config of its own
        run_dir = Path(config["run_dir"])
        resumed = checkpoint_to_go_on_from(run_dir, config, trainer)
        components = in_turn(trainer, lambda: build(as_config(config), trainer))
    except BaseException:
        remove_empty(composed)  # Hydra makes it before it calls us
        raise
    if not trainer.is_global_zero:
        if run_dir != composed:
            remove_empty(composed)
        with contextlib.suppress(RunPruned):
            _run(config, trainer, components, resumed, None)
        return
    with (
        contextlib.suppress(RunPruned),
        RunRecord(run_dir, "tiles-train", console.choices(), trainer.max_steps) as record,
    ):
        _keep_config(run_dir, config)
        for callback in trainer.callbacks:
            if hasattr(callback, "begin"):
                callback.begin()
        _run(config, trainer, components, resumed, record)
    log.info("run folder: %s", shown(run_dir))


def _run(
    config: dict[str, Any], trainer: Any, parts: Components, resumed: Checkpointed | None, record: RunRecord | None
) -> None:
    """Fit, with loggers that end as the run did. A run that a search gives up ends like one that is over."""
    from hydra.utils import instantiate

    from tiles_ecg.distributed.launcher import start_processes_by_config

    ended: BaseException | None = None
    try:
        trainer.loggers = listed(instantiate(as_config(config).logger, _convert_="all"))
        for logger in trainer.loggers:
            if hasattr(logger, "resume"):
                logger.resume(resumed.step if resumed else 0)
            logger.log_hyperparams(config)
        if trainer.is_global_zero:
            _announce(Path(config["run_dir"]), parts, resumed)
        start_processes_by_config(trainer, config, parts.datamodule, resumed)
        fit(trainer, parts, resumed)
    except SystemExit as end:
        ended = end
        if isinstance(end.__context__, KeyboardInterrupt):  # lightning's way to end, with Ctrl-C left switched off
            signal.signal(signal.SIGINT, signal.default_int_handler)
            ended = KeyboardInterrupt()
            raise ended from None
        raise
    except BaseException as error:
        ended = error
        raise
    finally:
        metrics = _metrics(trainer)
        if record is not None:
            record.note(trainer.global_step, metrics)
        _finish(outcome(ended), trainer, metrics)


def fit(trainer: Any, parts: Components, resumed: Checkpointed | None) -> None:
    """Train, from the beginning or from a checkpoint."""
    trainer.fit(
        parts.objective,
        datamodule=parts.datamodule,
        ckpt_path=resumed.path if resumed else None,
        weights_only=True if resumed else None,
    )


def _metrics(trainer: Any) -> dict[str, float]:
    """What was logged last, and what callbacks sum a run up by."""
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    for callback in trainer.callbacks:
        found |= getattr(callback, "summary", {})
    return found


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty, and not the one we are in."""
    if folder.resolve() != Path.cwd():
        with contextlib.suppress(OSError):
            folder.rmdir()


def _keep_config(run_dir: Path, config: dict[str, Any]) -> None:
    """Write the resolved config and the overrides that led to it."""
    resolved = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    for name, text in {CONFIG_FILE: resolved, COMMAND_FILE: json.dumps(console.overrides(), indent=1)}.items():
        scratch = run_dir / f"{name}.tmp"
        scratch.write_text(text)
        os.replace(scratch, run_dir / name)


def _announce(run_dir: Path, parts: Components, resumed: Checkpointed | None) -> None:
    windows = parts.datamodule.windows
    n_parameters = sum(p.numel() for p in parts.objective.encoder.parameters())
    log.info(
        "%s windows of %s subjects in %s; encoder of %s parameters; %s",
        f"{len(windows):,}",
        f"{len(windows.subject_id):,}",
        ", ".join(shown(store.path) for store in windows.stores),
        f"{n_parameters:,}",
        f"run folder {shown(run_dir)}",
    )
    if resumed:
        log.info("going on from step %s of %s", f"{resumed.step:,}", shown(resumed.path))


def _finish(state: State, trainer: Any, metrics: dict[str, float]) -> None:
    """End the loggers as the run ended, and the other processes, so that the next job begins its own."""
    from tiles_ecg.distributed.launcher import end_processes

    for logger in trainer.loggers:
        if hasattr(logger, "end"):
            logger.end(state, metrics)
    end_processes(trainer, state)


def shown(path: Path) -> str:
    """A path below the working folder, relative to it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":  # as torchrun -m starts it; loggers know the module by its own name
    from tiles_ecg import train as module

    module.main()
