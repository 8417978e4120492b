"""Whether a config value fits a type, and the words to say so."""

import math
import types
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from tiles_ecg.config_types import ASCENDING

_LIMITS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def misfit(value: Any, expected: Any) -> tuple[str, str] | None:
    """What is wrong with a value, and what would be right; None where it fits.

    Strict: 1 is a number and a whole number, but 1.5 is not whole, `"1"` is a text, and true is neither; nor are
    infinity and NaN.

    Args:
        value: Plain Python data as YAML holds it.
        expected: A type from `evaluate`, or written by hand from the same parts.
    """
    errors = _errors(value, expected)
    if not errors:
        return None
    choices = list(_choices(expected))
    if errors == {"literal_error"} or (isinstance(value, str) and choices):
        wrong = "not a choice"
    elif isinstance(value, float) and not math.isfinite(value):
        wrong = "not finite"
    else:
        wrong = "out of range" if errors & _LIMITS and not isinstance(value, list | dict) else _kind(value)
    return wrong, describe(expected) + _meant(value, expected, choices)


def _errors(value: Any, expected: Any) -> set[str]:
    """Kinds of pydantic's errors; none where the value fits, or where pydantic has no schema for the type."""
    try:
        TypeAdapter(expected, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        return {
            detail["type"] for detail in error.errors(include_url=False, include_context=False, include_input=False)
        }
    except PydanticUserError:
        return set()
    return set()


def _meant(value: Any, expected: Any, choices: list[Any]) -> str:
    """`(did you mean X?)` where the value is near to one that fits."""
    guesses: list[Any] = []
    if isinstance(value, str):
        named = {str(choice): choice for choice in choices}
        guesses = [named[name] for name in get_close_matches(value, named, n=1)]
        if value.lstrip("+-").replace(".", "", 1).isdigit():
            guesses.append(float(value) if "." in value else int(value))
    elif isinstance(value, float) and value.is_integer():
        guesses = [int(value)]
    elif _is_number(value):
        guesses = [str(value)]
    fitting = [guess for guess in guesses if not _errors(guess, expected)]
    if not fitting:
        return ""
    quotes = ", in quotes" if isinstance(fitting[0], str) and not isinstance(value, str) else ""
    return f" (did you mean {fitting[0]}{quotes}?)"


def _choices(expected: Any) -> Iterator[Any]:
    if get_origin(expected) is Literal:
        yield from get_args(expected)
    elif get_origin(expected) in (Union, types.UnionType):
        for member in get_args(expected):
            yield from _choices(member)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a number"
        case float():
            return "a fraction"
        case str():
            return "a text"
    return "does not fit"


def describe(expected: Any) -> str:
    """What a type asks for, in words: `a whole number > 0`, `one of a, b or null`."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is Annotated:
        order = ", the lowest first" if ASCENDING in arguments[1:] else ""
        return describe(arguments[0]) + _limits(arguments[1:]) + order
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, types.UnionType):
        choices = list(_choices(expected))
        members = [member for member in arguments if get_origin(member) is not Literal]
        members = [member for member in members if not (member is int and float in members)]
        words = [*(describe(member) for member in members), *([_one_of(choices)] if choices else [])]
        return " or ".join(dict.fromkeys(words))
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return "a list" if arguments[0] is Any else f"a list, each {describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each {describe(arguments[0])}"
    words_of = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        type(None): "null",
        None: "null",
    }
    return words_of.get(expected, "a mapping" if origin is dict else "anything")


def _one_of(choices: Iterable[Any]) -> str:
    words = list(dict.fromkeys(str(choice) for choice in choices))
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limits(metadata: tuple[Any, ...]) -> str:
    """` > 0`, ` from 0 to 1` and the like, from what `Annotated` holds beside the type."""
    parts = [part for entry in metadata for part in getattr(entry, "metadata", [entry])]
    found = {name: getattr(part, name) for part in parts for name in ("gt", "ge", "lt", "le") if hasattr(part, name)}
    if {"ge", "le"} == set(found):
        return f" from {found['ge']:g} to {found['le']:g}"
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return " and".join(f" {signs[name]} {limit:g}" for name, limit in found.items())
