"""All that can be checked of a command line: every job that it stands for, before the first one starts."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from tiles_ecg import console_command
from tiles_ecg.config import ConfigError, config_directory
from tiles_ecg.console_command import Checked, Command, is_multirun_by
from tiles_ecg.console_mistakes import COMPOSITION_ERRORS, Mistakes
from tiles_ecg.sweep.grid_plan import sources_of
from tiles_ecg.sweep.plan import Job, key_of

VERSION_BASE = "1.3"
"""Hydra's rules, as of that version; the only place that says so."""


def check_command(config_name: str, overrides: Sequence[str], is_multirun: bool, is_run: bool = True) -> Checked:
    """Compose and validate what a command line asks for, all jobs of a sweep, without starting any.

    Args:
        config_name: Root config, `train` or `prepare`.
        overrides: The overrides as they were typed.
        is_multirun: Whether `-m` was given.
        is_run: False where the config is only shown: then its values may be incomplete.

    Raises:
        ConfigError: With every mistake found.
        SweepError: If the jobs cannot be listed, or the sweep's folder holds others.
    """
    with initialize_config_dir(str(config_directory()), version_base=VERSION_BASE):
        command = Command(config_name, Mistakes(config_name, _loader()))
        checked = command.jobs(command.parse(overrides), is_multirun)
        hydras = [text for text in overrides if key_of(text).startswith(("hydra.", "hydra/"))]
        texts = [[*hydras, *job.overrides] for job in checked.jobs]
        sample = _sample(checked.jobs)
        found: dict[str, list[int]] = {}
        for number in sample:
            for problem in command.problems(texts[number], is_run):
                found.setdefault(problem, []).append(number)
        if found:
            names = [job.name for job in checked.jobs]
            lines = [problem + _where(numbers, names, len(sample)) for problem, numbers in found.items()]
            raise ConfigError(lines)
        configs = {checked.jobs[number].name: command.compose(texts[number]) for number in sample}
        if is_run and (leaks := list(_leaks(checked.jobs, configs, checked.folder))):
            raise ConfigError(leaks)
    return replace(checked, configs=configs)


def is_sweep_by_config(config_name: str, overrides: Sequence[str]) -> bool:
    """Whether an experiment, or another override, asks for a sweep by `hydra.mode`."""
    with (
        contextlib.suppress(*COMPOSITION_ERRORS, ConfigError),
        initialize_config_dir(str(config_directory()), version_base=VERSION_BASE),
    ):
        command = Command(config_name, Mistakes(config_name, _loader()))
        fixed = [text for text in overrides if key_of(text) != "resume"]
        return is_multirun_by(command.hydra(command.parse(fixed)))
    return False


def _leaks(jobs: Sequence[Job], configs: Mapping[str, DictConfig], folder: Path | None) -> Iterator[str]:
    """A stage that would be judged on what an earlier one learns from: the audit would tell only after that is done."""
    for job in jobs if folder is not None else ():
        for source in sources_of(job, jobs, folder or Path()):
            pair = [configs[name].dataset.store for name in (source.name, job.name) if name in configs]
            accepted = configs[job.name].audit.accept if job.name in configs else ["pretraining"]
            if len(pair) == 2 and pair[0] == pair[1] and "pretraining" not in accepted:
                yield (
                    f"dataset.store = {pair[0]}: stage {source.stage} would learn from the recordings that stage "
                    f"{job.stage} is judged on; give +hydra.sweeper.stages.{source.stage}.dataset.store=FILE.h5, or, "
                    "where that is known and the report may say so, audit.accept=[pretraining]"
                )
                return


def _sample(jobs: Sequence[Job]) -> list[int]:
    """The numbers of the jobs that are checked: all, or of too many such that each value is there once."""
    if len(jobs) <= console_command.MAX_JOBS:
        return list(range(len(jobs)))
    seen: set[tuple[str, str, str]] = set()
    numbers = []
    for number, job in enumerate(jobs):
        values = {(job.stage, key, value) for key, value in job.varied.items()}
        if not values <= seen:
            seen |= values
            numbers.append(number)
    return numbers


def _loader() -> ConfigLoader:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.config_loader


def _where(numbers: list[int], names: Sequence[str], n_checked: int) -> str:
    if len(numbers) == n_checked:
        return ""
    return f" [job {names[numbers[0]]}{f', and {len(numbers) - 1} more' if len(numbers) > 1 else ''}]"
