"""The declarative description of a W&B workspace: sections of panels, each with the keys that it shows."""

from collections.abc import Hashable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, field_validator, model_validator

from tiles_ecg.workspace.key import check_key, has_star

SHIPPED = Path(__file__).with_name("tiles.yaml")
JobType = Literal["pretrain", "finetune", "probe", "fusion", "evaluate"]
PanelType = Literal["line", "scalar", "bar", "image", "table"]
Text = Annotated[str, Field(min_length=1)]
Key = Annotated[str, AfterValidator(check_key)]


class DashboardError(Exception):
    """A description cannot be used, or not sent. The message names the file, the place and what would be right."""

    is_user_error = True


class Panel(BaseModel, frozen=True, extra="forbid"):
    """A panel of a section.

    Attributes:
        type: `line`: over steps or time; `scalar`, `bar`: last values; `image`, `table`: what is logged as such.
        title: Above it.
        keys: What it shows; see `tiles_ecg.workspace.key`.
        x: Of lines: the training step, or the time since the run began.
        smoothing: Of lines: weight of what came before, exponential.
        log_y: Of lines: a logarithmic axis.
        is_optional: Whether only some runs log it: it is not missed where none does.
    """

    type: PanelType
    title: Text
    keys: Annotated[tuple[Key, ...], Field(min_length=1)]
    x: Literal["step", "time"] = "step"
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    log_y: bool = False
    is_optional: bool = False

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        for name, default in (("x", "step"), ("smoothing", 0.0), ("log_y", False)):
            if self.type != "line" and getattr(self, name) != default:
                raise ValueError(f"{name}: of line panels only, this one is type: {self.type}")
        if self.type not in ("line", "image") and any(map(has_star, self.keys)):
            raise ValueError(f"a star stands for names in line and image panels only; list those of this {self.type}")
        if self.type in ("scalar", "table") and (len(self.keys) > 1 or "{" in self.keys[0]):
            raise ValueError(f"a {self.type} panel shows one key; give each a panel of its own")
        return self


class Section(BaseModel, frozen=True, extra="forbid"):
    """Panels about one kind of job.

    Attributes:
        name: Its heading.
        job_types: Jobs that log what it shows; with `check`, it is compared with these only.
        panels: In order.
        is_open: Whether it is shown unfolded.
    """

    name: Text
    job_types: Annotated[tuple[JobType, ...], Field(min_length=1)]
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]
    is_open: bool = True


class Dashboard(BaseModel, frozen=True, extra="forbid"):
    """A workspace.

    Attributes:
        name: Of the view in W&B.
        sections: From top to bottom.
        group_by: How runs are put together, outermost first.
    """

    name: Text
    sections: Annotated[tuple[Section, ...], Field(min_length=1)]
    group_by: tuple[Literal["group", "job_type", "state"], ...] = ()

    @field_validator("sections")
    @classmethod
    def _have_names_of_their_own(cls, sections: tuple[Section, ...]) -> tuple[Section, ...]:
        names = [section.name for section in sections]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sections are named {twice[0]}; give each its own name")
        return sections


def read_dashboard(path: Path = SHIPPED) -> Dashboard:
    """Read and check a description.

    Raises:
        DashboardError: With a line for each mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise DashboardError(f"{path}: cannot be read ({error}); give the YAML file of a description") from error
    except yaml.YAMLError as error:
        raise DashboardError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Dashboard.model_validate(found)
    except ValidationError as error:
        lines = [f"{path}, line {_line(node, each['loc'])}: {_said(each)}" for each in _own(error)]
        raise DashboardError("\n".join(lines)) from error


def _own(error: ValidationError) -> list[Any]:
    """Mistakes without their consequences: a list counts as too short when something in it is wrong."""
    every = error.errors()
    deep = {each["loc"][:depth] for each in every for depth in range(len(each["loc"]))}
    return [each for each in every if each["type"] != "too_short" or each["loc"] not in deep]


def _line(node: yaml.Node | None, place: Sequence[Hashable]) -> int:
    """Line of the deepest node on the way to a place."""
    if node is None:
        return 1
    line: int = node.start_mark.line + 1
    for step in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            key, node = next(((k, v) for k, v in node.value if k.value == step), (None, None))
            if key is not None:
                line = key.start_mark.line + 1
                continue
        if node is None:
            break
        line = node.start_mark.line + 1
    return line


def _said(error: Any) -> str:
    """One mistake: dotted key, what is wrong, what would be right."""
    *above, last = error["loc"] or ("",)
    key = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "extra_forbidden":
        known = list(_keys_at(above))
        near = get_close_matches(str(last), known, n=1)
        return f"{key}: no such key; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
    if error["type"] == "missing":
        return f"{key}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    shown = error["input"] if isinstance(error["input"], str | int | float | None) else None
    got = "" if shown is None or error["type"] == "value_error" else f" (got {shown!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{got}"


def _keys_at(place: Sequence[Hashable]) -> Sequence[str]:
    if "panels" in place:
        return list(Panel.model_fields)
    return list((Section if "sections" in place else Dashboard).model_fields)
