from tiles_ecg.summary.document import table
from tiles_ecg.summary.rounding import NONE
from tiles_ecg.summary.terminal import terminal_table

TABLE = table(
    "All.", ["Run", "State", "lr", "val/loss"], [["one", "finished", "0.001", "2.71"], ["two", "failed", "10", NONE]]
)


def test_columns_are_aligned_numbers_to_the_right() -> None:
    assert terminal_table(TABLE, 80, 1).splitlines() == [
        "Run  State        lr  val/loss",
        "one  finished  0.001      2.71",
        f"two  failed       10         {NONE}",
    ]


def test_columns_that_do_not_fit_are_left_out_and_named() -> None:
    lines = terminal_table(TABLE, 24, 1).splitlines()
    assert lines[0] == "Run  State        lr"
    assert lines[-1] == "(1 more columns in the report: val/loss)"


def test_the_first_columns_stay_whatever_the_width() -> None:
    assert terminal_table(TABLE, 1, 3).splitlines()[1] == "one  finished  0.001"
