"""Overrides of a command line, and the jobs that they stand for: all are checked before the first one starts."""

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError, config_directory, validate
from tiles_ecg.console_mistakes import COMPOSITION_ERRORS, Mistakes, first_line

VERSION_BASE = "1.3"
"""Hydra's rules, as of that version; the only place that says so."""
MAX_JOBS = 256
"""So many jobs of a sweep are checked before it starts; of a larger one, each value once."""


def check_command(config_name: str, overrides: Sequence[str], is_multirun: bool, is_run: bool = True) -> None:
    """Compose and validate what a command line asks for, all jobs of a sweep, without starting any.

    Args:
        config_name: Root config, `train` or `prepare`.
        overrides: The overrides as they were typed.
        is_multirun: Whether `-m` was given.
        is_run: False where the config is only shown: then its values may be incomplete.

    Raises:
        ConfigError: With every mistake found.
    """
    with initialize_config_dir(str(config_directory()), version_base=VERSION_BASE):
        command = _Command(config_name, Mistakes(config_name, _loader()))
        parsed = command.parse(overrides)
        jobs = command.jobs(parsed, is_multirun)
        found: dict[str, list[int]] = {}
        for number, job in enumerate(jobs):
            for problem in command.problems(job, is_run):
                found.setdefault(problem, []).append(number)
    if found:
        raise ConfigError([problem + _where(numbers, jobs) for problem, numbers in found.items()])


def _loader() -> ConfigLoader:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.config_loader


def _where(numbers: list[int], jobs: Sequence[Sequence[str]]) -> str:
    if len(numbers) == len(jobs):
        return ""
    common = set(jobs[0]).intersection(*jobs)
    first = " ".join(override for override in jobs[numbers[0]] if override not in common)
    return f" [job {numbers[0]}: {first}{f', and {len(numbers) - 1} more' if len(numbers) > 1 else ''}]"


@dataclass
class _Command:
    """A root config, and what can explain its mistakes."""

    config_name: str
    mistakes: Mistakes
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, Hydra's own included; composed once."""
        key = tuple(overrides)
        if key not in self.composed:
            self.composed[key] = compose(self.config_name, list(overrides), return_hydra_config=True)
        return self.composed[key]

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        parser, parsed, problems = OverridesParser.create(config_loader=self.mistakes.loader), [], []
        for text in overrides:
            try:
                parsed += parser.parse_overrides([text])
            except HydraException:
                problems.append(self.mistakes.unreadable(text))
        if problems:
            raise ConfigError(problems)
        return parsed

    def jobs(self, parsed: Sequence[Override], is_multirun: bool) -> list[list[str]]:
        """The overrides of every job: one, or the product of the sweep."""
        sweeps = [override for override in parsed if override.is_sweep_override()]
        fixed = [str(override.input_line) for override in parsed if override not in sweeps]
        with contextlib.suppress(*COMPOSITION_ERRORS):
            hydra = self.compose(fixed).hydra
            is_multirun = is_multirun or (hydra.mode is not None and hydra.mode.name == "MULTIRUN")
            if is_multirun:
                own = {override.key_or_group for override in parsed}
                params = OmegaConf.select(hydra, "sweeper.params") or {}
                sweeps += self.parse([f"{key}={value}" for key, value in params.items() if key not in own])
        if not is_multirun:
            problems = [self.mistakes.ambiguous(override) for override in sweeps]
            if problems:
                raise ConfigError(problems)
            return [fixed]
        choices = [[f"{override.get_key_element()}={value}" for value in _values(override)] for override in sweeps]
        if math.prod(map(len, choices)) <= MAX_JOBS:
            return [[*fixed, *job] for job in itertools.product(*choices)]
        first = [values[0] for values in choices]
        one_at_a_time = [
            [*first[:at], value, *first[at + 1 :]] for at, values in enumerate(choices) for value in values
        ]
        return [[*fixed, *job] for job in one_at_a_time]

    def problems(self, overrides: Sequence[str], is_run: bool) -> list[str]:
        """What is wrong with one job; nothing where it composes and validates."""
        parsed = self.parse(overrides)
        try:
            cfg = self.compose(overrides)
        except COMPOSITION_ERRORS as error:
            return self.mistakes.explain(parsed) or [first_line(error)]
        is_doubtful = (Override.is_add, Override.is_force_add, Override.is_delete, _is_list)  # Hydra takes any of these
        doubtful = [override for override in parsed if any(ask(override) for ask in is_doubtful)]
        if doubtful and (problems := self.mistakes.explain(doubtful, context=parsed)):
            return problems
        if is_run:
            problems = list(_folder_problems(cfg))
            try:
                validate(cfg)
            except ConfigError as error:
                problems += error.problems
            return problems
        return []


def _is_list(override: Override) -> bool:
    return isinstance(override.value(), list)


def _folder_problems(cfg: DictConfig) -> Iterator[str]:
    """A folder for results that Hydra could not make when the run starts."""
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        folder = Path(str(OmegaConf.select(cfg, key))).absolute()
        place = next(path for path in (folder, *folder.parents) if path.exists())
        if not place.is_dir():
            yield f"{key} = {folder}: {place} is a file; name a folder, which need not exist"
        elif not os.access(place, os.W_OK):
            yield f"{key} = {folder}: nothing may be written in {place}; name another folder"


def _values(override: Override) -> list[str]:
    """The values of a sweep; of an interval its ends."""
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    return [str(interval.start), str(interval.end)]
