"""Days as people live them: by local wall time, from an hour of the night on."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

HourOfDay = Annotated[float, Field(ge=0.0, lt=24.0)]
"""Hours after midnight, 0 to below 24."""
DAY_S = 86_400.0
QUARTER_S = 900
"""Zones change their offset at whole quarters of an hour."""
_EPOCH = datetime(1970, 1, 1)


def find_zone(name: str) -> ZoneInfo:
    """A time zone by name.

    Raises:
        ValueError: If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"time_zone = {name!r} is unknown; give a name such as America/Los_Angeles") from None


def wall_seconds(time_s: NDArray[np.float64], zone: ZoneInfo) -> NDArray[np.float64]:
    """(N,) what clocks of a zone show, in seconds since 1970-01-01T00:00 there, from seconds since the epoch (UTC)."""
    quarter, which = np.unique(np.floor(time_s / QUARTER_S).astype(np.int64), return_inverse=True)
    moments = (datetime.fromtimestamp(number * QUARTER_S, UTC).astimezone(zone) for number in quarter.tolist())
    offset_s = np.array([(moment.utcoffset() or timedelta()).total_seconds() for moment in moments])
    return np.asarray(time_s + offset_s[which], np.float64) if len(time_s) else time_s


def day_of(wall_s: NDArray[np.float64], day_starts_h: float) -> NDArray[np.int64]:
    """(N,) days since 1970-01-01 of wall times: what is before `day_starts_h` belongs to the day before."""
    return np.floor((wall_s - 3600.0 * day_starts_h) / DAY_S).astype(np.int64)


def day_name(day: int) -> str:
    """`2018-03-12`."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def read_wall_time(text: str, zone: ZoneInfo) -> float | None:
    """Seconds as of `wall_seconds` from an ISO 8601 text, with or without an offset; None where it is no time."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if time.tzinfo is not None:
        time = time.astimezone(zone).replace(tzinfo=None)
    return (time - _EPOCH).total_seconds()
