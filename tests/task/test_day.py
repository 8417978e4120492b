from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tiles_ecg.task.day import day_name, day_of, find_zone, read_wall_time, wall_seconds

PACIFIC = ZoneInfo("America/Los_Angeles")


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kathmandu", "UTC", "Australia/Lord_Howe"])
def test_wall_time_is_that_of_datetime_across_a_year_of_changing_clocks(zone: str) -> None:
    time_s = utc("2018-01-01T00:00:00") + np.arange(0, 366 * 86_400, 1_234.5)
    expected = [
        datetime.fromtimestamp(second, ZoneInfo(zone)).replace(tzinfo=UTC).timestamp() for second in time_s.tolist()
    ]
    np.testing.assert_allclose(wall_seconds(time_s, ZoneInfo(zone)), expected, atol=1e-3)


def test_a_day_begins_at_its_hour_and_not_at_midnight() -> None:
    times = ["2018-03-12T03:59:59", "2018-03-12T04:00:00", "2018-03-12T23:30:00", "2018-03-13T03:59:00"]
    wall_s = np.array([utc(text) for text in times])
    names = [day_name(day) for day in day_of(wall_s, 4.0).tolist()]
    assert names == ["2018-03-11", "2018-03-12", "2018-03-12", "2018-03-12"]
    assert [day_name(day) for day in day_of(wall_s, 0.0).tolist()] == [text[:10] for text in times]


def test_from_noon_to_noon_a_night_shift_is_one_day() -> None:
    wall_s = utc("2018-03-12T19:00:00") + 3600.0 * np.arange(13)  # to 07:00
    assert {day_name(day) for day in day_of(wall_s, 12.0).tolist()} == {"2018-03-12"}


def test_the_night_of_the_change_to_daylight_saving_is_one_day() -> None:
    start = datetime(2018, 3, 10, 19, tzinfo=PACIFIC).timestamp()  # clocks jump from 02:00 to 03:00 on 11 March
    wall_s = wall_seconds(start + 3600.0 * np.arange(11), PACIFIC)
    assert wall_s[-1] - wall_s[0] == 11 * 3600
    days = [day_name(day) for day in day_of(wall_s, 4.0).tolist()]
    assert days == ["2018-03-10"] * 8 + ["2018-03-11"] * 3  # 19:00 to 03:00, which follows 01:00; 04:00 to 06:00


def test_days_before_1970_have_names_too() -> None:
    assert day_name(-1) == date(1969, 12, 31).isoformat()


@pytest.mark.parametrize(
    ("text", "wall"),
    [
        ("2018-03-12T09:00:00", "2018-03-12T09:00:00"),
        (" 2018-03-12 09:00:00.250 ", "2018-03-12T09:00:00.250"),
        ("2018-03-12T16:00:00+00:00", "2018-03-12T09:00:00"),
        ("2018-03-12", "2018-03-12T00:00:00"),
        ("12/03/2018", None),
        ("", None),
    ],
)
def test_a_time_is_wall_time_unless_it_has_an_offset(text: str, wall: str | None) -> None:
    assert read_wall_time(text, PACIFIC) == (None if wall is None else utc(wall))


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(ValueError, match="time_zone = 'US/Atlantis' is unknown; give a name such as"):
        find_zone("US/Atlantis")
