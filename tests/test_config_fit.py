"""A value fits a type strictly, and where it does not, the words help."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import PositiveFloat, PositiveInt, Strict

from tiles_ecg.config_fit import misfit
from tiles_ecg.config_types import Limits, Probability

PAIR = Annotated[tuple[float, float], Strict(False)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, float),
        (1.5, float),
        (1, int),
        (0.0, Probability),
        (1, Probability),
        (None, int | None),
        ("auto", int | Literal["auto"]),
        ([1, 2.5], list[float]),
        ([0.9, 0.999], PAIR),
        ([0.5, 2], Limits[PositiveFloat]),
        ([10, 10], Limits[PositiveInt]),
        ({"a": 1}, dict[str, int]),
        (True, bool),
        (object(), Any),
    ],
)
def test_values_that_fit(value: Any, expected: Any) -> None:
    assert misfit(value, expected) is None


@pytest.mark.parametrize(
    ("value", "expected", "wrong", "right"),
    [
        (1.5, int, "a fraction", "a whole number"),
        (6e4, int, "a fraction", "a whole number (did you mean 60000?)"),
        (True, int, "true or false", "a whole number"),
        (False, float, "true or false", "a number"),
        ("3", int, "a text", "a whole number (did you mean 3?)"),
        ("1.5", float, "a text", "a number (did you mean 1.5?)"),
        ("abc", float, "a text", "a number"),
        (3, str, "a number", "text (did you mean 3, in quotes?)"),
        (1, bool, "a number", "true or false"),
        (None, int, "null", "a whole number"),
        (0, PositiveInt, "out of range", "a whole number > 0"),
        (1.01, Probability, "out of range", "a number from 0 to 1"),
        (float("nan"), PositiveFloat, "not finite", "a number > 0"),
        (float("inf"), PositiveFloat, "not finite", "a number > 0"),
        ([0.0, float("inf")], list[float], "does not fit", "a list, each a number"),
        ([2.0, 0.5], Limits[float], "does not fit", "a list of 2, each a number, the lowest first"),
        ([0, 2], Limits[PositiveInt], "does not fit", "a list of 2, each a whole number > 0, the lowest first"),
        ("subjct", Literal["subject", "window"], "not a choice", "one of subject, window (did you mean subject?)"),
        (7, Literal["a", "b"], "not a choice", "one of a, b"),
        (-1, PositiveInt | None, "out of range", "a whole number > 0 or null"),
        ([1, "a"], list[int], "does not fit", "a list, each a whole number"),
        ([0.9], PAIR, "does not fit", "a list of 2, each a number"),
        (3, list[int], "a number", "a list, each a whole number"),
        ({"a": "b"}, dict[str, int], "does not fit", "a mapping"),
    ],
)
def test_values_that_do_not_fit_are_told_with_what_would(value: Any, expected: Any, wrong: str, right: str) -> None:
    assert misfit(value, expected) == (wrong, right)
