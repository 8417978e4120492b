"""The release reader against hand-made files: what is kept, what is dropped and counted, and what is refused."""

import gzip
import pickle
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tiles_ecg.reader import delimited
from tiles_ecg.reader.tiles import TilesReader
from tiles_ecg.recording import Reader, Recording, RecordingError

START = np.datetime64("2018-03-12T09:00:00.000", "ms")
HEADER = "record_id,timestamp,raw_ecg"
N = 3750  # time points of 15 s at 250 Hz


def burst(record: int, at_s: float, value: float = 0.0, n: int = N, step_ms: int = 4) -> list[str]:
    """CSV rows of `n` points from START + at_s on; values count up from `value`."""
    times = START + np.timedelta64(round(at_s * 1000), "ms") + np.arange(n) * np.timedelta64(step_ms, "ms")
    return [f"{record},{time},{value + i:g}" for i, time in enumerate(times.astype(str))]


def write(file: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    text = "\n".join([header, *lines]) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(text.encode(), 1) if file.suffix == ".gz" else text.encode())
    return file


def release(
    root: Path, lines: Sequence[str], coverage: dict[int, str] | None = None, header: str = HEADER
) -> TilesReader:
    write(root / "omsignal" / "ecg" / "p1.csv.gz", lines, header)
    rows = [
        f"{record},2018-3-12,{ratio},x" for record, ratio in ({0: "0.95"} if coverage is None else coverage).items()
    ]
    write(root / "omsignal" / "metadata" / "p1.csv.gz", rows, "record_id,date,rrCoverageRatio,other")
    return TilesReader(str(root))


def read(reader: TilesReader) -> list[Recording]:
    return [recording for source in reader.sources() for recording in reader.read(source)]


def starts(recordings: Sequence[Recording]) -> list[float]:
    return [float(start) for recording in recordings for start in recording.start_s]  # type: ignore[union-attr]


def signals(recordings: Sequence[Recording]) -> NDArray[np.float32]:
    return np.concatenate([recording.signal for recording in recordings])[:, 0]


def test_a_burst_is_one_segment_with_its_values_and_its_utc_time(tmp_path: Path) -> None:
    (recording,) = read(release(tmp_path, burst(0, 0, 100) + burst(0, 300, -5.5)))
    assert (recording.id, recording.subject, recording.source) == ("p1/0", "p1", "p1")
    assert (recording.leads, recording.unit, recording.device) == (("ECG",), "a.u.", "OMsignal")
    assert recording.sample_rate == 250.0
    np.testing.assert_array_equal(recording.signal[:, 0], [np.arange(N) + 100.0, np.arange(N) - 5.5])
    utc = datetime(2018, 3, 12, 9, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()  # 16:00 UTC, summer time
    assert utc == datetime.fromisoformat("2018-03-12T16:00:00+00:00").timestamp()
    np.testing.assert_array_equal(recording.wall_time, [utc, utc + 300])  # type: ignore[arg-type]
    assert starts([recording]) == [0.0, 300.0]
    assert (recording.dropped, recording.notes) == ({}, ())


def test_a_burst_that_straddles_a_five_minute_bin_is_kept(tmp_path: Path) -> None:
    recordings = read(release(tmp_path, burst(0, 0) + burst(0, 295)))  # 295 to 310 s: in two bins of WildECG's grid
    assert starts(recordings) == [0.0, 295.0]


def test_a_long_stretch_is_cut_into_whole_segments_and_its_rest_is_counted(tmp_path: Path) -> None:
    (recording,) = read(release(tmp_path, burst(0, 0, n=2 * N + 10)))
    assert starts([recording]) == [0.0, 15.0]
    np.testing.assert_array_equal(recording.signal[1, 0], N + np.arange(N))
    assert recording.dropped == {"incomplete": 1}


def test_short_bursts_and_bursts_with_a_hole_are_counted_once_each(tmp_path: Path) -> None:
    with_hole = burst(0, 600)
    del with_hole[1000]
    (recording,) = read(release(tmp_path, burst(0, 0) + burst(0, 300, n=N - 1) + with_hole))
    assert starts([recording]) == [0.0]
    assert recording.dropped == {"incomplete": 2}


def test_adjoining_records_are_not_joined_across_their_border(tmp_path: Path) -> None:
    first = read(release(tmp_path, burst(0, 0, n=N // 2) + burst(1, 7.5, n=N // 2), {0: "1", 1: "1"}))
    assert (len(first[0].signal), first[0].dropped) == (0, {"incomplete": 2})


def test_recordings_are_kept_only_above_the_coverage_threshold(tmp_path: Path) -> None:
    lines = [line for record in range(5) for line in burst(record, 900 * record) + burst(record, 900 * record + 300)]
    reader = release(tmp_path, lines, {0: "0.9", 1: "0.91", 2: "0.2", 3: ""})
    (recording,) = read(reader)
    assert recording.id == "p1/1"
    assert recording.dropped == {"coverage": 8}  # 0.9 is not above 0.9; empty and unlisted are unknown
    assert "1 records are not in the metadata" in " ".join(recording.notes)
    reader.min_coverage = None
    assert [r.id for r in read(reader)] == [f"p1/{record}" for record in range(5)]


def test_a_participant_without_a_good_recording_still_reports_its_drops(tmp_path: Path) -> None:
    (recording,) = read(release(tmp_path, burst(0, 0) + burst(0, 300, n=9), {0: "0.5"}))
    assert recording.signal.shape == (0, 1, N)
    assert (recording.id, recording.subject) == ("p1", "p1")
    assert recording.dropped == {"coverage": 1, "incomplete": 1}


def test_start_is_counted_from_the_first_row_of_the_record(tmp_path: Path) -> None:
    recordings = read(release(tmp_path, burst(0, 0) + burst(1, 1000, n=5) + burst(1, 1300), {0: "1", 1: "1"}))
    assert [recording.id for recording in recordings] == ["p1/0", "p1/1"]
    assert starts(recordings) == [0.0, 300.0]


def test_a_long_record_comes_in_pieces_of_256_segments(tmp_path: Path) -> None:
    write(tmp_path / "ecg" / "p1.csv", [line for k in range(600) for line in burst(0, 20 * k, k, n=10)])
    reader = TilesReader(str(tmp_path), segment_s=0.04, min_coverage=None)
    recordings = read(reader)
    assert [len(recording.signal) for recording in recordings] == [256, 256, 88]
    assert {recording.id for recording in recordings} == {"p1/0"}
    assert starts(recordings) == [20.0 * k for k in range(600)]
    np.testing.assert_array_equal(signals(recordings)[:, 0], np.arange(600))


def test_daylight_saving_moves_utc_by_an_hour_and_not_the_elapsed_time(tmp_path: Path) -> None:
    night = (np.datetime64("2018-03-11T01:55", "ms") - START) / np.timedelta64(1, "s")
    reader = release(tmp_path, burst(0, night) + burst(0, night + 300 + 3600))  # 01:55 PST, then 03:00 PDT
    (recording,) = read(reader)
    expected = [datetime.fromisoformat(f"2018-03-11T{time}+00:00").timestamp() for time in ("09:55", "10:00")]
    np.testing.assert_array_equal(recording.wall_time, expected)  # type: ignore[arg-type]
    assert starts([recording]) == [0.0, 300.0]
    autumn = (np.datetime64("2018-11-04T00:50", "ms") - START) / np.timedelta64(1, "s")
    (recording,) = read(release(tmp_path, burst(0, autumn) + burst(0, autumn + 3 * 3600)))  # 00:50 PDT, 03:50 PST
    assert starts([recording]) == [0.0, 4 * 3600.0]


@pytest.mark.parametrize("block_bytes", [1 << 13, 1 << 20])
def test_row_order_does_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block_bytes)
    lines = burst(0, 0, 7) + burst(0, 300, 9, n=N + 400) + burst(1, 900) + burst(1, 1200, n=80) + burst(2, 5000)
    coverage = {0: "1", 1: "0.1", 2: "1"}
    expected = read(release(tmp_path, lines, coverage))
    assert expected[-1].dropped == {"coverage": 1, "incomplete": 2}
    rng = np.random.default_rng(0)
    chunks = [lines[start : start + 1000] for start in range(0, len(lines), 1000)]
    for shuffled in (
        [lines[i] for i in rng.permutation(len(lines))],
        [line for i in rng.permutation(len(chunks)) for line in chunks[i]],
        lines[::-1],
    ):
        found = read(release(tmp_path, shuffled, coverage))
        assert [recording.id for recording in found] == [recording.id for recording in expected]
        assert starts(found) == starts(expected)
        np.testing.assert_array_equal(signals(found), signals(expected))
        assert found[-1].dropped == expected[-1].dropped
        assert any("not in order" in note for note in found[-1].notes)


def test_repeated_rows_are_dropped_and_the_first_is_kept(tmp_path: Path) -> None:
    lines = burst(0, 0, 7) + burst(0, 300)
    once = read(release(tmp_path, lines))
    adjacent = [row for line in lines for row in (line, line.rsplit(",", 1)[0] + ",-1")]
    for repeated in (adjacent, lines + lines[:5000], lines + burst(0, 0, -1)):
        (found,) = read(release(tmp_path, repeated))
        np.testing.assert_array_equal(found.signal, once[0].signal)
        assert found.dropped == {}
        assert any(f"{len(repeated) - len(lines)} rows repeat" in note for note in found.notes)


def test_missing_values_stay_nan(tmp_path: Path) -> None:
    lines = burst(0, 0)
    lines[3] = lines[3].rsplit(",", 1)[0] + ","
    lines[4] = lines[4].rsplit(",", 1)[0] + ",NaN"
    (recording,) = read(release(tmp_path, lines))
    assert np.flatnonzero(np.isnan(recording.signal)).tolist() == [3, 4]


def test_columns_may_stand_in_any_order_and_further_ones_are_ignored(tmp_path: Path) -> None:
    lines = [f"{ecg},note,{time},{record}" for record, time, ecg in (line.split(",") for line in burst(0, 0, 3))]
    (recording,) = read(release(tmp_path, lines, header="raw_ecg,comment,Timestamp,record_id"))
    np.testing.assert_array_equal(recording.signal[0, 0], np.arange(N) + 3.0)


def test_times_may_come_without_fraction_or_with_microseconds(tmp_path: Path) -> None:
    whole = [line.replace(".000,", ",") for line in burst(0, 0)]
    micro = [f"{record},{time}000,{ecg}" for record, time, ecg in (line.split(",") for line in burst(0, 300))]
    (recording,) = read(release(tmp_path, whole + micro))
    assert starts([recording]) == [0.0, 300.0]


def test_times_rounded_to_a_millisecond_too_few_or_too_many_are_evenly_spaced(tmp_path: Path) -> None:
    lines = burst(0, 0)
    lines[10] = lines[10].replace(".040,", ".041,")
    (recording,) = read(release(tmp_path, lines))
    assert len(recording.signal) == 1


def test_without_record_id_recordings_are_days_and_the_lost_filter_is_loud(tmp_path: Path) -> None:
    midnight = (np.datetime64("2018-03-13T00:00", "ms") - START) / np.timedelta64(1, "s")
    lines = burst(0, 60) + burst(0, midnight - 5) + burst(0, midnight + 295)
    reader = release(tmp_path, [line.split(",", 1)[1] for line in lines], {0: "0.1"}, header="Timestamp,raw_ecg")
    recordings = read(reader)
    assert [recording.id for recording in recordings] == ["p1/2018-03-12", "p1/2018-03-13"]
    assert [len(recording.signal) for recording in recordings] == [2, 1]  # the one across midnight stays whole
    notes = " ".join(recordings[-1].notes)
    assert "no column record_id" in notes
    assert "WAS NOT APPLIED" in notes


def test_without_metadata_all_is_kept_with_a_loud_note_or_refused_on_request(tmp_path: Path) -> None:
    write(tmp_path / "ecg" / "p1.csv.gz", burst(0, 0))
    (recording,) = read(TilesReader(str(tmp_path)))
    assert len(recording.signal) == 1
    assert "WAS NOT APPLIED" in " ".join(recording.notes)
    with pytest.raises(RecordingError, match=r"no metadata file .*metadata/p1\.csv\.gz; download it"):
        read(TilesReader(str(tmp_path), require_metadata=True))


@pytest.mark.parametrize("below", [".", "omsignal"])
def test_the_root_may_be_the_bucket_or_omsignal_below_any_folder_name(tmp_path: Path, below: str) -> None:
    root = tmp_path / "my ecg metadata"  # WildECG replaces "ecg" in the whole path, and breaks here
    release(root, burst(0, 0))
    reader = TilesReader(str(root / below))
    (source,) = reader.sources()
    assert source.key == "p1"
    assert [file.parent.name for file in source.files] == ["ecg", "metadata"]
    assert len(read(reader)[0].signal) == 1


def test_foreign_files_are_no_participants(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", ".hidden.csv", "README.txt"):
        write(tmp_path / "ecg" / name, burst(0, 0, n=3))
    assert [source.key for source in TilesReader(str(tmp_path)).sources()] == ["a", "b"]
    write(tmp_path / "ecg" / "b.csv.gz", [])
    with pytest.raises(RecordingError, match=r"b\.csv\.gz: b\.csv is the same participant"):
        TilesReader(str(tmp_path)).sources()


def test_a_root_without_the_release_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no such folder; set reader\.root"):
        TilesReader(str(tmp_path / "missing")).sources()
    (tmp_path / "fitbit").mkdir()
    with pytest.raises(RecordingError, match=r"neither omsignal/ecg/ nor ecg/, but fitbit"):
        TilesReader(str(tmp_path)).sources()
    (tmp_path / "ecg").mkdir()
    with pytest.raises(RecordingError, match=r"no file <participant>\.csv\.gz"):
        TilesReader(str(tmp_path)).sources()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (HEADER, "0,2018-03-12T09:00:004000,1", r"row 2, column 'timestamp': '2018-03-12T09:00:004000'.*09:00:00\.004"),
        (HEADER, "0,2018-03-12T09:00:00.000Z,1", r"'2018-03-12T09:00:00\.000Z'.*without offset"),
        (HEADER, "0,2018-03-12T09:00:00.000,abc", r"row 2, column 'raw_ecg': 'abc'.*a number"),
        (HEADER, "x,2018-03-12T09:00:00.000,1", r"row 2, column 'record_id': 'x'.*a whole number"),
        (HEADER, ",2018-03-12T09:00:00.000,1", r"row 2, column 'record_id' is empty"),
        (HEADER, "0,,1", r"row 2, column 'timestamp' is empty"),
        (HEADER, "0,2018-03-12T09", "row 2 has 2 columns where the header has 3; the row is cut short"),
        (
            "record_id,time,ecg",
            "0,2018-03-12T09:00:00.000,1",
            "Timestamp and raw_ecg missing; its columns are record_id, time",
        ),
        (HEADER, None, r"a header \(record_id, timestamp, raw_ecg\) but no rows"),
    ],
)
def test_a_bad_row_is_named_with_file_column_and_what_would_be_right(
    tmp_path: Path, header: str, row: str | None, message: str
) -> None:
    reader = release(tmp_path, [] if row is None else [row], header=header)
    with pytest.raises(RecordingError, match=rf"p1\.csv\.gz: .*{message}"):
        read(reader)


def test_the_row_number_counts_through_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    lines = burst(0, 0)
    for bad, message in ((",abc", "row 3002, column 'raw_ecg'"), (",1,1", "row 3002 has 4 columns")):
        lines[3000] = lines[3000].rsplit(",", 1)[0] + bad
        with pytest.raises(RecordingError, match=message):
            read(release(tmp_path, lines))
    lines[3000] = "," + lines[0].split(",", 1)[1]
    with pytest.raises(RecordingError, match="row 3002, column 'record_id' is empty"):
        read(release(tmp_path, lines))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    reader = release(tmp_path, burst(0, 0))
    file = tmp_path / "omsignal" / "ecg" / "p1.csv.gz"
    whole = file.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "gzip stream ends too early"),
        (whole[:5], "gzip stream ends too early"),
        (b"plain text, not gzip\n" * 99, "not a gzip file"),
        (b"", "empty; it needs a header line"),
        (gzip.compress(b""), "empty; it needs a header line"),
    ):
        file.write_bytes(content)
        with pytest.raises(RecordingError, match=rf"ecg/p1\.csv\.gz: .*{message}"):
            read(reader)
    (source,) = reader.sources()
    file.unlink()
    with pytest.raises(RecordingError, match=r"p1\.csv\.gz: no such file"):
        list(reader.read(source))


@pytest.mark.parametrize(("step_ms", "rate"), [(8, "125"), (5, "200"), (2, "500")])
def test_a_file_at_another_rate_is_refused_with_the_rate_found(tmp_path: Path, step_ms: int, rate: str) -> None:
    reader = release(tmp_path, burst(0, 0, n=5000, step_ms=step_ms) + burst(0, 300, n=5000, step_ms=step_ms))
    with pytest.raises(RecordingError, match=rf"p1\.csv\.gz: evenly spaced at {rate} Hz; 250 Hz is needed"):
        read(reader)


def test_a_file_at_256_hz_is_not_taken_for_250_hz(tmp_path: Path) -> None:
    times = START + np.round(np.arange(9000) * 1000 / 256).astype("timedelta64[ms]")
    with pytest.raises(RecordingError, match=r"evenly spaced at 256(\.0\d*)? Hz|evenly spaced at 255\.9"):
        read(release(tmp_path, [f"0,{time},1" for time in times.astype(str)]))


def test_metadata_without_the_coverage_column_are_refused(tmp_path: Path) -> None:
    reader = release(tmp_path, burst(0, 0))
    write(tmp_path / "omsignal" / "metadata" / "p1.csv.gz", ["0,1"], "record_id,coverage")
    with pytest.raises(
        RecordingError, match=r"metadata/p1\.csv\.gz: rrCoverageRatio missing; its columns are record_id, cov"
    ):
        read(reader)


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"segment_s = 0\.001 s at 250\.0 Hz is 0\.25 time points"):
        TilesReader("x", segment_s=0.001)
    with pytest.raises(ValueError, match="time_zone = 'Mars/Base' is unknown"):
        TilesReader("x", time_zone="Mars/Base")


def test_it_is_a_reader_and_pickles(tmp_path: Path) -> None:
    reader: Reader = pickle.loads(pickle.dumps(release(tmp_path, burst(0, 0))))
    assert len(next(iter(reader.read(reader.sources()[0]))).signal) == 1
