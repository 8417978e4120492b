"""Daily surveys against hand-made days, and end to end against a loop over a synthetic release."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tiles_ecg.dataset.windows import Windows
from tiles_ecg.ingest import prepare
from tiles_ecg.preparation import Preparation
from tiles_ecg.reader.synthetic import SyntheticReader
from tiles_ecg.reader.tiles import TilesReader
from tiles_ecg.reader.tiles_release import write_release
from tiles_ecg.task.survey import Survey
from tiles_ecg.task.target import Target, TaskError

PACIFIC = ZoneInfo("America/Los_Angeles")
HEADER = "participant_id,surveytype,start_ts,completed_ts,stressd,Finished"
MakeWindows = Callable[..., Windows]
TIMES = ["2018-03-12T19:00", "2018-03-13T01:00", "2018-03-13T05:00", "2018-03-14T09:00", "2018-03-12T09:00"]


def wall(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp()


def survey_file(folder: Path, *answers: tuple[str, str, object]) -> str:
    file = folder / "stressd.csv"
    rows = [f"{who},daily,{time}:00,{time}:30,{score},1" for who, time, score in answers]
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return str(file)


def two_people(windows_of: MakeWindows, times: list[str] = TIMES) -> Windows:
    recordings = [("p1/0", "p1", 3), ("p1/1", "p1", 1), ("p2/0", "p2", 1)]
    return windows_of(recordings, wall_time_s=[wall(text) if text else np.nan for text in times])


def join(windows: Windows, file: str, **words: Any) -> Target:
    return Survey("t", file, "stressd", **words).target(windows, np.arange(len(windows)))


def test_a_day_of_a_subject_has_the_answer_of_that_day(windows_of: MakeWindows, tmp_path: Path) -> None:
    file = survey_file(
        tmp_path, ("p1", "2018-03-12T20:00", 4), ("p2", "2018-03-12T12:00", 1), ("p1", "2018-03-13T08:00", 2)
    )
    found = join(two_people(windows_of), file, unit="points")
    assert (found.kind, found.level, found.metric, found.unit) == ("regression", "day", "ccc", "points")
    assert found.example_id == ("p1/2018-03-12", "p1/2018-03-13", "p2/2018-03-12")
    assert found.value.tolist() == [4, 2, 1]
    assert (found.row.tolist(), found.example.tolist()) == ([0, 1, 2, 4], [0, 0, 1, 2])  # 01:00 is of the 12th
    assert [found.subject_id[i] for i in found.subject] == ["p1", "p1", "p2"]
    assert "1 of 3 recordings go on past 04:00 and are of two days" in found.notes
    assert "1 of 4 days with ECG have no answer" in found.notes


def test_a_day_may_begin_at_another_hour(windows_of: MakeWindows, tmp_path: Path) -> None:
    file = survey_file(tmp_path, ("p1", "2018-03-13T08:00", 4), ("p2", "2018-03-12T12:30", 1))
    found = join(two_people(windows_of, [*TIMES[:4], "2018-03-13T11:59"]), file, day_starts_h=12.0)
    assert found.example_id == ("p1/2018-03-12", "p2/2018-03-12")  # shift and answer of the night are of one day
    assert found.row.tolist() == [0, 1, 2, 4]


def test_of_several_answers_a_day_the_mean_counts(windows_of: MakeWindows, tmp_path: Path) -> None:
    answers = [("p1", "2018-03-12T20:00", 4), ("p1", "2018-03-13T02:00", 1), ("p2", "2018-03-12T20:00", 3)]
    found = join(two_people(windows_of), survey_file(tmp_path, *answers))
    assert found.value.tolist() == [2.5, 3]
    assert "1 of 3 answers are further ones of a day: its mean is taken" in found.notes


def test_a_threshold_makes_two_classes_and_the_upper_one_is_looked_for(windows_of: MakeWindows, tmp_path: Path) -> None:
    file = survey_file(tmp_path, ("p1", "2018-03-12T20:00", 3), ("p2", "2018-03-12T12:00", 2))
    found = join(two_people(windows_of), file, threshold=3.0)
    assert (found.kind, found.metric, found.unit) == ("binary", "auroc", "")
    assert (found.classes, found.value.tolist()) == (("stressd < 3", "stressd >= 3"), [1, 0])


def test_what_either_side_lacks_is_counted(windows_of: MakeWindows, tmp_path: Path) -> None:
    answers = [
        ("p1", "2018-03-12T20:00", 4),
        ("p1", "2018-03-14T20:00", 2),
        ("p1", "2018-03-20T20:00", 1),
        ("p9", TIMES[0], 1),
    ]
    found = join(two_people(windows_of, [*TIMES[:2], "", *TIMES[3:]]), survey_file(tmp_path, *answers))
    assert found.notes == (
        "1 of 5 windows have no wall time and are left out",
        "1 of 2 participants with answers have no ECG",
        "1 of 2 participants with ECG have no answer",
        "1 of 3 days with ECG have no answer",
        "1 of 3 days with answers have no ECG, though the participant has",
        "1 of 3 recordings have no window that is used; they take no part",
    )


def test_nothing_joined_is_an_error_that_shows_both_sides(windows_of: MakeWindows, tmp_path: Path) -> None:
    file = survey_file(tmp_path, ("P1", "2018-03-12T20:00", 4), ("p1", "2018-04-01T20:00", 2))
    with pytest.raises(
        TaskError,
        match=r"t: no day .* both ECG and an answer in .*stressd.csv: ECG of 2 participants "
        r"\(p1, p2\), 2018-03-12 to 2018-03-14; answers of 2 participants \(P1, p1\), 2018-03-12 to 2018-04-01",
    ):
        join(two_people(windows_of), file)


def test_windows_that_know_no_wall_time_belong_to_no_day(windows_of: MakeWindows, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="t: none of 5 windows knows its wall time, so it belongs to no day"):
        join(two_people(windows_of, [""] * 5), survey_file(tmp_path, ("p1", "2018-03-12T20:00", 4)))


def test_scores_that_leave_nothing_to_predict_are_an_error(windows_of: MakeWindows, tmp_path: Path) -> None:
    file = survey_file(tmp_path, ("p1", "2018-03-12T20:00", 4), ("p2", "2018-03-12T12:00", 4))
    with pytest.raises(TaskError, match="t: 2 days, all with stressd = 4; there is nothing to predict"):
        join(two_people(windows_of), file)
    with pytest.raises(TaskError, match="threshold = 3 puts all 2 days into one class; stressd goes from 4 to 4"):
        join(two_people(windows_of), file, threshold=3.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"time_zone": "Mars"}, "time_zone = 'Mars' is unknown"),
        ({"metric": "auroc"}, "metric = auroc: not for a regression task"),
        ({"metric": "mae", "threshold": 2.0}, "metric = mae: not for a binary task"),
    ],
)
def test_arguments_that_cannot_work_are_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Survey("t", "stressd.csv", "stressd", **words)


def test_a_synthetic_release_is_joined_as_a_loop_over_its_files_does(tmp_path: Path) -> None:
    cohort = SyntheticReader(5, sessions_per_subject=4, session_h=1.0, segment_s=15.0)
    write_release(cohort, tmp_path / "release", low_coverage_share=0.0)
    preparation = {"sample_rate": 100.0, "low_hz": 0.5, "high_hz": 40.0, "window_s": 15.0, "step_s": 15.0}
    reader = TilesReader(str(tmp_path / "release"))
    config = {"reader": {}, "preparation": preparation}
    store = prepare(reader, Preparation(**preparation), tmp_path / "tiles.h5", config, n_jobs=1, show_progress=False)
    windows = Windows([store])
    file = tmp_path / "release/surveys/scored/EMAs/stressd.csv.gz"
    found = join(windows, str(file))

    with gzip.open(file, "rt", newline="") as lines:
        answers = [row for row in csv.DictReader(lines) if row["stressd"]]
    scores = defaultdict(list)
    for row in answers:
        day = (datetime.fromisoformat(row["start_ts"]) - timedelta(hours=4)).date()
        scores[f"{row['participant_id']}/{day}"].append(float(row["stressd"]))
    expected = defaultdict(list)
    for row, second in enumerate(windows.stores[0].read("window/wall_time_s").tolist()):
        local = datetime.fromtimestamp(second, PACIFIC).replace(tzinfo=None)
        day_id = f"{windows.subject_id[windows.subject[row]]}/{(local - timedelta(hours=4)).date()}"
        if day_id in scores:
            expected[day_id].append(row)
    assert len(expected) >= 10
    assert set(found.example_id) == set(expected)
    for number, name in enumerate(found.example_id):
        assert found.row[found.example == number].tolist() == expected[name]
        assert found.value[number] == pytest.approx(np.mean(scores[name]))
