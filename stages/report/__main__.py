"""Report: baseline and adaptive side by side, as CSV, Markdown and one HTML page.

Run: python -m stages.report     (dvc repro report)
"""

from pathlib import Path

from stages.common.artifacts import read_table, write_table, write_text
from stages.common.errors import Fault
from stages.common.stage import run_stage
from stages.report.page import VARIANTS, is_synthetic, render
from stages.report.params import Params
from stages.report.tables import compare, markdown, verdict

SYNTHETIC = "\nThe films are synthetic: these scores say nothing about patients.\n"


def main(settings: Params, root: Path = Path()) -> str:
    tables = {name: read_table(root / f"reports/evaluation/{name}/per_image.csv") for name in VARIANTS}
    if list(tables["baseline"]["image_id"]) != list(tables["adaptive"]["image_id"]):
        raise Fault("reports/evaluation: expected both models on the same films, found others; run `dvc repro`")
    split = read_table(root / "data/dataset/split.csv").set_index("image_id")
    comparison = compare(tables["baseline"], tables["adaptive"], split.loc[tables["baseline"]["image_id"], "group"])
    note = SYNTHETIC if is_synthetic(read_table(root / "data/raw/manifest.csv")) else ""
    page = render(root, comparison, tables)
    write_table(root / "reports/comparison.csv", comparison)
    write_text(root / "reports/comparison.md", f"{markdown(comparison)}\n{verdict(comparison)}\n{note}")
    write_text(root / "reports/comparison.html", page)
    return f"{verdict(comparison)} -> reports/comparison.html"


if __name__ == "__main__":
    run_stage("report", main)
