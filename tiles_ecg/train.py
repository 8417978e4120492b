"""tiles-train: one run, from a composed config to a run folder with metrics and checkpoints."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console

log = logging.getLogger(__name__)

DEFAULT_STORE = Path("outputs/store/synthetic.h5")


def main() -> None:
    """Console entry point."""
    console.run(train, "train")


def train(cfg: DictConfig) -> None:
    """Build what the config names, train it, and tell where it is.

    Args:
        cfg: A composed, validated config of `conf/train.yaml`.
    """
    import torch
    from hydra.utils import instantiate
    from lightning import seed_everything

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    run_dir = Path(cfg.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    _keep_config(run_dir, cfg)
    torch.set_float32_matmul_precision("high")
    seed_everything(cfg.seed, verbose=False)
    stores = cfg.dataset.store if cfg.dataset.store is not None else str(default_store())
    datamodule = instantiate(cfg.dataset, store=stores, _convert_="all")
    datamodule.windows  # noqa: B018  opens the stores: a mistake in them shows before anything is built
    objective = instantiate(cfg.objective, _convert_="all")
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    resumed = checkpoint if cfg.resume and checkpoint.exists() else None
    loggers = _listed(instantiate(cfg.logger, _convert_="all"))
    status = 1
    try:
        if resumed:
            _resume_loggers(loggers, resumed)
        callbacks = _listed(instantiate(cfg.callback, _convert_="all"))
        trainer = instantiate(cfg.trainer, logger=loggers or False, callbacks=callbacks, _convert_="all")
        if trainer.is_global_zero:
            _announce(run_dir, datamodule, objective, resumed)
        trainer.fit(objective, datamodule=datamodule, ckpt_path=resumed, weights_only=True if resumed else None)
        status = 0
    finally:
        _finish(status)
    if trainer.is_global_zero:
        log.info("run folder: %s", _shown(run_dir))


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


def _keep_config(run_dir: Path, cfg: DictConfig) -> None:
    """Write the resolved config and the overrides that led to it."""
    resolved = OmegaConf.to_yaml(cfg, resolve=True)
    for name, text in {"config.yaml": resolved, "command.json": json.dumps(console.overrides(), indent=1)}.items():
        scratch = run_dir / f"{name}.{os.getpid()}.tmp"
        scratch.write_text(text)
        os.replace(scratch, run_dir / name)


def _listed(built: Any) -> list[Any]:
    """One component or a dict of them, as config groups give it -> a list."""
    return list(built.values()) if isinstance(built, dict) else [built]


def _resume_loggers(loggers: list[Any], checkpoint: Path) -> None:
    import torch

    step = int(torch.load(checkpoint, weights_only=True, mmap=True, map_location="cpu")["global_step"])
    log.info("going on from step %s of %s", f"{step:,}", _shown(checkpoint))
    for logger in loggers:
        if hasattr(logger, "resume"):
            logger.resume(step)


def _announce(run_dir: Path, datamodule: Any, objective: Any, resumed: Path | None) -> None:
    windows = datamodule.windows
    n_parameters = sum(p.numel() for p in objective.encoder.parameters())
    log.info(
        "%s windows of %s subjects in %s; encoder of %s parameters; %s",
        f"{len(windows):,}",
        f"{len(windows.subject_id):,}",
        ", ".join(_shown(store.path) for store in windows.stores),
        f"{n_parameters:,}",
        f"run folder {_shown(run_dir)}",
    )


def _finish(status: int) -> None:
    """End the W&B run, as failed if it failed, so that the next job of a sweep begins its own."""
    import sys

    if "wandb" in sys.modules:
        import wandb

        if wandb.run is not None:
            wandb.finish(exit_code=status)


def _shown(path: Path) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
