"""Names for the ranges of arguments: signatures use them, and the config is checked against them before a run."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, Strict

Value = TypeVar("Value", bound=float)


def _ascending(limits: tuple[Value, Value]) -> tuple[Value, Value]:
    if limits[0] > limits[1]:
        raise ValueError("the lowest is above the highest")
    return limits


ASCENDING = AfterValidator(_ascending)
"""Of two limits: the second is not below the first."""

Limits = Annotated[tuple[Value, Value], Strict(False), ASCENDING]  # not strict: YAML has lists only
"""Lowest and highest value, such as `Limits[PositiveFloat]`."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
"""A probability or a share, 0 to 1."""

ShareBelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share that leaves something over, 0 to below 1: of a momentum, a warm-up, a validation set."""

PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
"""A share or factor above 0, at most 1."""
