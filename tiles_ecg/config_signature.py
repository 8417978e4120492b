"""What arguments a `_target_` takes, read from its source file without importing it."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from tiles_ecg.config_source import (
    Definition,
    Module,
    find_module,
    last_name,
    listing,
    resolve,
    resolve_expression,
    submodule,
)

_NO_PARAMETERS = {"object", "ABC", "Protocol", "Generic", "NamedTuple", "TypedDict"}  # bases that add none


@dataclass(frozen=True)
class Parameter:
    """One argument that a target takes."""

    name: str
    annotation: ast.expr | None
    is_required: bool
    module: Module


@dataclass(frozen=True)
class Signature:
    """The arguments that a target takes, in order; `is_open` where it takes any others too or cannot be read."""

    parameters: tuple[Parameter, ...] = ()
    is_open: bool = False


def signature(target: str) -> Signature:
    """Arguments of a class (those of its `__init__`), a function or a class method, by full name.

    Raises:
        LookupError: A part of the name does not exist. The message says which, and what is meant perhaps.
    """
    found: Definition | Module | None = None
    for depth, part in enumerate(parts := target.split(".")):
        owner, path = found, ".".join(parts[:depth])
        if owner is None:
            found = find_module(part)
        elif isinstance(owner, Module):
            found = submodule(owner, part) or resolve(owner, part)
            if found is None and (owner.is_compiled or "__getattr__" in owner.bindings):
                return Signature(is_open=True)
        elif isinstance(owner.node, ast.ClassDef):
            found = _member(owner, part)
        else:
            return Signature(is_open=True)
        if found is None:
            place = f"in {path}" if path else "package"
            raise LookupError(f"no {part!r} {place}{did_you_mean(part, _names(owner))}")
    if isinstance(found, Module):
        defined = [name for name, node in found.bindings.items() if isinstance(node, ast.ClassDef)]
        raise LookupError(f"a module; name a class or function in it{f', such as {defined[-1]}' if defined else ''}")
    return _signature(found) if found is not None else Signature(is_open=True)


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """`; did you mean X?` for the nearest of the names, or nothing."""
    known = list(names)
    near = [name for name in known if name.lower() == wrong.lower()] or get_close_matches(wrong, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _names(owner: Definition | Module | None) -> list[str]:
    if owner is None:
        return ["tiles_ecg", "torch", "lightning"]
    if isinstance(owner, Definition):
        return [name for name, _ in _methods(owner.node)]
    files = [name.removesuffix(".py") for folder in owner.folders for name in listing(folder)]
    return [name for name in [*owner.bindings, *files] if not name.startswith("_")]


def _methods(node: ast.AST) -> Iterator[tuple[str, ast.FunctionDef]]:
    if isinstance(node, ast.ClassDef):
        yield from ((item.name, item) for item in node.body if isinstance(item, ast.FunctionDef))


def _member(owner: Definition, name: str) -> Definition | None:
    """A method, own or inherited, bound unless it is static."""
    for found, method in _methods(owner.node):
        if found == name:
            return Definition(
                owner.module, method, is_bound="staticmethod" not in map(last_name, method.decorator_list)
            )
    for base in owner.node.bases if isinstance(owner.node, ast.ClassDef) else ():
        parent = resolve_expression(owner.module, base)
        if isinstance(parent, Definition) and (inherited := _member(parent, name)):
            return inherited
    return None


def _signature(definition: Definition) -> Signature:
    match definition.node:
        case ast.ClassDef():
            return _class_signature(definition)
        case ast.FunctionDef() | ast.AsyncFunctionDef() as function:
            parameters = tuple(_parameters(function.args, definition.module))[int(definition.is_bound) :]
            return Signature(parameters, is_open=function.args.kwarg is not None)
    return Signature(is_open=True)  # an assignment that cannot be followed


def _parameters(given: ast.arguments, module: Module) -> Iterator[Parameter]:
    positional = [*given.posonlyargs, *given.args]
    n_required = len(positional) - len(given.defaults)
    for number, argument in enumerate(positional):
        yield Parameter(argument.arg, argument.annotation, number < n_required, module)
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield Parameter(argument.arg, argument.annotation, default is None, module)


def _class_signature(definition: Definition) -> Signature:
    node, module = definition.node, definition.module
    assert isinstance(node, ast.ClassDef)
    if (module.name, node.name) == ("torch.nn.modules.module", "Module"):
        return Signature()  # its (*args, **kwargs) only lead to a TypeError
    methods = dict(_methods(node))
    if "__init__" in methods:
        return _signature(Definition(module, methods["__init__"], is_bound=True))
    if "__new__" in methods:
        return Signature(is_open=True)
    parents = [resolve_expression(module, base) for base in node.bases if last_name(base) not in _NO_PARAMETERS]
    if any(not isinstance(parent, Definition) for parent in parents):
        return Signature(is_open=True)
    inherited = [_signature(parent) for parent in parents if isinstance(parent, Definition)]
    bases = {last_name(base) for base in node.bases}
    if "dataclass" in map(last_name, node.decorator_list) or "NamedTuple" in bases:
        fields = {parameter.name: parameter for parent in inherited for parameter in parent.parameters}
        return Signature(tuple((fields | {field.name: field for field in _fields(node, module)}).values()))
    return next((parent for parent in inherited if parent != Signature()), Signature())


def _fields(node: ast.ClassDef, module: Module) -> Iterator[Parameter]:
    """The fields of a dataclass or named tuple that its `__init__` takes."""
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                if last_name(annotation) in {"ClassVar", "KW_ONLY"}:
                    continue
                has_default = value is not None
                if isinstance(value, ast.Call) and last_name(value) == "field":
                    options = {word.arg: ast.unparse(word.value) for word in value.keywords}
                    if options.get("init") == "False":
                        continue
                    has_default = bool({"default", "default_factory"} & set(options))
                yield Parameter(name, annotation, not has_default, module)
