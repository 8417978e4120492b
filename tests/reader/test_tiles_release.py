import csv
import gzip
import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.reader.tiles_release import main, participant_id, write_release
from tiles_ecg.recording import Recording

READER = SyntheticReader(3, sessions_per_subject=2, session_h=0.5)


def table(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.reader(file))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def recordings(key: str) -> list[Recording]:
    return list(READER.read(next(source for source in READER.sources() if source.key == key)))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("release")
    return root, write_release(READER, root, number="float", units_per_mv=1.0)


def test_an_ecg_file_read_back_with_plain_csv_holds_the_signals(release: tuple[Path, dict[str, str]]) -> None:
    root, participants = release
    for key, participant in participants.items():
        header, *rows = table(root / f"omsignal/ecg/{participant}.csv.gz")
        assert ",".join(header) == "record_id,timestamp,raw_ecg"
        for number, recording in enumerate(recordings(key)):
            value = np.array([float(row[2]) for row in rows if row[0] == str(number)], np.float32)
            np.testing.assert_array_equal(value, recording.signal.ravel())


def test_timestamps_step_by_4_ms_within_a_burst_and_begin_at_its_wall_time(
    release: tuple[Path, dict[str, str]],
) -> None:
    root, participants = release
    rows = table(root / f"omsignal/ecg/{participants['subject-0001']}.csv.gz")[1:]
    assert all(re.fullmatch(r"2018-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", row[1]) for row in rows)
    time = np.array([row[1] for row in rows], "datetime64[ms]").reshape(-1, 3750)
    assert np.all(np.diff(time, axis=1) == np.timedelta64(4, "ms"))
    wall = np.concatenate([recording.wall_time for recording in recordings("subject-0001")])
    behind_h = (wall - time[:, 0].astype(np.int64) / 1000.0) / 3600.0
    assert set(np.round(behind_h, 6)) <= {7.0, 8.0}  # US/Pacific, daylight or standard time


def test_the_metadata_go_with_the_ecg_file_and_some_ratios_are_low(tmp_path: Path) -> None:
    participants = write_release(SyntheticReader(4, 10, 5 / 60), tmp_path, low_coverage_share=0.3)
    ratios = []
    for participant in participants.values():
        header, *rows = table(tmp_path / f"omsignal/metadata/{participant}.csv.gz")
        assert header == ["record_id", "date", "rrCoverageRatio", "n_bursts"]
        ecg = table(tmp_path / f"omsignal/ecg/{participant}.csv.gz")[1:]
        assert Counter(row[0] for row in ecg) == {row[0]: 3750 * int(row[3]) for row in rows}
        first = {row[0]: row[1][:10] for row in reversed(ecg)}
        assert first == {row[0]: row[1] for row in rows}
        ratios += [float(row[2]) for row in rows]
    assert 0.1 < np.mean(np.array(ratios) <= 0.9) < 0.5
    assert max(ratios) <= 1.0


def test_integers_are_the_signal_in_units_rounded(tmp_path: Path) -> None:
    participants = write_release(READER, tmp_path, units_per_mv=200.0)
    rows = table(tmp_path / f"omsignal/ecg/{participants['subject-0000']}.csv.gz")[1:]
    expected = np.concatenate([recording.signal.ravel() for recording in recordings("subject-0000")])
    assert all(re.fullmatch(r"-?\d+", row[2]) for row in rows)
    np.testing.assert_allclose([int(row[2]) for row in rows], 200.0 * expected, atol=0.5001)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_other_participants(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_release(READER, tmp_path / name, seed=seed)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert not {name for name in files(tmp_path / "one") if "omsignal" in name} & set(files(tmp_path / "three"))


def test_participants_are_lower_case_uuids(release: tuple[Path, dict[str, str]]) -> None:
    _, participants = release
    for key, participant in participants.items():
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", participant)
        assert participant == participant_id(0, key)
    assert len(set(participants.values())) == len(participants)


def test_shuffled_and_duplicated_rows_are_the_same_rows_in_another_order_some_twice(
    release: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, participants = release
    write_release(READER, tmp_path, number="float", units_per_mv=1.0, shuffle=True, duplicate_rows=100)
    name = f"omsignal/ecg/{participants['subject-0002']}.csv.gz"
    plain, mixed = (table(folder / name)[1:] for folder in (root, tmp_path))
    count = Counter(map(tuple, mixed))
    assert set(count) == set(map(tuple, plain))
    assert Counter(count.values()) == {1: len(plain) - 100, 2: 100}
    assert [row[1] for row in mixed] != sorted(row[1] for row in mixed)


def test_duplicates_without_shuffling_stand_below_each_other(tmp_path: Path) -> None:
    participants = write_release(READER, tmp_path, duplicate_rows=50)
    rows = table(tmp_path / f"omsignal/ecg/{participants['subject-0000']}.csv.gz")[1:]
    assert sum(one == two for one, two in zip(rows[1:], rows[:-1], strict=True)) == 50


def test_the_time_column_may_be_capital_and_the_record_id_absent(tmp_path: Path) -> None:
    participants = write_release(READER, tmp_path, time_column="Timestamp", with_record_id=False)
    header, *rows = table(tmp_path / f"omsignal/ecg/{participants['subject-0000']}.csv.gz")
    assert header == ["Timestamp", "raw_ecg"]
    assert all(len(row) == 2 for row in rows)


def test_answers_rise_with_the_stress_of_the_day(tmp_path: Path) -> None:
    reader = SyntheticReader(25, 2, session_h=3.0, segment_s=2.0, sample_rate=100.0, noise_scale=0.0)
    participants = write_release(reader, tmp_path)
    share = [
        (participants[source.key], np.mean(np.asarray(recording.annotations[0].value) == "yes"))
        for source in reader.sources()
        for recording in reader.read(source)
    ]
    for name in ("stressd", "anxiety"):
        header, *rows = table(tmp_path / f"surveys/scored/EMAs/{name}.csv.gz")
        assert header == ["participant_id", "surveytype", "start_ts", "completed_ts", name, "Finished"]
        assert [row[0] for row in rows] == [participant for participant, _ in share]
        assert {row[4] for row in rows} <= {"", "1", "2", "3", "4", "5"}
        assert all(datetime.fromisoformat(row[2]) < datetime.fromisoformat(row[3]) for row in rows)
        pairs = [(int(row[4]), part) for row, (_, part) in zip(rows, share, strict=True) if row[4]]
        assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.6


def test_the_participant_table_names_every_participant_and_shift(release: tuple[Path, dict[str, str]]) -> None:
    root, participants = release
    header, *rows = table(root / "metadata/participant-info/participant-info.csv.gz")
    assert (header[0], header[6], header[7]) == ("ParticipantID", "Shift", "wave")
    for key, row in zip(participants, rows, strict=True):
        labels = recordings(key)[0].labels
        assert row[0] == participants[key]
        assert row[6] == {"day": "Day shift", "night": "Night shift"}[str(labels["shift"])]
        assert (float(row[2]), row[3]) == (labels["age"], labels["sex"])


def test_the_readme_says_what_is_generated_and_in_which_unit(release: tuple[Path, dict[str, str]]) -> None:
    text = (release[0] / "README.md").read_text(encoding="utf-8")
    assert "Nothing here was recorded from a person" in text
    assert "1 units in 1 mV" in text
    assert "`date` and `n_bursts` are ours" in text


def test_a_folder_that_holds_a_release_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "omsignal").mkdir()
    with pytest.raises(FileExistsError, match=r"omsignal exists already; choose a new or empty folder"):
        write_release(READER, tmp_path)
    assert not files(tmp_path)


def test_a_share_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"low_coverage_share = 1.5; choose a probability"):
        write_release(READER, "unused", low_coverage_share=1.5)


def test_the_command_line_writes_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path / "made"), "--subjects", "2", "--sessions", "1", "--session-hours", "0.1"])
    assert len(list((tmp_path / "made/omsignal/ecg").glob("*.csv.gz"))) == 2
    assert "2 participants" in capsys.readouterr().out


def test_a_mistake_on_the_command_line_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path), "--subjects", "0"])
    assert stop.value.code == 2
    assert "n_subjects = 0" in capsys.readouterr().err
