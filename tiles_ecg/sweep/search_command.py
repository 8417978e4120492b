"""A command with `hydra/sweeper=optuna` -> the search that it asks for."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, PositiveInt, Strict, ValidationError

from tiles_ecg.config import ConfigError
from tiles_ecg.console_resume import quoted, wants_to_resume
from tiles_ecg.console_resume_sweep import NOT_OF_THE_PLAN
from tiles_ecg.folder_lock import alone_in
from tiles_ecg.run_record import RunStatus
from tiles_ecg.sweep.ending import end_of_sweep
from tiles_ecg.sweep.jobs import flatten
from tiles_ecg.sweep.launching import launch
from tiles_ecg.sweep.plan import (
    Job,
    SweepError,
    SweepPlan,
    as_typed,
    is_sweep,
    key_of,
    read_plan,
    refuse_names,
    without,
)

if TYPE_CHECKING:
    from tiles_ecg.sweep.search import Wanted

STUDY_FILE = "study.journal"
MEASURES_ANEW = re.compile(r"\+*(objective\.temperature|dataset\.batch_size|augmentation)\b")
"""Keys whose values a contrastive loss on validation subjects cannot be compared between: they change its scale."""
OPTUNA = "hydra/sweeper = optuna: Optuna is not installed; pip install 'tiles_ecg[sweep]'"


class Asked(BaseModel):
    """The plain values of `conf/hydra/sweeper/optuna.yaml`."""

    model_config = ConfigDict(extra="ignore")

    n_trials: Annotated[PositiveInt, Strict()]
    n_jobs: Annotated[PositiveInt, Strict()]
    monitor: str
    direction: Literal["minimize", "maximize"]
    storage: str | None
    study: str | None
    params: dict[str, Any] | None


def run_search(arguments: Sequence[str], config: DictConfig, loader: ConfigLoader, launcher: Launcher) -> None:
    """Search, and sum up what was found.

    Args:
        arguments: Overrides of the command, without Hydra's own.
        config: Hydra's, of the sweep, with its folder settled.
        loader: Hydra's, which knows the config groups.
        launcher: Set up by Hydra.

    Raises:
        SystemExit: Where jobs are not over: 2 if all of them failed by the user's mistakes, else 1. With status 2 where
            there is nothing to search, or another process is at work on it.
    """
    program, folder = f"tiles-{config.hydra.job.config_name}", Path(config.hydra.sweep.dir)
    try:
        with alone_in(folder, "hydra.sweep.dir"):
            search, is_new = _search(program, folder, arguments, config, loader, launcher)
            if is_new:
                OmegaConf.save(config, folder / "multirun.yaml")
            try:
                jobs = search.run()
            except (KeyboardInterrupt, SystemExit):  # asked to end: trials that are open stay so
                end_of_sweep(program, folder, search.plan.jobs)
                raise
            print("\n".join(search.closing(program)), file=sys.stderr)
            status = end_of_sweep(program, folder, jobs)
    except (ConfigError, SweepError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        status = 2
    if status:
        sys.exit(status)


def _search(
    program: str, folder: Path, arguments: Sequence[str], config: DictConfig, loader: ConfigLoader, launcher: Launcher
) -> tuple[Any, bool]:
    """The search, ready to run, and whether nothing of it was there before."""
    asked = read_asked(config, program)
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise SweepError(OPTUNA) from None
    from tiles_ecg.sweep.search import Search
    from tiles_ecg.sweep.search_space import read_space

    resume = wants_to_resume(arguments)
    given = as_typed(arguments, config)
    refuse_names(given)
    before = plan_before(folder, program, resume)
    kept = tuple(without(given, NOT_OF_THE_PLAN))
    created = before.created if before else datetime.now(UTC).isoformat(timespec="seconds")
    plan = SweepPlan(program, kept, before.jobs if before else (), created, before.search if before else {})
    parser = OverridesParser.create(config_loader=loader)
    own = without([*_params(asked.params, arguments), *arguments], ["resume"])
    fixed, space = read_space(parser.parse_overrides(own))
    _warn(asked, config, list(space))

    def launched(jobs: Sequence[Job], first_number: int) -> list[RunStatus]:
        return launch(jobs, folder, launcher, resume, first_number)

    wanted = _wanted(asked, config, folder, before)
    return Search(wanted, fixed, space, folder, plan, launched, resume), before is None


def read_asked(config: DictConfig, program: str) -> Asked:
    """The plain values, checked.

    Args:
        config: Of a job or of the sweep, Hydra's own included.
        program: Which is to run.

    Raises:
        SweepError: With every value that cannot be, or if the search would choose by those that are judged on.
    """
    values: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    try:
        asked = Asked(**values)
    except ValidationError as error:
        raise SweepError(
            "\n".join(
                f"hydra.sweeper.{'.'.join(map(str, found['loc']))} = {found['input']}: {found['msg']}"
                for found in error.errors()
            )
        ) from None
    _refuse(asked, config, program)
    return asked


def _refuse(asked: Asked, config: DictConfig, program: str) -> None:
    """What would choose by those that are judged on."""
    if "callback" not in config:
        raise SweepError(f"hydra/sweeper = optuna: {program} judges on people that a search must not choose by; search "
                         "with tiles-train, whose runs choose by validation subjects")  # fmt: skip
    if asked.monitor.startswith("test/"):
        raise SweepError(
            f"hydra.sweeper.monitor = {asked.monitor}: a search must not see the people that are judged on; choose by "
            "a metric of validation subjects, such as val/loss, or val/selection with a task"
        )


def _warn(asked: Asked, config: DictConfig, keys: Sequence[str]) -> None:
    changing = [key for key in keys if MEASURES_ANEW.match(key)]
    if changing and asked.monitor == "val/loss" and config.get("task") is None:
        print(
            f"search: {', '.join(changing)}: val/loss is on another scale with each value, and the search compares it "
            "all the same; give hydra.sweeper.monitor=probe/heart_rate_r2 hydra.sweeper.direction=maximize",
            file=sys.stderr,
        )


def plan_before(folder: Path, program: str, resume: bool) -> SweepPlan | None:
    """The plan of the folder, if it is gone on with.

    Raises:
        SweepError: If the folder holds another sweep, or one that is not to be gone on with.
    """
    if not is_sweep(folder):
        return None
    if not resume:
        raise SweepError(
            f"hydra.sweep.dir = {folder}: holds a sweep already; give resume=true to go on with it, or another folder"
        )
    before = read_plan(folder)
    if not before.search or before.program != program:
        what = "a search" if before.search else "a plain sweep"
        raise SweepError(f"hydra.sweep.dir = {folder}: is {what} of {before.program}; go on with it by that command")
    return before


def _params(params: Mapping[str, Any] | None, arguments: Sequence[str]) -> list[str]:
    given = {key_of(text) for text in arguments}
    texts = {key: "null" if value is None else value for key, value in flatten(params or {})}
    return [f"{key}={value}" for key, value in texts.items() if key_of(key) not in given]


def _wanted(asked: Asked, config: DictConfig, folder: Path, before: SweepPlan | None) -> "Wanted":
    from tiles_ecg.sweep.search import Wanted

    storage = asked.storage or str(folder / STUDY_FILE)
    if "://" not in storage:
        storage = str(Path(storage).absolute())
    study = asked.study or (before.search["study"] if before else folder.name)
    sweeper = config.hydra.sweeper
    pruner = OmegaConf.to_container(sweeper.pruner, resolve=True)
    given = {
        "storage": storage, "study": study, "monitor": asked.monitor, "direction": asked.direction, "pruner": pruner
    }  # fmt: skip
    watch = ("+callback@callback.pruning=pruning", *(f"callback.pruning.{k}={written(v)}" for k, v in given.items()))
    return Wanted(
        asked.n_trials, asked.n_jobs, asked.monitor, asked.direction, storage, study,
        _made("hydra.sweeper.sampler", sweeper.sampler), _made("hydra.sweeper.pruner", sweeper.pruner),
        lambda number: (*watch, f"callback.pruning.trial={number}"),
    )  # fmt: skip


def _made(key: str, config: DictConfig) -> Any:
    try:
        return instantiate(config, _convert_="all")
    except (InstantiationException, ValueError, TypeError) as error:
        cause = error.__cause__ or error
        raise SweepError(f"{key}: {' '.join(str(cause).split())}") from error


def written(value: Any) -> str:
    """A plain value, or a mapping or list of them, as the value of an override."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{written(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{'-' if value < 0 else ''}inf"
    return str(value) if isinstance(value, int | float) else quoted(value)
