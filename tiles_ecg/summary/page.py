"""Page of a report: one HTML file with all in it, for a screen of any size, light or dark, and for paper."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from itertools import groupby

from tiles_ecg.summary.document import Block, Cell, Heading, Listing, Paragraph, Picture, Table
from tiles_ecg.summary.page_style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy: a browser is told to fetch nothing."""
WIDE = 40
"""Characters, from which a text is broken into lines."""
TEXT = ' class="text"'


def page(blocks: Sequence[Block], title: str) -> str:
    """The HTML of the report.

    Args:
        blocks: What it says.
        title: Of the window.
    """
    numbered = list(enumerate(blocks))
    parts = []
    for is_picture, group in groupby(numbered, lambda item: isinstance(item[1], Picture)):
        body = "\n".join(_html(block, number) for number, block in group)
        parts.append(f'<div class="figures">\n{body}\n</div>' if is_picture else body)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>
{STYLE}</style>
</head>
<body>
{_contents(numbered)}
<main>
{chr(10).join(parts)}
</main>
</body>
</html>
"""


def _contents(numbered: Sequence[tuple[int, Block]]) -> str:
    """Links to the tasks."""
    links = [
        f'<li><a href="#{_anchor(number)}">{escape(block.text)}</a></li>'
        for number, block in numbered
        if isinstance(block, Heading) and block.level == 2
    ]
    return f'<nav aria-label="Contents"><ul>\n{chr(10).join(links)}\n</ul></nav>' if links else ""


def _anchor(number: int) -> str:
    return f"part-{number}"


def _html(block: Block, number: int) -> str:
    match block:
        case Heading():
            return f'<h{block.level} id="{_anchor(number)}">{escape(block.text)}</h{block.level}>'
        case Paragraph():
            lead = f"<strong>{escape(block.lead)}</strong> " if block.lead else ""
            return f"<p>{lead}{escape(block.text)}</p>"
        case Table():
            return _table(block)
        case Listing():
            return _listing(block)
        case Picture():
            return _figure(block)


def _table(block: Table) -> str:
    """In a box that scrolls, which the keyboard reaches too."""
    is_text = [not block.has_numbers(number) for number in range(len(block.head))]
    head = "".join(
        f'<th scope="col"{TEXT if is_left else ""}>{escape(title)}</th>'
        for title, is_left in zip(block.head, is_text, strict=True)
    )
    rows = "\n".join(_row(row, is_text) for row in block.rows)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(block.caption)}">\n<table>\n'
        f"<caption><span>{escape(block.caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n"
        "</table>\n</div>"
    )


def _row(row: Sequence[Cell], is_text: Sequence[bool]) -> str:
    data = [
        f"<td{_class(cell) if is_left else ''}>{_cell(cell)}</td>"
        for cell, is_left in zip(row[1:], is_text[1:], strict=True)
    ]
    return f'<tr><th scope="row">{_cell(row[0])}</th>{"".join(data)}</tr>'


def _class(cell: Cell) -> str:
    return ' class="text wide"' if len(cell.text) >= WIDE else TEXT


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    match cell.style:
        case "strong":
            return f"<strong>{text}</strong>"
        case "code":
            return f"<code>{text}</code>"
        case "quiet":
            return f'<span class="quiet">{text}</span>'
        case "plain":
            return text


def _listing(block: Listing) -> str:
    items = "\n".join(f"<li>{f'<code>{escape(i)}</code>' if block.is_code else escape(i)}</li>" for i in block.items)
    if block.is_folded:
        return f"<details>\n<summary>{escape(block.title)}</summary>\n<ul>\n{items}\n</ul>\n</details>"
    return f"<p><strong>{escape(block.title)}</strong></p>\n<ul>\n{items}\n</ul>"


def _figure(block: Picture) -> str:
    data = b64encode(block.png).decode("ascii")
    return (
        f'<figure>\n<img src="data:image/png;base64,{data}" alt="{escape(block.title)}">\n'
        f"<figcaption><b>{escape(block.title)}</b> {escape(block.caption)}</figcaption>\n</figure>"
    )
