"""What a dotted name stands for, read from source files: nothing is imported, so that mistakes are told at once."""

import ast
import importlib.machinery
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A name that a module imports: `name` of `module`, or the module itself where `name` is None."""

    module: str
    name: str | None


@dataclass(frozen=True)
class Module:
    """A module, found but not imported. `file` is None for compiled code and a folder without `__init__.py`."""

    name: str
    file: Path | None
    folders: tuple[Path, ...] = ()
    is_compiled: bool = False

    @cached_property
    def _parsed(self) -> tuple[dict[str, ast.AST | Link], list[str]]:
        bindings: dict[str, ast.AST | Link] = {}
        stars: list[str] = []
        if self.file is not None:
            self._bind(ast.parse(self.file.read_text(encoding="utf-8")).body, bindings, stars)
        return bindings, stars

    @property
    def bindings(self) -> dict[str, ast.AST | Link]:
        """What each name of the module stands for: a definition, an expression or a link."""
        return self._parsed[0]

    @property
    def stars(self) -> list[str]:
        """Modules that `from ... import *` draws names from."""
        return self._parsed[1]

    def _bind(self, body: Iterable[ast.stmt], bindings: dict[str, ast.AST | Link], stars: list[str]) -> None:
        for statement in body:
            match statement:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    if "overload" not in map(last_name, statement.decorator_list):
                        bindings.setdefault(statement.name, statement)
                case ast.Import():
                    for alias in statement.names:
                        link = Link(alias.name if alias.asname else alias.name.split(".")[0], None)
                        bindings.setdefault(alias.asname or link.module, link)
                case ast.ImportFrom():
                    source = self._absolute(statement)
                    for alias in statement.names:
                        if alias.name == "*":
                            stars.append(source)
                        else:
                            bindings.setdefault(alias.asname or alias.name, Link(source, alias.name))
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    bindings.setdefault(name, value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    bindings.setdefault(name, value)
                case ast.If():
                    self._bind([*statement.body, *statement.orelse], bindings, stars)
                case ast.Try():
                    handled = [inner for handler in statement.handlers for inner in handler.body]
                    self._bind([*statement.body, *statement.orelse, *handled, *statement.finalbody], bindings, stars)
                case _ if type(statement).__name__ == "TypeAlias":  # `type X = ...`, from Python 3.12 on
                    bindings.setdefault(statement.name.id, statement.value)  # type: ignore[attr-defined]

    def _absolute(self, statement: ast.ImportFrom) -> str:
        """The full name of the module that an import statement names, relative or not."""
        if not statement.level:
            return statement.module or ""
        package = self.name if self.folders else self.name.rpartition(".")[0]
        for _ in range(statement.level - 1):
            package = package.rpartition(".")[0]
        return f"{package}.{statement.module}" if statement.module else package


@dataclass(frozen=True)
class Definition:
    """A class, a function or an expression, and the module in which its names have their meaning.

    `is_bound` marks a method whose first parameter is given by Python.
    """

    module: Module
    node: ast.AST
    is_bound: bool = False


def last_name(expression: ast.expr) -> str:
    """`c` of `c`, `b.c`, `c[...]` and `c(...)`; empty for anything else."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return last_name(inner)
    return ""


@cache
def find_module(name: str) -> Module | None:
    """The module of that full name, or None. Only the specification of the top-level package is asked for."""
    head, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(head) if head else None
    except ValueError:  # a module that was made by hand has no specification
        spec = None
    if spec is None:
        return None
    folders = tuple(Path(folder) for folder in spec.submodule_search_locations or ())
    file = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    module = Module(head, file, folders, is_compiled=file is None and not folders)
    for part in rest:
        found = submodule(module, part)
        if found is None:
            return None
        module = found
    return module


@cache
def submodule(parent: Module, part: str) -> Module | None:
    """The module `part` of a package, or None."""
    name = f"{parent.name}.{part}"
    for folder in parent.folders:
        listed = listing(folder)  # also compares upper and lower case, which is_file() may not
        if part in listed and (folder / part).is_dir():
            start = folder / part / "__init__.py"
            return Module(name, start if start.is_file() else None, (folder / part,))
        if f"{part}.py" in listed:
            return Module(name, folder / f"{part}.py")
        if any(f"{part}{suffix}" in listed for suffix in importlib.machinery.EXTENSION_SUFFIXES):
            return Module(name, None, is_compiled=True)
    return None


@cache
def listing(folder: Path) -> frozenset[str]:
    """Names of the entries of a folder; none if it is not one."""
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def resolve(module: Module, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Definition | Module | None:
    """Follow a name through imports and plain assignments to what it stands for; None where the trail ends."""
    if (module.name, name) in seen:
        return None
    seen = seen | {(module.name, name)}
    match module.bindings.get(name):
        case Link(module=source, name=None):
            return find_module(source)
        case Link(module=source, name=str(inner)):
            origin = find_module(source)
            found = resolve(origin, inner, seen) if origin else None
            return found or find_module(f"{source}.{inner}")
        case ast.Name(id=other) if other != name:
            return resolve(module, other, seen) or Definition(module, module.bindings[name])  # type: ignore[arg-type]
        case ast.AST() as node:
            return Definition(module, node)
    for source in module.stars:
        origin = find_module(source)
        if origin is not None and (found := resolve(origin, name, seen)):
            return found
    return submodule(module, name)


def resolve_expression(module: Module, expression: ast.expr) -> Definition | Module | None:
    """The same for a dotted expression such as `nn.Module`; the index of a generic is left out."""
    match expression:
        case ast.Name(id=name):
            return resolve(module, name)
        case ast.Attribute(value=value, attr=name):
            owner = resolve_expression(module, value)
            return resolve(owner, name) if isinstance(owner, Module) else None
        case ast.Subscript(value=value):
            return resolve_expression(module, value)
    return None
