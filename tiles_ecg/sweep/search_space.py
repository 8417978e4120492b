"""The space of a search, in Hydra's grammar of overrides, as Optuna's distributions; and its points as overrides."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tiles_ecg.sweep.names import job_names
from tiles_ecg.sweep.plan import NOTHING_TO_SEARCH, SweepError, key_of

Space = Mapping[str, BaseDistribution]
"""Override key, with its `+` where it has one -> what is drawn from."""
Point = Mapping[str, Any]
"""Override key -> the value of a trial; of choices the text of the override."""


def read_space(overrides: Sequence[Override]) -> tuple[tuple[str, ...], dict[str, BaseDistribution]]:
    """Divide overrides into those that every trial has and those that it draws.

    Choices, and values separated by commas, are categories; a `range` is a ladder of numbers; an `interval` is
    continuous, or of whole numbers as `int(interval(1,8))`; `tag(log,...)` draws evenly on a logarithmic scale.

    Args:
        overrides: Parsed; a later one of a key replaces an earlier one.

    Raises:
        SweepError: If nothing is left to search in, or a distribution cannot be.
    """
    last = {override.get_key_element(): override for override in overrides}
    fixed = tuple(str(override.input_line) for override in last.values() if not override.is_sweep_override())
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    if not space:
        raise SweepError(NOTHING_TO_SEARCH)
    return fixed, space


def _distribution(override: Override) -> BaseDistribution:
    value, shown = override.value(), str(override.input_line)
    tags = set(getattr(value, "tags", ()))
    if tags - {"log"}:
        raise SweepError(f"{shown}: tag {sorted(tags - {'log'})[0]} means nothing to a search; the only one is log")
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value, bool(tags))
        if isinstance(value, RangeSweep):
            return _ladder(value, bool(tags))
        return _categories(override, bool(tags))
    except ValueError as error:
        raise SweepError(f"{shown}: {error}") from None


def _interval(value: IntervalSweep, is_log: bool) -> BaseDistribution:
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not low < high:
        raise ValueError(f"the lower end of an interval comes first, and {low} is not below {high}")
    if is_log and low <= 0:
        raise ValueError(f"a logarithmic scale begins above 0, not at {low}")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _ladder(value: RangeSweep, is_log: bool) -> BaseDistribution:
    rungs = sorted(value.range())
    if not rungs:
        raise ValueError("this range has no values; its end is not among them")
    if len(rungs) > 1 and is_log and (value.step != 1 or rungs[0] < 1):
        raise ValueError("a logarithmic scale goes with steps of 1 from 1 or above; use interval(...)")
    step = abs(Decimal(str(value.step)))
    if all(isinstance(rung, int) for rung in rungs):
        return IntDistribution(int(rungs[0]), int(rungs[-1]), log=is_log, step=int(step))
    start = Decimal(str(value.start)) if value.step > 0 else Decimal(str(value.start)) - step * (len(rungs) - 1)
    return FloatDistribution(float(start), float(start + step * (len(rungs) - 1)), step=float(step))


def _categories(override: Override, is_log: bool) -> BaseDistribution:
    if is_log:
        raise ValueError("choices have no scale; tag(log,...) goes with interval(...)")
    choices = list(override.sweep_string_iterator())
    twice = sorted({choice for choice in choices if choices.count(choice) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    if not choices:
        raise ValueError("there is no such option")
    return CategoricalDistribution(choices)


def described(space: Space) -> dict[str, str]:
    """Every distribution in words, by key; equal words, equal distributions."""
    return {key: _words(distribution) for key, distribution in space.items()}


def _words(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(map(str, distribution.choices))}"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    scale = ", logarithmic" if distribution.log else ""
    step = f" in steps of {distribution.step!r}" if distribution.step is not None else ""
    return f"{distribution.low!r} to {distribution.high!r}{step}{scale}"


def combinations(space: Space) -> list[Point]:
    """All points of a space in which every key has a few values, the last key varying fastest.

    Raises:
        SweepError: If some key has no end of values.
    """
    points: list[dict[str, Any]] = [{}]
    for key, distribution in space.items():
        points = [{**point, key: value} for point in points for value in _values(key, distribution)]
    return list(points)


def _values(key: str, distribution: BaseDistribution) -> Iterable[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        raise SweepError(f"{key}: a grid has no intervals; give choice(...), range(...) or values separated by commas")
    n_steps = round((distribution.high - distribution.low) / distribution.step)
    return [type(distribution.low)(distribution.low + step * distribution.step) for step in range(n_steps + 1)]


def as_overrides(point: Point) -> tuple[str, ...]:
    """A point as overrides; numbers keep all their digits."""
    return tuple(f"{key}={value}" for key, value in point.items())


def trial_name(number: int, point: Point) -> str:
    """A folder's name such as `trial-007-lr=0.00123,temperature=0.1`: the number makes it unique.

    Args:
        number: Of the trial.
        point: Its values; numbers are shown to three digits, keys by their last part.
    """
    shown = {re.split(r"[./@]", key_of(key))[-1]: f"{value:.3g}" if isinstance(value, float) else str(value)
             for key, value in point.items()}  # fmt: skip
    return job_names([f"trial-{number:03d}"], [shown], [as_overrides(point)])[0]


def varied(point: Point) -> dict[str, str]:
    """A point as a plan tells it: override key -> text."""
    return {key_of(key): str(value) for key, value in point.items()}
