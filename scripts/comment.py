"""What a pull request is told about a run: the comparison, what changed against main, and the curves as pictures.

Run: python scripts/comment.py comment.md
"""

import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure

from stages.common.core.files import write_text
from stages.common.core.shell import run_command
from stages.common.data.layout import COMPARISON_MD, CURVES, REPORTS
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import HISTORY
from tools.audit.own_output import require_own_output

HEADING = "## Baseline and adaptive side by side"
PICTURE = REPORTS / "curves.png"
PANELS = {"validation_loss": "validation loss", "validation_dice": "validation Dice", "ratio": "alpha / (alpha + beta)"}


def main(target: Path, root: Path = Path()) -> int:
    """Write the comment; returns the exit code.

    Args:
        target: the file to write.
        root: of the project.
    Raises:
        UserError: another file is there, or there is no report yet.
    """
    require_own_output(target, lambda content: content.startswith(HEADING.encode()))
    draw(root).savefig(root / PICTURE, dpi=110)
    table = (root / COMPARISON_MD).read_text()
    parts = [HEADING, table, "## Against main", against_main(root)]
    parts += ["## Training", f"![losses, Dice and weights over the epochs]({PICTURE})\n"]
    write_text(target, "\n".join(parts))
    return 0


def against_main(root: Path) -> str:
    """The metrics that differ from those of origin/main, as a Markdown table, or a sentence."""
    words = [sys.executable, "-m", "dvc", "metrics", "diff", "--md", "origin/main"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason is given"])[0]
        return f"`dvc metrics diff origin/main` failed: {reason}\n"
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    heading_and_rule = 2
    return done.stdout if len(rows) > heading_and_rule else "No metric has changed.\n"


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
    run_command("comment", lambda: main(Path(sys.argv[1])))
