"""Document: what a report says, in the blocks that Markdown and HTML have in common."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NUMBER = re.compile(r"$|[\d\N{MINUS SIGN}\N{EN DASH}]|undefined|not run|does not apply|folds? ")
"""How a cell begins that is a number, or stands for one."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table; `style` is how its text is set."""

    text: str
    style: Literal["plain", "strong", "code", "quiet"] = "plain"


@dataclass(frozen=True)
class Heading:
    """A heading; `level` 1 is the title of the report, 2 a task, 3 a part of it."""

    text: str
    level: int


@dataclass(frozen=True)
class Paragraph:
    """Running text; `lead` is set strong before it."""

    text: str
    lead: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows, in a sentence.
        head: A title for each column.
        rows: A cell for each column; the first one names the row.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def has_numbers(self, column: int) -> bool:
        """Whether all that a column holds, if it holds anything, are numbers, or words in their place."""
        texts = [row[column].text for row in self.rows]
        return any(texts) and all(map(NUMBER.match, texts))


@dataclass(frozen=True)
class Listing:
    """A list; `is_folded` lets a page hide it behind its title, `is_code` sets the items as commands."""

    title: str
    items: tuple[str, ...]
    is_folded: bool = False
    is_code: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure, as PNG."""

    title: str
    caption: str
    png: bytes


Block = Heading | Paragraph | Table | Listing | Picture


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """A table of cells, of which plain ones may be given as text."""
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    return Table(caption, tuple(head), cells)
