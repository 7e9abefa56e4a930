"""The picture and the table on the README's first screen, taken from the last run.

Run: make readme
"""

from pathlib import Path

from stages.common.core.files import need, write_bytes, write_text
from stages.common.data.layout import COMPARISON_MD, PREDICTION_SHEET, REPORTS

START, END = "<!-- comparison.md -->\n", "<!-- end -->"


def main(root: Path = Path()) -> None:
    text = (root / "README.md").read_text()
    before, rest = text.split(START)
    table = (root / COMPARISON_MD).read_text()
    write_text(root / "README.md", before + START + table + END + rest.split(END)[1])
    write_bytes(root / REPORTS / "example.png", need(root / PREDICTION_SHEET).read_bytes())


if __name__ == "__main__":
    main()
