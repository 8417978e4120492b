"""Pieces of the release files: names, coverage, first times."""

import math
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.reader.bursts import Rows
from tiles_ecg.reader.tiles_file import DAY_US, note_first, participant_of, read_coverage
from tiles_ecg.recording import RecordingError


def test_participants_are_named_by_csv_files_only() -> None:
    names = ["02b7-a.csv.gz", "02b7-a.csv", "a.b.csv.gz", "._a.csv.gz", "a.gz", "README.md"]
    assert [participant_of(Path("x", name)) for name in names] == ["02b7-a", "02b7-a", "a.b", None, None, None]


def test_coverage_is_found_by_name_and_a_repeated_record_gets_the_worst(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("date,rrCoverageRatio,record_id\n1,0.5,0\n1,,1\n1,0.9,2\n1,0.8,2\n1,0.7,3\n1,,3\n1,0.7,3\n")
    coverage = read_coverage(file)
    assert (coverage[0], coverage[2]) == (0.5, 0.8)
    assert math.isnan(coverage[1])
    assert math.isnan(coverage[3])


def test_a_coverage_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("record_id,rrCoverageRatio\n0,high\n")
    with pytest.raises(RecordingError, match=r"p\.csv: row 2, column 'rrCoverageRatio': 'high'.*a share of 0 to 1"):
        read_coverage(file)


@pytest.mark.parametrize(("ratio", "shown"), [("95", "95"), ("-0.1", "-0.1"), ("inf", "inf")])
def test_a_coverage_that_is_no_share_is_an_error(tmp_path: Path, ratio: str, shown: str) -> None:
    file = tmp_path / "p.csv"
    file.write_text(f"record_id,rrCoverageRatio\n0,1.004\n7,{ratio}\n")
    with pytest.raises(RecordingError, match=rf"p\.csv: rrCoverageRatio = {shown} of record 7; .*divide .* by 100"):
        read_coverage(file)


@pytest.mark.parametrize("has_records", [True, False])
def test_the_first_time_is_the_earliest_over_all_blocks(has_records: bool) -> None:
    rng = np.random.default_rng(0)
    record = rng.integers(0, 4, 300).astype(np.int32)
    time_us = rng.integers(0, 5 * DAY_US, 300)
    rows = Rows(record, time_us, np.zeros(300, np.float32))
    first: dict[int, int] = {}
    passed = list(note_first((rows[start : start + 50] for start in range(0, 300, 50)), has_records, first))
    assert sum(map(len, passed)) == 300
    key = record if has_records else time_us // DAY_US
    assert first == {int(name): int(time_us[key == name].min()) for name in np.unique(key)}
