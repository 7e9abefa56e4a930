"""What a pull request is told about a run: the comparison, what changed against main, and the curves as pictures.

Run: python scripts/comment.py comment.md
"""

import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure

from stages.common.core.files import write_text
from stages.common.data.layout import COMPARISON_MD, CURVES, REPORTS
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import HISTORY

PICTURE = REPORTS / "curves.png"
PANELS = {"validation_loss": "validation loss", "validation_dice": "validation Dice", "ratio": "alpha / (alpha + beta)"}


def main(target: Path, root: Path = Path()) -> None:
    draw(root).savefig(root / PICTURE, dpi=110)
    table = (root / COMPARISON_MD).read_text()
    changed = subprocess.run(
        ["dvc", "metrics", "diff", "--md", "origin/main"], cwd=root, capture_output=True, text=True, check=False
    ).stdout
    parts = ["## Baseline and adaptive side by side", table, "## Against main", changed or "No metric has changed.\n"]
    parts += ["## Training", f"![losses, Dice and weights over the epochs]({PICTURE})\n"]
    write_text(target, "\n".join(parts))


def draw(root: Path) -> Figure:
    """Validation loss, validation Dice and the share of Dice in the loss, each over the epochs."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name in VARIANTS:
            history = HISTORY.named(f"{name}_{HISTORY.name}").read(root / CURVES)
            axes.plot(history["epoch"], history[column], label=name)
        axes.set(xlabel="epoch", title=label)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1]))
