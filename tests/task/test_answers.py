import gzip
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tiles_ecg.task.answers import Answers, read_answers
from tiles_ecg.task.target import TaskError

HEADER = "participant_id,surveytype,start_ts,completed_ts,stressd,Finished"
ROW = "p1,daily,2018-03-12T09:00:00,2018-03-12T09:10:00,3,1"
ZONE = ZoneInfo("America/Los_Angeles")
NINE = 1520845200.0  # 2018-03-12T09:00:00 as if it were UTC


def write(folder: Path, *lines: str, name: str = "stressd.csv.gz") -> Path:
    file = folder / name
    text = ("\n".join(lines) + "\n").encode()
    file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return file


def read(file: Path, column: str = "stressd") -> Answers:
    return read_answers(file, column, ZONE)


@pytest.mark.parametrize("name", ["stressd.csv.gz", "stressd.csv"])
def test_an_answer_has_a_participant_a_local_time_and_a_score(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path, HEADER, ROW, "p2,daily,2018-03-12T10:00:00,,4.5,1", name=name))
    assert (found.participant, found.score.tolist(), found.notes) == (("p1", "p2"), [3, 4.5], ())
    assert found.wall_s.tolist() == [NINE, NINE + 3600]


def test_answers_without_a_score_or_a_time_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [ROW.replace(",3,", f",{score},") for score in ("", "NA", "nan", "inf", "2")]
    found = read(write(tmp_path, HEADER, *rows, ROW.replace("2018-03-12T09:00:00", "soon"), ROW))
    assert found.score.tolist() == [2, 3]
    assert found.notes == (
        "4 of 7 answers have no stressd and are left out",
        "1 of 7 answers have no readable time and are left out",
    )


@pytest.mark.parametrize(
    "header",
    [
        "ParticipantID,surveytype,start_ts,completed_ts,stressd,Finished",
        "ID,surveytype,start,end,stressd.d,Finished",
        "Participant ID,surveytype,Start_TS,completed_ts,StressD,Finished",
    ],
)
def test_columns_are_found_under_the_names_that_the_release_may_have(tmp_path: Path, header: str) -> None:
    found = read(write(tmp_path, header, ROW))
    assert (found.participant, found.score.tolist(), found.wall_s.tolist()) == (("p1",), [3], [NINE])


def test_without_a_start_the_fourth_column_is_the_time_and_a_note_says_so(tmp_path: Path) -> None:
    found = read(write(tmp_path, "participant_id,surveytype,date,done,stressd", ROW[:-2]))
    assert found.wall_s.tolist() == [NINE + 600]
    assert found.notes == ("stressd.csv.gz has no column start_ts: the time of an answer is its fourth column, done",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], r"a header \(participant_id, .*\) but no rows"),
        ([""], "empty; it needs a header line"),
        ([HEADER.replace("participant_id", "who"), ROW], "no column participant_id; its columns are who, surveytype"),
        ([HEADER.replace("stressd", "stress"), ROW], r"no column 'stressd'; did you mean stress\?; its columns are"),
        (["participant_id,stressd", "p1,3"], "no column start_ts, and no time in the fourth column"),
        ([HEADER.replace("start_ts", "stressd"), ROW], "column stressd occurs more than once"),
        ([HEADER, ROW.replace(",3,", ",high,")], "row 2, column 'stressd': 'high' is not a number"),
        ([HEADER, ROW.replace(",3,", ",,")], "column 'stressd' is empty in all 1 row; name another column"),
        ([HEADER, ROW.replace("2018-03-12T09", "12.3.")], "column 'start_ts' holds no time .* e.g. '12.3.:00:00'"),
        ([HEADER, ROW[:-2]], "row 2 has 5 columns where the header has 6"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(TaskError, match=rf"stressd\.csv\.gz: {message}"):
        read(write(tmp_path, *lines))


def test_a_missing_cut_or_foreign_file_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere\.csv.gz: no such file"):
        read(tmp_path / "nowhere.csv.gz")
    whole = write(tmp_path, HEADER, *(ROW.replace("p1", f"p{i}") for i in range(5000))).read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskError, match=r"cut\.csv.gz: the gzip stream ends too early: the file is truncated"):
        read(tmp_path / "cut.csv.gz")
    (tmp_path / "plain.csv.gz").write_text(f"{HEADER}\n{ROW}\n")
    with pytest.raises(TaskError, match=r"plain\.csv.gz: not a gzip file"):
        read(tmp_path / "plain.csv.gz")
    with pytest.raises(TaskError, match="cannot be read"):
        read(tmp_path)
