"""What type an annotation asks for, read as an expression and never run."""

import ast
from typing import Annotated, Any, Literal, Union

import pydantic
from pydantic import Field, Strict
from pydantic.fields import FieldInfo

from tiles_ecg.config_source import Definition, Module, last_name, resolve
from tiles_ecg.config_types import Limits

_PLAIN: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str)},
    **{
        name: getattr(pydantic, name) for name in ("PositiveInt", "PositiveFloat", "NonNegativeInt", "NonNegativeFloat")
    },
    **dict.fromkeys(("Path", "PathLike"), str),  # a config has no other way to write a path
    **dict.fromkeys(("list", "List", "Sequence", "Iterable", "Collection"), list[Any]),
    **dict.fromkeys(("dict", "Dict", "Mapping"), dict[str, Any]),
}
_OBJECTS = {"Tensor", "Module", "Generator", "timedelta", "Optimizer"}  # classes of others that no plain value can be
_LENIENT = {
    "Enum",
    "StrEnum",
    "IntEnum",
    "Protocol",
    "str",
    "int",
    "float",
    "dict",
    "list",
}  # bases that plain values may fit
_Object = object()
"""What an annotation asks for is an object, which only a `_target_` makes."""


def evaluate(annotation: ast.expr | None, module: Module) -> Any:
    """The type that an annotation stands for, with the names of its module; `Any` wherever that cannot be told.

    Known are the plain types, their unions and containers, `Literal`, `Annotated[..., Field(...)]`, pydantic's ranges,
    and whatever names the module or those it imports from give them. In a union, classes that no plain value can be
    an instance of do not count: `float | Tensor` is a number in a config.
    """
    found = _evaluate(annotation, module, depth=0)
    return Any if found is _Object else found


def _evaluate(annotation: ast.expr | None, module: Module, depth: int) -> Any:
    if depth > 20:  # a name that leads back to itself
        return Any
    match annotation:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return _evaluate(ast.parse(text, mode="eval").body, module, depth + 1)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([_evaluate(part, module, depth + 1) for part in (left, right)])
        case ast.Subscript(value=value, slice=inner):
            return _generic(last_name(value), inner, module, depth + 1)
        case ast.Name() | ast.Attribute():
            return _named(annotation, module, depth + 1)
    return Any


def _named(name: ast.Name | ast.Attribute, module: Module, depth: int) -> Any:
    plain = last_name(name)
    if plain in _PLAIN:
        return _PLAIN[plain]
    if plain in _OBJECTS:
        return _Object
    if isinstance(name, ast.Attribute) or not _is_near(name.id, module):
        return Any
    found = resolve(module, name.id)
    match found:
        case Definition(node=ast.ClassDef(bases=bases)):
            return Any if _LENIENT & set(map(last_name, bases)) else _Object
        case Definition(node=ast.expr() as alias):
            return _evaluate(alias, found.module, depth)
    return Any


def _is_near(name: str, module: Module) -> bool:
    """Whether a name comes from the module's own package or ours: only those are followed, for the sake of time."""
    source = getattr(module.bindings.get(name), "module", module.name)
    return source.split(".")[0] in {module.name.split(".")[0], "tiles_ecg"}


def _union(members: list[Any]) -> Any:
    plain = [member for member in members if member is not _Object]
    if not plain:
        return _Object
    return Any if Any in plain else Union[tuple(plain)]  # noqa: UP007, the members are known only now


def _generic(name: str, inner: ast.expr, module: Module, depth: int) -> Any:
    arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return _literal(arguments)
    if name == "Annotated":
        metadata = [_field(argument) for argument in arguments[1:]]
        base = _evaluate(arguments[0], module, depth)
        return base if base in (Any, _Object) or None in metadata else Annotated[(base, *metadata)]
    members = [_evaluate(argument, module, depth) for argument in arguments if not _is_ellipsis(argument)]
    items = [Any if member is _Object else member for member in members]
    match name:
        case "Optional":
            return _union([*members, None])
        case "Union":
            return _union(members)
        case "Final":
            return members[0]
        case "Limits":
            return Limits[items[0]]  # type: ignore[misc, valid-type]
        case "tuple" | "Tuple":
            kept = (*items, ...) if _is_ellipsis(arguments[-1]) else tuple(items)
            return Annotated[tuple[kept], Strict(False)]  # type: ignore[valid-type]  # YAML has lists only
        case _ if _PLAIN.get(name) == list[Any]:
            return list[items[0]]  # type: ignore[valid-type]
        case _ if _PLAIN.get(name) == dict[str, Any] and len(items) == 2:
            return dict[items[0], items[1]]  # type: ignore[valid-type]
    return Any


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _literal(arguments: list[ast.expr]) -> Any:
    """The choices, or Any where one of them is not a plain constant."""
    choices = tuple(argument.value for argument in arguments if isinstance(argument, ast.Constant))
    return Literal[choices] if len(choices) == len(arguments) else Any


def _field(metadata: ast.expr) -> FieldInfo | None:
    """`Field(ge=0, le=1)` from its source, or None where it is anything else."""
    if not isinstance(metadata, ast.Call) or last_name(metadata) != "Field":
        return None
    try:
        limits = {word.arg: ast.literal_eval(word.value) for word in metadata.keywords if word.arg is not None}
    except ValueError:
        return None
    found: FieldInfo = Field(**limits)
    return found
