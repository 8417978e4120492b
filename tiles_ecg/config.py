"""Where the config lies, and whether a composed one can work: every mistake at once, before anything is built."""

import re
import secrets
import textwrap
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from tiles_ecg.config_check import Check
from tiles_ecg.config_relations import relations


class ConfigError(Exception):
    """A config cannot work.

    Args:
        problems: One line a mistake: its dotted key and value, what is wrong, and what would be right.
    """

    is_user_error = True

    def __init__(self, problems: Sequence[str] | str) -> None:
        super().__init__(problems)
        self.problems = [problems] if isinstance(problems, str) else list(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} mistakes in the config:", *(f"  {line}" for line in self.problems)])


def config_directory() -> Path:
    """The folder of the YAML files: `conf/` beside the package in a checkout, inside it in an installed wheel."""
    package = Path(__file__).resolve().parent
    places = [package.parent / "conf", package / "conf"]
    for place in places:
        if (place / "train.yaml").is_file():
            return place
    raise ConfigError(f"no config files at {places[0]} nor {places[1]}: install tiles_ecg anew")


def register_resolvers() -> None:
    """Make our resolvers known.

    `${run_tag:}`: 4 hex digits, one draw a config. `${folder_name:TEXT}`: the text as one part of a path.
    `${config_groups:...}`: the groups in `--help`.
    `${run_name:...}`: choices, joined; those of null are left out.
    """
    OmegaConf.register_new_resolver("run_tag", lambda: secrets.token_hex(2), use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("config_groups", list_groups, replace=True)


def folder_name(text: str) -> str:
    """A text as one readable part of a path: values of paths by their last part, brackets dropped, at most 200 long."""
    short = re.sub(r"[^,=\[\]]*/", "", text)
    return re.sub(r"[^\w.,=+~-]", "", short)[:200] or "job"


def run_name(*choices: str | None) -> str:
    """Choices joined by dashes, without those that were not made."""
    return "-".join(choice for choice in choices if choice is not None)


def list_groups(*groups: str, _root_: DictConfig) -> str:
    """One line a config group with its options, those in use marked by a star: the middle of a `--help` page."""
    choices = OmegaConf.select(_root_, "hydra.runtime.choices") or {}
    width = max(map(len, groups))
    lines = []
    for group in groups:
        options = sorted(file.stem for file in (config_directory() / group).glob("*.yaml"))
        marked = [f"{option}*" if option == choices.get(group) else option for option in options]
        indent = f"  {group:{width}}  "
        lines.append(textwrap.fill(", ".join(marked), 100, initial_indent=indent, subsequent_indent=" " * len(indent)))
    return "\n".join(lines)


def validate(cfg: DictConfig) -> None:
    """Check a composed config: missing values, interpolations, targets and their arguments, and relations.

    Imports nothing that a `_target_` names, and opens no data.

    Args:
        cfg: A root config (train or prepare), composed with or without Hydra running; it is not changed.

    Raises:
        ConfigError: With every problem, in the order of the config.
    """
    check = Check(cfg)
    check.mapping(cfg, "")
    wrong = {key for key, _ in check.problems}
    check.problems += [(key, line) for key, line in relations(check.values) if key not in wrong]
    order = {key: number for number, key in enumerate(check.keys)}
    problems = sorted(check.problems, key=lambda problem: order.get(problem[0], len(order)))
    lines = [line for key, line in problems if check.source.get(key) not in wrong]  # once, where it is written
    if lines:
        raise ConfigError(list(dict.fromkeys(lines)))
