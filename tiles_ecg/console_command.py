"""One command line: how its overrides are read and composed, and the jobs that they stand for."""

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config import ConfigError, validate
from tiles_ecg.console_mistakes import COMPOSITION_ERRORS, Mistakes, first_line, lacking_extra
from tiles_ecg.console_resume import wants_to_resume
from tiles_ecg.sweep.grid_plan import plan_grid
from tiles_ecg.sweep.jobs import Grammar, flatten
from tiles_ecg.sweep.plan import Job, key_of

MAX_JOBS = 256
"""So many jobs of a sweep are checked before it starts; of a larger one, each value once."""


@dataclass(frozen=True)
class Checked:
    """What a command stands for.

    Attributes:
        jobs: All of them; one where it is no sweep.
        configs: Config of each that was composed, by its name, Hydra's own included.
        folder: The sweep's, absolute; None where it is none.
        resume: Whether they go on with what is there.
        sweeper: Option of `hydra/sweeper`.
    """

    jobs: Sequence[Job]
    configs: Mapping[str, DictConfig]
    folder: Path | None
    resume: bool
    sweeper: str


@dataclass
class Command:
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
        """Overrides as Hydra reads them; all that cannot be read are told."""
        parser, parsed, problems = OverridesParser.create(config_loader=self.mistakes.loader), [], []
        for text in overrides:
            try:
                parsed += parser.parse_overrides([text])
            except HydraException:
                problems.append(self.mistakes.unreadable(text))
        if problems:
            raise ConfigError(problems)
        return parsed

    def hydra(self, parsed: Sequence[Override]) -> DictConfig:
        """Hydra's part of the config, by the overrides that have one value."""
        fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        hydra: DictConfig = self.compose(fixed).hydra
        return hydra

    def jobs(self, parsed: Sequence[Override], is_multirun: bool) -> Checked:
        """The jobs: one, or those of the sweep."""
        if swept := [override for override in parsed if override.is_sweep_override() and override.is_hydra_override()]:
            raise ConfigError(list(map(self.mistakes.swept_setting, swept)))
        sweeps = [override for override in parsed if override.is_sweep_override()]
        texts = [str(override.input_line) for override in parsed]
        hydra = self._hydra_if_any(parsed)
        outline = hydra if hydra is not None else self._hydra_if_any(self._choices(parsed))
        if hydra is None and outline is not None and (problems := list(self._misplaced(parsed, outline))):
            raise ConfigError(problems)
        if not (is_multirun or (outline is not None and is_multirun_by(outline))):
            if sweeps:
                raise ConfigError([self.mistakes.ambiguous(override) for override in sweeps])
            return Checked([_job("run", texts)], {}, None, wants_to_resume(texts), "")
        if hydra is None:  # it is told why when its jobs are composed
            return Checked(self._combinations(parsed, {}), {}, None, False, "")
        folder = Path(str(hydra.sweep.dir)).absolute()
        sweeper = str(hydra.runtime.choices["hydra/sweeper"])
        resume = wants_to_resume(texts)
        if sweeper != "grid":
            params = dict(flatten(OmegaConf.select(hydra, "sweeper.params") or {}))
            return Checked(self._combinations(parsed, params), {}, folder, resume, sweeper)
        loader = self.mistakes.loader
        grammar = Grammar(self.parse, lambda key: bool(loader.get_group_options(key)))
        _, jobs = plan_grid(folder, f"tiles-{self.config_name}", texts, hydra.sweeper, grammar, resume)
        return Checked(jobs, {}, folder, resume, sweeper)

    def _hydra_if_any(self, parsed: Sequence[Override]) -> DictConfig | None:
        with contextlib.suppress(*COMPOSITION_ERRORS):
            return self.hydra(parsed)
        return None

    def _choices(self, parsed: Sequence[Override]) -> list[Override]:
        """Hydra's own overrides and those of groups: they say whether it is a sweep where other keys are mistyped."""
        is_choice = self.mistakes.loader.get_group_options
        return [override for override in parsed if override.is_hydra_override() or is_choice(override.key_or_group)]

    def _misplaced(self, parsed: Sequence[Override], hydra: DictConfig) -> Iterator[str]:
        """Values that only a stage knows, and that the root config cannot be given therefore."""
        sweeper: Any = OmegaConf.to_container(hydra.sweeper, resolve=False)
        stages = sweeper.get("stages") or {}
        known = {key: stage for stage, params in stages.items() for key, _ in flatten(params)}
        choices = self._choices(parsed)
        for override in parsed:
            key, line = override.key_or_group, str(override.input_line)
            if key in known and override not in choices and not override.is_sweep_override():
                where = f"hydra.sweeper.stages.{known[key]}.{line.lstrip('+')}"
                yield f"{line}: only stage {known[key]} knows it; write {where}"

    def _combinations(self, parsed: Sequence[Override], params: Mapping[str, str]) -> list[Job]:
        """What another sweeper may run: of lists all values, of intervals their ends; of too many each value once."""
        own = {override.key_or_group for override in parsed}
        parsed = [*parsed, *self.parse([f"{key}={value}" for key, value in params.items() if key not in own])]
        sweeps = [override for override in parsed if override.is_sweep_override()]
        fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override() and not o.is_hydra_override()]
        choices = [[f"{override.get_key_element()}={value}" for value in _values(override)] for override in sweeps]
        if math.prod(map(len, choices)) <= MAX_JOBS:
            return [_job(" ".join(job), [*fixed, *job]) for job in itertools.product(*choices)]
        first = [values[0] for values in choices]
        once = [[*first[:at], value, *first[at + 1 :]] for at, values in enumerate(choices) for value in values]
        return [_job(" ".join(job), [*fixed, *job]) for job in once]

    def problems(self, overrides: Sequence[str], is_run: bool) -> list[str]:
        """What is wrong with one job; nothing where it composes and validates."""
        parsed = self.parse(overrides)
        try:
            cfg = self.compose(overrides)
        except COMPOSITION_ERRORS as error:
            return lacking_extra(overrides) or self.mistakes.explain(parsed) or [first_line(error)]
        if lacking := lacking_extra([f"{key}={value}" for key, value in cfg.hydra.runtime.choices.items()]):
            return lacking
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


def _job(name: str, overrides: Sequence[str]) -> Job:
    own = [text for text in overrides if not key_of(text).startswith(("hydra.", "hydra/"))]
    return Job(name, tuple(own))


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


def is_multirun_by(hydra: DictConfig) -> bool:
    """Whether Hydra's part of a config asks for a sweep."""
    return hydra.mode is not None and hydra.mode.name == "MULTIRUN"
