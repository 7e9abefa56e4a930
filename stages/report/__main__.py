"""Report: baseline and adaptive side by side, as CSV, Markdown and one HTML page.

Run: python -m stages.report     (dvc repro report)
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.common.artifacts import read_png, read_table, write_table, write_text
from stages.common.errors import Fault
from stages.common.stage import run_stage
from stages.report.naive import naive_tables
from stages.report.page import VARIANTS, is_synthetic, render
from stages.report.params import Params
from stages.report.published import audit
from stages.report.statistics import compare_metrics
from stages.report.tables import PAIRED, compare, latex, markdown, subgroups, verdict

SYNTHETIC = "\nThe films are synthetic: these scores say nothing about patients.\n"


def main(settings: Params, root: Path = Path()) -> str:
    tables = {name: read_table(root / f"reports/evaluation/{name}/per_image.csv") for name in VARIANTS}
    baseline, adaptive = tables.values()
    if list(baseline["image_id"]) != list(adaptive["image_id"]):
        raise Fault("reports/evaluation: expected both models on the same films, found others; run `dvc repro`")
    facts = read_table(root / "data/dataset/split.csv").set_index("image_id").loc[baseline["image_id"]].reset_index()
    naive = naive_tables(test_films(root, list(baseline["image_id"])))
    results = {
        "comparison": compare(baseline, adaptive, facts["group"], naive),
        "statistics": compare_metrics(baseline, adaptive, facts["group"], PAIRED),
        "subgroups": subgroups(baseline, adaptive, facts, facts["group"]),
        "paper_audit": audit(),
    }
    said = verdict(results["comparison"], results["statistics"])
    note = SYNTHETIC if is_synthetic(read_table(root / "data/raw/manifest.csv")) else ""
    page = render(root, results, tables, said)
    for name, table in results.items():
        write_table(root / f"reports/{name}.csv", table)
    write_text(root / "reports/comparison.md", f"{markdown(results['comparison'])}\n{said}\n{note}")
    write_text(root / "reports/comparison.tex", latex(results["comparison"]))
    write_text(root / "reports/comparison.html", page)
    return f"{said} -> reports/comparison.html"


def test_films(root: Path, names: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, levels and mask of each test film, one at a time."""
    for name in names:
        places = (root / f"data/dataset/test{kind}/{name}.png" for kind in ("", "_levels", "_mask"))
        image, levels, mask = (read_png(place) for place in places)
        yield image, levels, mask > 0


if __name__ == "__main__":
    run_stage("report", main)
