"""A table as text for a terminal: aligned columns, as many as fit."""

from tiles_ecg.summary.document import Table

GAP = "  "


def terminal_table(table: Table, width: int, fewest: int) -> str:
    """The table as lines; columns that do not fit are left out from the right, and counted below.

    Args:
        table: What it shows.
        width: Of the terminal, in characters.
        fewest: Columns that stay, whether they fit or not.
    """
    columns = [
        [title, *(row[at].text for row in table.rows)] for at, title in enumerate(table.head)
    ]  # the title, then the cells
    widths = [max(map(len, column)) for column in columns]
    n = len(columns)
    while n > fewest and sum(widths[:n]) + len(GAP) * (n - 1) > width:
        n -= 1
    is_number = [table.has_numbers(at) for at in range(n)]
    lines = []
    for number in range(len(table.rows) + 1):
        cells = [columns[at][number] for at in range(n)]
        padded = [c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths[:n], is_number, strict=True)]
        lines.append(GAP.join(padded).rstrip())
    left_out = table.head[n:]
    more = [f"({len(left_out)} more columns in the report: {', '.join(left_out)})"] if left_out else []
    return "\n".join([*lines, *more])
