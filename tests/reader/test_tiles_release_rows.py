import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.reader.tiles_release_rows import EcgFormat, EcgRows, format_times, recording_rows, write_ecg
from tiles_ecg.recording import Recording, RecordingError


def recording(n_bursts: int = 2, wall_time: float = 1520874000.0) -> Recording:  # 2018-03-12T10:00 in Los Angeles
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n_bursts, 1, 5)).astype(np.float32)
    start_s = 300.0 * np.arange(n_bursts)
    return Recording("a/0", signal, 250.0, ("ECG",), "a", start_s=start_s, wall_time=wall_time + start_s)


def test_times_are_written_as_numpy_writes_them() -> None:
    rng = np.random.default_rng(0)
    time_ms = rng.integers(1_515_000_000_000, 1_545_000_000_000, 2000)
    expected = np.datetime_as_string(time_ms.astype("datetime64[ms]"))
    assert format_times(time_ms).to_pylist() == expected.tolist()


def test_rows_carry_the_clock_on_the_wall_in_steps_of_4_ms() -> None:
    text = format_times(recording_rows(recording(), 0).time_ms).to_pylist()
    assert text[:3] == ["2018-03-12T10:00:00.000", "2018-03-12T10:00:00.004", "2018-03-12T10:00:00.008"]
    assert text[5] == "2018-03-12T10:05:00.000"


def test_the_clock_jumps_an_hour_when_daylight_saving_begins() -> None:
    before = 1520762220.0  # 2018-03-11T01:57:00 standard time; five minutes later it is 03:02
    text = format_times(recording_rows(recording(wall_time=before), 0).time_ms).to_pylist()
    assert text[0] == "2018-03-11T01:57:00.000"
    assert text[5] == "2018-03-11T03:02:00.000"


def test_an_unknown_value_is_an_empty_cell(tmp_path: Path) -> None:
    rows = EcgRows(np.zeros(3, np.int32), np.arange(3, dtype=np.int64), np.array([0.5, np.nan, -0.25], np.float32))
    for number in ("integer", "float"):
        path = tmp_path / f"{number}.csv.gz"
        write_ecg(path, [rows], EcgFormat(number=number), np.random.default_rng(0))
        cells = [line.split(",")[2] for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
        assert cells == ["500", "", "-250"]


def test_a_recording_that_a_release_cannot_hold_is_refused() -> None:
    with pytest.raises(RecordingError, match="a/0: the wall time of a burst is unknown"):
        recording_rows(replace(recording(), wall_time=None), 0)
    with pytest.raises(RecordingError, match="a/0: 2 leads; a TILES release holds one"):
        recording_rows(replace(recording(), signal=np.zeros((2, 2, 5), np.float32), leads=("I", "II")), 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("number", "text"), ("units_per_mv", 0.0), ("time_column", "time"), ("duplicate_rows", -1)],
)
def test_a_format_out_of_range_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} = {value!r}; "):
        EcgFormat(**{name: value})


def test_more_duplicates_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="duplicate_rows = 11; a file has 10 rows"):
        write_ecg(
            tmp_path / "a.csv.gz",
            [recording_rows(recording(), 0)],
            EcgFormat(duplicate_rows=11),
            np.random.default_rng(0),
        )
