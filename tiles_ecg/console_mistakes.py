"""Which override of a command that does not compose is mistyped, and what was meant perhaps."""

import contextlib
import functools
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tiles_ecg.config import config_directory
from tiles_ecg.config_check import dotted_keys, nearest_key

EXTRAS = {
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/sweeper=optuna": ("optuna", "sweep"),
}
"""Options that need a package: its module, and our extra that brings it."""
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, TypeError)
"""What Hydra raises for overrides that it cannot apply."""


@dataclass
class Mistakes:
    """Explains the overrides of one root config; needs an initialised Hydra.

    Attributes:
        config_name: Root config, `train` or `prepare`.
        loader: Hydra's loader, which knows the config groups.
        composed: What was composed so far, by overrides.
    """

    config_name: str
    loader: ConfigLoader
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)

    def unreadable(self, text: str) -> str:
        """What is wrong with a word that is no override."""
        key, equals, value = text.partition("=")
        if not equals:
            groups = [group for group in self.groups if text in self.options(group)]
            guess = f" (did you mean {groups[0]}={text}?)" if groups else ""
            return f"{text}: not an override; write KEY=VALUE{guess}"
        quoted = value.replace("'", "\\'")
        marks = ", = [ ] { } ( ) : or quotes"
        return f"{text}: cannot be read; a value with any of {marks} is quoted twice: \"{key}='{quoted}'\""

    def ambiguous(self, override: Override) -> str:
        """What to do about several values in a command that is no sweep."""
        key, value = override.get_key_element(), override.get_value_string()
        as_list = "" if override.key_or_group in self.groups else f", or write {key}=[{value}] for a list"
        return f"{key} = {value}: several values; put -m first to run each of them{as_list}"

    def swept_setting(self, override: Override) -> str:
        """What to do about several values of a key of Hydra's own."""
        key, value = override.key_or_group, override.get_value_string()
        given = key.removeprefix("hydra.sweeper.params.")
        if given != key:
            return f"{key} = {value}: on a command line, write {given}={value}"
        return f"{key} = {value}: Hydra's own keys have one value; as a text it is quoted twice: \"{key}='{value}'\""

    def explain(self, parsed: Sequence[Override], context: Sequence[Override] = ()) -> list[str]:
        """A line for every override that names what does not exist.

        Args:
            parsed: The overrides to explain.
            context: All overrides of the command, where `parsed` are only some of them.
        """
        groups, everything = self.groups, context or parsed
        chosen = [str(o.input_line) for o in everything if o.key_or_group in groups and not self._option_problem(o)]
        base = self._compose([])
        parts = _parts(base)
        with contextlib.suppress(*COMPOSITION_ERRORS):
            base = self._compose(chosen)
        text = " ".join(str(override.input_line) for override in everything)
        lines = []
        for override in parsed:
            if override.key_or_group in groups:
                lines.append(self._part_problem(override, parts) or self._option_problem(override))
            elif not override.is_hydra_override():
                lines.append(self._key_problem(override, base, text))
        return [line for line in lines if line]

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config by some overrides, composed once."""
        key = tuple(overrides)
        if key not in self.composed:
            self.composed[key] = compose(self.config_name, list(overrides), return_hydra_config=True)
        return self.composed[key]

    def _option_problem(self, override: Override) -> str:
        """What is wrong with the option that a group is given; empty if nothing."""
        group, value, options = override.key_or_group, override.value(), self.options(override.key_or_group)
        listed = f"choose one of {', '.join(options)}"
        if override.is_delete():
            return ""
        if value is None:
            return f"{group} = null: every run needs this part; {listed}"
        if isinstance(value, list):
            return f"{group} = [{','.join(map(str, value))}]: a run has one of each part; {listed}"
        if value in options:
            return ""
        near = get_close_matches(str(value), options, n=1)
        return f"{group} = {value}: no such option; {listed}{f' (did you mean {near[0]}?)' if near else ''}"

    def _part_problem(self, override: Override, parts: Sequence[str]) -> str:
        """What is wrong with naming that group here; empty if nothing, or if a place is given with `@`."""
        group = override.key_or_group
        if override.package is not None or override.is_hydra_override():
            return ""
        if override.is_delete():
            return f"~{group}: every run needs this part; choose one of {', '.join(self.options(group))}"
        shown = str(override.input_line)
        if group in parts:
            return f"{shown}: without +, since every run has this part; write {shown[1:]}" if override.is_add() else ""
        others = [file.stem for file in sorted(config_directory().glob("*.yaml")) if file.stem != self.config_name]
        for other in others:
            if group in _parts(compose(other, return_hydra_config=True)):
                return f"{shown}: not a part of tiles-{self.config_name}; it belongs to tiles-{other}"
        if "/" in group:
            return f"{shown}: say where it goes; write +{group}@KEY=OPTION with the dotted key of the place"
        return f"{shown}: not a part of tiles-{self.config_name}; its parts are {', '.join(parts)}"

    def _key_problem(self, override: Override, base: DictConfig, text: str) -> str:
        """What is wrong with the key of a value; empty if nothing."""
        key = override.key_or_group
        shown = str(override.input_line)
        exists = _exists(base, key)
        if exists:
            is_taken = override.is_add() and OmegaConf.select(base, key) is not None
            return f"{shown}: exists already; write {shown.removeprefix('+')}" if is_taken else ""
        names = [*dotted_keys(base), *(group for group in self.groups if not group.startswith("hydra"))]
        right = nearest_key(key, dict.fromkeys(names))
        if override.is_delete():
            return f"{shown}: there is nothing to delete{right}"
        if not (override.is_add() or override.is_force_add()):
            return f"{shown}: there is no {key}{right}"
        if f"${{{key}" in text or _is_argument(base, key) or "_target_" in str(override.input_line):
            return ""
        return f"{shown}: nothing reads {key}{right}"

    @functools.cached_property
    def groups(self) -> list[str]:
        """Every config group, nested ones as `parent/child`."""
        return list(self._groups(""))

    def _groups(self, parent: str) -> Iterator[str]:
        for name in self.loader.list_groups(parent):
            full = f"{parent}/{name}" if parent else name
            yield full
            yield from self._groups(full)

    def options(self, group: str) -> list[str]:
        """The options of a group, sorted."""
        return sorted(self.loader.get_group_options(group))


def lacking_extra(overrides: Sequence[str]) -> list[str]:
    """A line for each option among overrides that needs what is not installed."""
    lines = []
    for text in overrides:
        module, extra = EXTRAS.get(text, ("", ""))
        if module and not _is_installed(module):
            lines.append(f"{text.replace('=', ' = ')}: is not installed; pip install 'tiles_ecg[{extra}]'")
    return lines


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _parts(root: DictConfig) -> list[str]:
    """The groups of a root config."""
    return [str(group) for group in root.hydra.runtime.choices if not str(group).startswith("hydra/")]


def first_line(error: Exception) -> str:
    """What Hydra says, without its advice to append what may be a typing mistake."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = [line.strip() for line in str(error.__cause__ or "").splitlines()[:1]]
    kept = [line for line in lines if not re.search(r"use \+|append", line)][:1]
    return ": ".join(line.rstrip(".:") for line in [*kept, *cause]) or type(error).__name__


def _exists(base: DictConfig, key: str) -> bool:
    node: Any = OmegaConf.to_container(base, resolve=False)
    for part in key.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return False
    return True


def _is_argument(base: DictConfig, key: str) -> bool:
    """Whether a key lies within a component, whose signature then tells whether it is read."""
    node: Any = OmegaConf.to_container(base, resolve=False)
    for part in key.split("."):
        if isinstance(node, dict) and "_target_" in node:
            return True
        node = node.get(part) if isinstance(node, dict) else None
    return False
