"""Overrides with several values, params and stages -> the jobs that they stand for."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from tiles_ecg.console_resume import quoted
from tiles_ecg.sweep.names import job_names
from tiles_ecg.sweep.plan import Job, SweepError, key_of

RUN_OF = re.compile(r"(\[?)run_of\((\w+)\)(\]?)")
"""In the params of a stage: the run folder of the job of an earlier stage in which the same varies; also in a list."""


@dataclass(frozen=True)
class Grammar:
    """What has to be known of the config to read overrides.

    Attributes:
        parse: Overrides as typed -> as Hydra reads them.
        is_group: Whether a key is a config group.
    """

    parse: Callable[[Sequence[str]], Sequence[Override]]
    is_group: Callable[[str], bool]


@dataclass
class _Axis:
    """One override of a command, with the values it takes.

    Attributes:
        key: With its `+`, `~` and package.
        texts: An override for each value.
    """

    key: str
    texts: list[str]


@dataclass
class _Draft:
    """A job that has no name yet."""

    stage: str
    overrides: list[str]
    varied: dict[str, str] = field(default_factory=dict)


def expand(
    overrides: Sequence[str],
    grammar: Grammar,
    folder: Path,
    params: Mapping[str, Any] | None = None,
    stages: Mapping[str, Mapping[str, Any]] | None = None,
    taken: Collection[str] = (),
    overrides_of_hydra: Sequence[str] = (),
) -> list[Job]:
    """All combinations of values, of every stage.

    The command wins over `params`. A stage's own params are added to both. Where a stage chooses a config group, the
    command's overrides of that group, and of what is in it, hold for the other stages only; null leaves the group as
    the root config has it. Where a stage gives a value that the command gives too, the command's holds, for such
    stages only; unless the stage's was given on the command line, which is the more particular of the two.

    Args:
        overrides: Of the command.
        grammar: How they are read.
        folder: The sweep's, absolute.
        params: Override key -> values. Nested mappings stand for dotted keys.
        stages: Stage -> params of its own.
        taken: Names that jobs of the sweep have already.
        overrides_of_hydra: Of the command, Hydra's own: they tell what of the stages was typed.

    Raises:
        SweepError: If there are no values to list, a job would be there twice, or a stage is not there.
    """
    command = _axes(grammar, overrides)
    common = {key_of(axis.key): axis for axis in _axes(grammar, _texts(params or {}))}
    given = {key_of(axis.key) for axis in command}
    base = [axis for key, axis in common.items() if key not in given] + command
    drafts: list[_Draft] = []
    listed = {stage: _texts(own) for stage, own in (stages or {"": {}}).items()}
    typed = {key_of(text) for text in overrides_of_hydra}
    for stage, own in listed.items():
        particular = {key for key in map(key_of, own) if f"hydra.sweeper.stages.{stage}.{key}" in typed}
        elsewhere = {
            key
            for other, texts in listed.items()
            for key in map(key_of, texts)
            if not grammar.is_group(key.partition("@")[0]) and f"hydra.sweeper.stages.{other}.{key}" not in typed
        }
        shared = [axis for axis in base if key_of(axis.key) not in elsewhere - set(map(key_of, own))]
        drafts += _of_stage(stage, shared, given - particular, own, grammar, drafts, folder)
    _refuse_twins(drafts)
    names = job_names(
        [draft.stage for draft in drafts],
        [draft.varied for draft in drafts],
        [draft.overrides for draft in drafts],
        taken,
    )
    renamed = {_placeholder(folder, number): folder / name for number, name in enumerate(names)}
    return [
        Job(name, tuple(_renamed(text, renamed) for text in draft.overrides), draft.varied, draft.stage)
        for name, draft in zip(names, drafts, strict=True)
    ]


def flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings -> dotted keys and their values."""
    for name, value in params.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


def _of_stage(
    stage: str,
    base: Sequence[_Axis],
    given: Collection[str],
    own: Sequence[str],
    grammar: Grammar,
    earlier: Sequence[_Draft],
    folder: Path,
) -> list[_Draft]:
    needs = {key_of(text): found for text in own if (found := RUN_OF.fullmatch(text.partition("=")[2].strip()))}
    chosen = {key_of(text) for text in own if grammar.is_group(key_of(text).partition("@")[0])}
    unset = {key_of(text) for text in own if key_of(text) in chosen and text.endswith("=null")}
    values = [text for text in own if key_of(text) not in {*needs, *unset}]
    added = [axis for axis in _axes(grammar, values) if key_of(axis.key) in chosen or key_of(axis.key) not in given]
    new = {key_of(axis.key) for axis in added} | unset
    kept = [axis for axis in base if key_of(axis.key) not in new and not _is_within(key_of(axis.key), chosen)]
    drafts = []
    axes = [*kept, *added]
    for texts in itertools.product(*(axis.texts for axis in axes)):
        several = zip(axes, texts, strict=True)
        varied = {key_of(axis.key): _shown(text) for axis, text in several if len(axis.texts) > 1}
        draft = _Draft(stage, list(texts), varied)
        for key, (opening, source, closing) in ((key, found.groups()) for key, found in needs.items()):
            number = _run_of(source, draft, earlier)
            draft.overrides.append(f"{key}={opening}{quoted(_placeholder(folder, number))}{closing}")
        drafts.append(draft)
    return drafts


def _is_within(key: str, groups: Collection[str]) -> bool:
    return any(key.startswith((f"{group}.", f"{group}/", f"{group}@")) for group in groups)


def _run_of(source: str, draft: _Draft, earlier: Sequence[_Draft]) -> int:
    """The number of the job of an earlier stage that has the same values wherever both vary."""
    candidates = [number for number, other in enumerate(earlier) if other.stage == source]
    fitting = [
        number
        for number in candidates
        if all(draft.varied.get(key, value) == value for key, value in earlier[number].varied.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not candidates:
        before = ", ".join(dict.fromkeys(other.stage for other in earlier)) or "none"
        raise SweepError(f"stage {draft.stage}: run_of({source}): no such stage before it; there are {before}")
    keys = sorted({key for number in candidates for key in earlier[number].varied} - set(draft.varied))
    raise SweepError(
        f"stage {draft.stage}: run_of({source}): {len(fitting)} jobs of {source} fit; what varies there "
        f"({', '.join(keys) or 'other values'}) has to vary here too"
    )


def _placeholder(folder: Path, number: int) -> Path:
    return folder / f"job-{number}-of-this-sweep"


def _renamed(text: str, renamed: Mapping[Path, Path]) -> str:
    key, _, value = text.partition("=")
    path = renamed.get(Path(value.strip("[]'")))
    if path is None:
        return text
    return f"{key}=[{quoted(path)}]" if value.startswith("[") else f"{key}={quoted(path)}"


def _axes(grammar: Grammar, overrides: Sequence[str]) -> list[_Axis]:
    """What each override stands for; a later one of the same key replaces an earlier one."""
    found: dict[str, _Axis] = {}
    for override in grammar.parse(overrides):
        key = override.get_key_element()
        if override.is_interval_sweep():
            text = override.get_value_string()
            raise SweepError(
                f"{override.key_or_group} = {text}: a grid has no values within an interval; list some of them, as "
                f"{key}=1,2,3 or {key}=range(1,4), or search: hydra/sweeper=optuna"
            )
        if override.is_sweep_override():
            found[key] = _Axis(key, [f"{key}={value}" for value in override.sweep_string_iterator()])
            if not found[key].texts:
                raise SweepError(f"{override.input_line}: stands for no value; give at least one")
        else:
            found[key] = _Axis(key, [str(override.input_line)])
    return list(found.values())


def _texts(params: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_as_override(value)}" for key, value in flatten(params)]


def _as_override(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_as_override, value))}]"
    return str(value)


def _shown(text: str) -> str:
    value = text.partition("=")[2]
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def _refuse_twins(drafts: Sequence[_Draft]) -> None:
    count = Counter((draft.stage, *sorted(draft.overrides)) for draft in drafts)
    twice = [draft for draft in drafts if count[(draft.stage, *sorted(draft.overrides))] > 1]
    if twice:
        shown = " ".join(f"{key}={value}" for key, value in twice[0].varied.items()) or " ".join(twice[0].overrides)
        raise SweepError(f"{shown}: this job is there {count[(twice[0].stage, *sorted(twice[0].overrides))]} times; "
                         "give each value once")  # fmt: skip
