import pytest

from tiles_ecg.summary.document import Cell, Heading, Listing, Paragraph, Picture, table
from tiles_ecg.summary.markdown import escape, markdown


def test_each_block_has_its_markdown() -> None:
    blocks = [
        Heading("Results", 2),
        Paragraph("for AF.", "Helped"),
        table("Numbers.", ["Method", "AUROC"], [["a", Cell("0.9", "strong")], ["b", Cell("run x|y", "code")]]),
        Listing("Notes", ("one", "two")),
        Listing("Commands", ("tiles-evaluate task=a",), is_code=True),
        Picture("ROC", "Curves.", b""),
        Picture("PR", "More.", b""),
    ]
    assert markdown(blocks, "report.html").split("\n\n") == [
        "## Results",
        "**Helped** for AF.",
        "Numbers.",
        "| Method | AUROC |\n| --- | --- |\n| a | **0.9** |\n| b | `run x\\|y` |",
        "**Notes**",
        "- one\n- two",
        "**Commands**",
        "- `tiles-evaluate task=a`",
        "In [report.html](report.html):",
        "- **ROC** Curves.\n- **PR** More.\n",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<b> & *x* `y` [0.1, 0.2]", r"\<b> & \*x\* \`y\` [0.1, 0.2]"),
        ("[a](b) [c]: d", r"[a\](b) [c\]: d"),
        ("# no title", r"\# no title"),
        ("- no item", r"\- no item"),
        ("cinc2017_af", "cinc2017_af"),
        ("_af_ __x", r"\_af\_ \_\_x"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_is_never_read_as_a_sign(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_column_without_text_stands_to_the_left() -> None:
    assert "| --- | --- |" in markdown([table("T", ["Method", "Remarks"], [["a", ""], ["b", ""]])], "")


def test_columns_of_numbers_stand_to_the_right() -> None:
    rows = [["a", "0.9 [0.8, 1.0]", "said"], ["b", "not run", "3 words"], ["c", "\N{MINUS SIGN}0.1", ""]]
    text = markdown([table("T", ["Method", "AUROC", "Remarks"], rows)], "")
    assert "| --- | ---: | --- |" in text
