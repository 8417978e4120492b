"""tiles-train: one run, from a composed config to a run folder with metrics and checkpoints."""

import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console
from tiles_ecg.allocator import keep_freed_memory
from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import CHECKPOINT, COMMAND_FILE, CONFIG_FILE
from tiles_ecg.quiet import silence
from tiles_ecg.resumption import step_to_go_on_from

log = logging.getLogger(__name__)

DEFAULT_STORE = Path("outputs/store/synthetic.h5")


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
    run_dir = Path(cfg.run_dir)
    config: dict[str, Any] = json.loads(json.dumps(OmegaConf.to_container(cfg, resolve=True)))
    try:
        step = step_to_go_on_from(run_dir, cfg.resume, config)
        trainer, objective, datamodule = _build(cfg)
    except BaseException:
        remove_empty(run_dir)  # Hydra makes it before it calls us
        raise
    if trainer.is_global_zero:
        _keep_config(run_dir, config)
        for callback in trainer.callbacks:
            if hasattr(callback, "begin"):
                callback.begin()
    _run(cfg, trainer, objective, datamodule, run_dir / CHECKPOINT if step else None, step or 0, config)
    if trainer.is_global_zero:
        log.info("run folder: %s", shown(run_dir))


def _build(cfg: DictConfig) -> tuple[Any, Any, Any]:
    """Trainer, objective and data module, with every check that needs them; the stores are opened last."""
    from hydra.utils import instantiate
    from lightning import seed_everything

    seed_everything(cfg.seed, verbose=False)  # next to the weights that it decides
    objective = instantiate(cfg.objective, _convert_="all")
    if hasattr(objective, "check"):
        try:
            objective.check(cfg.dataset.n_leads, round(cfg.dataset.window_s * cfg.dataset.sample_rate))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if cfg.get("task") is not None and not hasattr(objective, "build_for"):
        raise ConfigError(
            f"task = {cfg.task.name}: {type(objective).__name__} learns without labels and would not use it; give "
            "objective=finetune, probe or fusion, or leave the task out"
        )
    callbacks = _listed(instantiate(cfg.callback, _convert_="all"))
    trainer = _trainer(cfg, callbacks)
    stores = cfg.dataset.store if cfg.dataset.store is not None else str(default_store())
    datamodule = instantiate(cfg.dataset, store=stores, _convert_="all")
    windows = datamodule.windows  # opens the stores: a mistake in them shows before the run begins
    if hasattr(getattr(objective, "encoder", None), "check"):
        for note in objective.encoder.check(windows):
            if trainer.is_global_zero:
                log.info("encoder: %s", note)
    if hasattr(objective, "build_for"):
        objective.build_for(datamodule)
    for callback in callbacks:
        if hasattr(callback, "check"):
            callback.check(datamodule, objective)
    return trainer, objective, datamodule


def default_store() -> Path:
    """The synthetic cohort, prepared on first use."""
    from hydra import compose
    from hydra.utils import instantiate

    from tiles_ecg.ingest import prepare

    cfg = compose("prepare", overrides=["reader=synthetic", f"store={DEFAULT_STORE}"])
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    if not DEFAULT_STORE.exists():
        log.info("no dataset.store is given: preparing the synthetic cohort (%s)", DEFAULT_STORE)
    return prepare(
        instantiate(cfg.reader, _convert_="all"),
        instantiate(cfg.preparation, _convert_="all"),
        DEFAULT_STORE,
        config={"reader": config["reader"], "preparation": config["preparation"]},
        overwrite=True,
    )


def _trainer(cfg: DictConfig, callbacks: list[Any]) -> Any:
    """The trainer, without loggers: they begin when nothing can be wrong any more.

    Raises:
        ConfigError: If the machine does not have what the config asks for, or a job of a sweep would start processes.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import InstantiationException
    from hydra.types import RunMode
    from hydra.utils import instantiate
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

    try:
        trainer = instantiate(cfg.trainer, logger=False, callbacks=callbacks, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException | ValueError):
            raise ConfigError(f"trainer: {' '.join(str(error.__cause__).split())}") from error
        raise
    in_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    launcher = trainer.strategy.launcher
    starts_processes = (
        trainer.world_size > 1
        and isinstance(launcher, _SubprocessScriptLauncher)
        and not launcher.cluster_environment.creates_processes_externally
    )
    if in_sweep and starts_processes:
        raise ConfigError(
            f"trainer.devices = {cfg.trainer.get('devices')}: in a sweep (-m) each process would start the whole sweep "
            "anew; choose trainer.devices=1, a launcher that starts the processes itself "
            "(hydra/launcher=submitit_slurm), or one command a run"
        )
    return trainer


def _run(
    cfg: DictConfig, trainer: Any, objective: Any, datamodule: Any, resumed: Path | None, step: int, config: Any
) -> None:
    """Fit, with loggers that end as the run did."""
    from hydra.utils import instantiate

    status = 1
    try:
        trainer.loggers = _listed(instantiate(cfg.logger, _convert_="all"))
        for logger in trainer.loggers:
            if hasattr(logger, "resume"):
                logger.resume(step)
            logger.log_hyperparams(config)
        if trainer.is_global_zero:
            _announce(Path(cfg.run_dir), datamodule, objective, resumed, step)
        trainer.fit(objective, datamodule=datamodule, ckpt_path=resumed, weights_only=True if resumed else None)
        status = 0
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # lightning's way to end, with Ctrl-C left switched off
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        raise
    finally:
        _finish(status, trainer)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty, and not the one we are in."""
    if folder.resolve() != Path.cwd():
        with contextlib.suppress(OSError):
            folder.rmdir()


def _keep_config(run_dir: Path, config: dict[str, Any]) -> None:
    """Write the resolved config and the overrides that led to it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    resolved = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    for name, text in {CONFIG_FILE: resolved, COMMAND_FILE: json.dumps(console.overrides(), indent=1)}.items():
        scratch = run_dir / f"{name}.tmp"
        scratch.write_text(text)
        os.replace(scratch, run_dir / name)


def _listed(built: Any) -> list[Any]:
    """One component or a dict of them, as config groups give it -> a list; what is null is left out."""
    return [part for part in (built.values() if isinstance(built, dict) else [built]) if part is not None]


def _announce(run_dir: Path, datamodule: Any, objective: Any, resumed: Path | None, step: int) -> None:
    windows = datamodule.windows
    n_parameters = sum(p.numel() for p in objective.encoder.parameters())
    log.info(
        "%s windows of %s subjects in %s; encoder of %s parameters; %s",
        f"{len(windows):,}",
        f"{len(windows.subject_id):,}",
        ", ".join(shown(store.path) for store in windows.stores),
        f"{n_parameters:,}",
        f"run folder {shown(run_dir)}",
    )
    if resumed:
        log.info("going on from step %s of %s", f"{step:,}", shown(resumed))


def _finish(status: int, trainer: Any) -> None:
    """End the W&B run, as failed if it failed, and the other processes' group, so that the next job begins its own."""
    import torch.distributed

    if "wandb" in sys.modules:
        import wandb

        if wandb.run is not None:
            wandb.finish(exit_code=status)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for process in getattr(trainer.strategy.launcher, "procs", []):
        process.wait()


def shown(path: Path) -> str:
    """A path below the working folder, relative to it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
