"""One walk through a composed config: what is missing, what leads nowhere, what its components do not take."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from tiles_ecg.config_annotation import evaluate
from tiles_ecg.config_fit import describe, misfit
from tiles_ecg.config_relations import expected_at
from tiles_ecg.config_signature import Parameter, Signature, did_you_mean, signature

_RESERVED = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
_EXAMPLES = {"store": "FILE.h5", "root": "DIR", "folder": "DIR", "path": "FILE", "file": "FILE"}
_UNKNOWN = object()
"""An object that a nested `_target_` makes, or a value that is known only when the run starts."""


class Check:
    """The walk, in the order of the config.

    Attributes:
        problems: Dotted key and line of each.
        keys: Every dotted key that was met.
        values: Resolved values by dotted key, but for those that hold an object.
        source: Where the value of a key that only repeats another one is written.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.problems: list[tuple[str, str]] = []
        self.keys: list[str] = []
        self.values: dict[str, Any] = {}
        self.source: dict[str, str] = {}

    def _problem(self, key: str, line: str) -> None:
        self.problems.append((key, line))

    def mapping(self, node: DictConfig, key: str) -> Any:
        """Check what is below a mapping; its plain content, or an unknown where it is the config of an object."""
        names = [str(name) for name in node if key or name != "hydra"]
        content = {name: self._value(node, name, f"{key}.{name}" if key else name) for name in names}
        if "_target_" not in content:
            return content
        self._target(content, key)
        return _UNKNOWN

    def _value(self, parent: DictConfig | ListConfig, name: str | int, key: str) -> Any:
        """Check one value and what is below it, and return it resolved."""
        self.keys.append(key)
        if OmegaConf.is_missing(parent, name):
            last = key.rpartition(".")[2]
            self._problem(key, f"{key} = ???: missing; give it as {key}={_EXAMPLES.get(last, 'VALUE')}")
            return _UNKNOWN
        if OmegaConf.is_interpolation(parent, name):
            content = self._interpolation(parent, name, key)
        else:
            found = parent[name]  # type: ignore[index]
            if isinstance(found, DictConfig):
                content = self.mapping(found, key)
            elif isinstance(found, ListConfig):
                content = [self._value(found, number, f"{key}.{number}") for number in range(len(found))]
            else:
                content = found
        if not _holds_unknown(content):
            self.values[key] = content
            if (expected := expected_at(key)) is not None:
                self._fit(key, content, expected, "")
        return content

    def _interpolation(self, parent: DictConfig | ListConfig, name: str | int, key: str) -> Any:
        """What `${...}` stands for. Nodes are checked where they stand; what only a run knows is left alone."""
        raw = OmegaConf.to_container(parent, resolve=False)[name]  # type: ignore[index]
        if whole := re.fullmatch(r"\$\{([\w.]+)\}", str(raw)):
            self.source[key] = whole[1]
        try:
            found = parent[name]  # type: ignore[index]
        except InterpolationToMissingValueError:
            return _UNKNOWN  # told of where it is missing
        except OmegaConfBaseException as error:
            if not self._depends_on_run(raw) and (reason := self._unresolved(raw, error)):
                self._problem(key, f"{key} = {raw}: {reason}")
            return _UNKNOWN
        is_open = isinstance(found, DictConfig | ListConfig) or (found is None and self._depends_on_run(raw))
        return _UNKNOWN if is_open else found

    def _depends_on_run(self, raw: Any, depth: int = 0) -> bool:
        """Whether a text refers to Hydra's own config, which is there only while Hydra runs a job."""
        if not isinstance(raw, str) or depth > 10:
            return False
        names = re.findall(r"\$\{([\w.]+)\}", raw)
        return "${hydra:" in raw or any(self._depends_on_run(self._raw(name), depth + 1) for name in names)

    def _raw(self, key: str) -> Any:
        """The value at a dotted key as it is written; an unknown where there is none."""
        node: Any = OmegaConf.to_container(self.cfg, resolve=False)
        for part in key.split("."):
            if isinstance(node, list) and part.isdigit() and int(part) < len(node):
                node = node[int(part)]
            else:
                node = node.get(part, _UNKNOWN) if isinstance(node, dict) else _UNKNOWN
        return node

    def _unresolved(self, raw: str, error: Exception) -> str:
        """Why an interpolation fails, and what may be meant; empty where the fault lies in what it refers to."""
        names = re.findall(r"\$\{(\w[\w.]*)\}", raw)
        for name in names:
            if self._raw(name) is _UNKNOWN:
                return f"there is no {name}{nearest_key(name, dotted_keys(self.cfg))}"
        if names and "".join(names) == re.sub(r"\$\{(\w[\w.]*)\}|[^$]", r"\1", raw):
            return ""
        return f"cannot be resolved ({str(error).splitlines()[0]}); write ${{KEY}} with the dotted key of a value"

    def _target(self, content: dict[str, Any], key: str) -> None:
        """Check the arguments of one component against the signature of its target."""
        name = content["_target_"]
        if not isinstance(name, str):
            return
        try:
            known = signature(name)
        except LookupError as error:
            self._problem(f"{key}._target_", f"{key}._target_ = {name}: {error}")
            return
        short = name.rpartition(".")[2]
        positional = content["_args_"] if isinstance(content.get("_args_"), list) else []
        given = {**{p.name: v for p, v in zip(known.parameters, positional, strict=False)}, **content}
        for parameter in known.parameters:
            if parameter.name in given:
                self._argument(f"{key}.{parameter.name}", given[parameter.name], parameter, short)
            elif parameter.is_required and not known.is_open and content.get("_partial_") is not True:
                wanted = describe(evaluate(parameter.annotation, parameter.module))
                line = (
                    f"{key}.{parameter.name}: missing; {short} needs it ({wanted}); give {key}.{parameter.name}=VALUE"
                )
                self._problem(key, line)
        for unknown in self._unknown_arguments(content, known):
            names = [parameter.name for parameter in known.parameters]
            some = f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            right = did_you_mean(unknown, names) or f"; it takes {some or 'none'}"
            line = f"{key}.{unknown} = {_word(content[unknown])}: {short} takes no such argument{right}"
            self._problem(f"{key}.{unknown}", line)

    def _unknown_arguments(self, content: dict[str, Any], known: Signature) -> list[str]:
        accepted = {parameter.name for parameter in known.parameters} | _RESERVED
        return [] if known.is_open else [name for name in content if name not in accepted]

    def _argument(self, key: str, value: Any, parameter: Parameter, target: str) -> None:
        if not _holds_unknown(value) and expected_at(key) is None:
            self._fit(key, value, evaluate(parameter.annotation, parameter.module), target)

    def _fit(self, key: str, value: Any, expected: Any, target: str) -> None:
        if wrong := misfit(value, expected):
            needs = f"{target} takes" if target else "choose"
            self._problem(key, f"{key} = {_word(value)}: {wrong[0]}; {needs} {wrong[1]}")


def dotted_keys(node: Any, key: str = "") -> Iterable[str]:
    """Every dotted key of a config, those of mappings included, Hydra's own left out."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=False)
    for name, child in node.items() if isinstance(node, dict) else ():
        full = f"{key}.{name}" if key else str(name)
        if full != "hydra":
            yield full
            yield from dotted_keys(child, full)


def nearest_key(wrong: str, keys: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest dotted keys: first by the last word, then next to it, then anywhere."""
    parent, _, last = wrong.rpartition(".")
    known = list(keys)
    same = [key for key in known if key.rpartition(".")[2] == last]
    if not 0 < len(same) <= 4:
        beside = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == parent}
        near = get_close_matches(last, beside, n=1)
        depth = [key for key in known if key.count(".") == wrong.count(".")]
        same = [beside[name] for name in near] or get_close_matches(wrong, depth, n=1)
    return f"; did you mean {' or '.join(same)}?" if same else ""


def _holds_unknown(content: Any) -> bool:
    if isinstance(content, dict | list):
        return any(map(_holds_unknown, content.values() if isinstance(content, dict) else content))
    return content is _UNKNOWN


def _word(value: Any) -> str:
    """A value as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if _holds_unknown(value):
        return "{...}"
    return f"{value!r}" if isinstance(value, str) and (not value or value != value.strip()) else f"{value}"
