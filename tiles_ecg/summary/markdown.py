"""Markdown of a report, as GitHub shows it; figures are named and stand in the page."""

import re
from collections.abc import Sequence
from itertools import groupby

from tiles_ecg.summary.document import Block, Cell, Heading, Listing, Paragraph, Picture, Table

SPECIAL = re.compile(r"[\\`*<|~$]|^[#>+-]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
"""What would be read as a sign where it stands: brackets in links only, underscores at the ends of words."""


def markdown(blocks: Sequence[Block], page: str) -> str:
    """The text of the report.

    Args:
        blocks: What it says.
        page: Name of the HTML page, in which the figures are.
    """
    parts = []
    for is_picture, group in groupby(blocks, lambda block: isinstance(block, Picture)):
        texts = [_text(block) for block in group]
        parts += [f"In [{escape(page)}]({page}):", "\n".join(texts)] if is_picture else texts
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text in which nothing is read as a sign, on one line."""
    return SPECIAL.sub(lambda match: "\\" + match[0], " ".join(text.split()))


def _text(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {escape(block.text)}"
        case Paragraph():
            return (f"**{escape(block.lead)}** " if block.lead else "") + escape(block.text)
        case Table():
            return _table(block)
        case Listing():
            return _listing(block)
        case Picture():
            return f"- **{escape(block.title)}** {escape(block.caption)}"


def _table(block: Table) -> str:
    lines = [
        _row([escape(title) for title in block.head]),
        _row(["---:" if number and block.has_numbers(number) else "---" for number in range(len(block.head))]),
        *(_row([_cell(cell) for cell in row]) for row in block.rows),
    ]
    return f"{escape(block.caption)}\n\n" + "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    if cell.style == "code":
        return _code(cell.text).replace("|", "\\|")
    text = escape(cell.text)
    return f"**{text}**" if cell.style == "strong" and text else text


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{' '.join(text.split())}{fence}"


def _listing(block: Listing) -> str:
    items = [f"- {_code(item) if block.is_code else escape(item)}" for item in block.items]
    return f"**{escape(block.title)}**\n\n" + "\n".join(items)
