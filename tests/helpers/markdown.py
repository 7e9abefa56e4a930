"""Tables of Markdown as GitHub reads them."""

import re

RULE = re.compile(r"\|(?: *:?-+:? *\|)+")


def tables_of(text: str) -> list[list[list[str]]]:
    """The rows of each table, as their cells: the heading first, the rule below it second. An escaped bar is text."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines[1:], start=1):
        if RULE.fullmatch(line.strip()):
            last = next((n for n in range(number, len(lines)) if not lines[n].startswith("|")), len(lines))
            rows = [re.split(r"(?<!\\)\|", row.strip())[1:-1] for row in lines[number - 1 : last]]
            found.append([[cell.strip() for cell in row] for row in rows])
    return found


def cell_counts(text: str) -> list[set[int]]:
    """Of each table the numbers of cells that its rows have: one number in a sound table."""
    return [{len(row) for row in table} for table in tables_of(text)]
