"""The picture and the table on the README's first screen, taken from the last run.

Run: make readme
"""

from pathlib import Path

import numpy as np

from stages.common.artifacts import read_png, read_table, write_png, write_text

START, END = "<!-- comparison.md -->\n", "<!-- end -->"


def main(root: Path = Path()) -> None:
    text = (root / "README.md").read_text()
    before, rest = text.split(START)
    table = (root / "reports/comparison.md").read_text()
    write_text(root / "README.md", before + START + table + END + rest.split(END)[1])
    write_png(root / "reports/example.png", montage(root))


def montage(root: Path) -> np.ndarray:
    """Label, baseline and adaptive for the test films at the quartiles of baseline F1, best first; uint8 RGB.

    Quartiles, so that the README shows a failure with the same right as a success.
    """
    table = read_table(root / "reports/evaluation/baseline/per_image.csv").sort_values("f1", ascending=False)
    fractured = table[table["tp"] + table["fn"] > 0]["image_id"].to_list()
    chosen = [fractured[round(share * (len(fractured) - 1))] for share in (0, 0.25, 0.5, 0.75)]
    sides = ("baseline/label", "baseline/overlay", "adaptive/overlay")
    columns = [[read_png(root / f"reports/evaluation/{side}/{name}.png") for side in sides] for name in chosen]
    return np.hstack([np.vstack(column) for column in columns])


if __name__ == "__main__":
    main()
