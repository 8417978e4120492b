"""What a training run is made of, built from its config, with every check that needs the parts."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError

log = logging.getLogger(__name__)

DEFAULT_STORE = Path("outputs/store/synthetic.h5")


@dataclass(frozen=True)
class Components:
    """Objective, data module and callbacks of a run, checked against each other and the stores."""

    objective: Any
    datamodule: Any


def build_trainer(cfg: DictConfig) -> Any:
    """The trainer with its callbacks, without loggers: they begin when nothing can be wrong any more.

    Raises:
        ConfigError: If the machine does not have what the config asks for.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from tiles_ecg.distributed.environment import cluster_plugins

    callbacks = listed(instantiate(cfg.callback, _convert_="all"))
    given = {} if cfg.trainer.get("plugins") else {"plugins": cluster_plugins()}
    try:
        return instantiate(cfg.trainer, logger=False, callbacks=callbacks, **given, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, MisconfigurationException | ValueError):
            raise ConfigError(f"trainer: {' '.join(str(error.__cause__).split())}") from error
        raise


def build(cfg: DictConfig, trainer: Any) -> Components:
    """Objective and data module, with every check that needs them; the stores are opened last.

    Raises:
        ConfigError: If parts, stores and config do not fit each other.
        StoreError: If a store cannot be read.
    """
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
    stores = cfg.dataset.store if cfg.dataset.store is not None else str(default_store())
    datamodule = instantiate(cfg.dataset, store=stores, _convert_="all")
    windows = datamodule.windows  # opens the stores: a mistake in them shows before the run begins
    if hasattr(getattr(objective, "encoder", None), "check"):
        for note in objective.encoder.check(windows):
            if trainer.is_global_zero:
                log.info("encoder: %s", note)
    if hasattr(objective, "build_for"):
        objective.build_for(datamodule)
    for callback in trainer.callbacks:
        if hasattr(callback, "check"):
            callback.check(datamodule, objective)
    return Components(objective, datamodule)


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


def listed(built: Any) -> list[Any]:
    """One component or a dict of them, as config groups give it -> a list; what is null is left out."""
    return [part for part in (built.values() if isinstance(built, dict) else [built]) if part is not None]
