"""tiles-prepare: raw recordings -> one store."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tiles_ecg import console


def main() -> None:
    """Console entry point."""
    console.run(_task, "prepare")


def _task(cfg: DictConfig) -> None:
    from hydra.utils import instantiate

    from tiles_ecg.cluster import working_on
    from tiles_ecg.ingest import prepare

    reader = instantiate(cfg.reader, _convert_="all")
    preparation = instantiate(cfg.preparation, _convert_="all")
    plain = OmegaConf.to_container(cfg, resolve=True)
    with working_on(cfg.dask, cfg.n_jobs):
        prepare(
            reader,
            preparation,
            Path(cfg.store),
            config={"reader": plain["reader"], "preparation": plain["preparation"]},  # type: ignore[call-overload,index]
            on_error=cfg.on_error,
            n_jobs=cfg.n_jobs,
            overwrite=cfg.overwrite,
        )
