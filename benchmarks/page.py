"""The report's page with many films: time to the first paint, to sort them, and to show a film in the viewer.

Run: PYTHONPATH=. python benchmarks/page.py [FILMS ...]     (needs the outputs of `make repro`, whose films it repeats)
"""

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import pandas as pd
from playwright.sync_api import Browser, Page, sync_playwright

from stages import read_params, section_model
from stages.report.main import main as report

REPEATS = 5
ROOT = Path.cwd()
READ = ("data/raw", "data/preprocessed", "data/levels", "data/dataset", "models", "reports/evaluation")
SORT = """() => new Promise(done => {
  const start = performance.now(), key = document.getElementById("sort");
  key.selectedIndex = key.selectedIndex % 20 + 1;
  key.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})"""


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [40, 1000]
    heads = ("films", "report, s", "page, MB", "first paint, ms", "loaded, ms", "sort, ms", "open a film, ms")
    print(*(f"{head:>16}" for head in heads))
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for count in counts:
            with TemporaryDirectory() as name:
                seconds = write_page(Path(name), count)
                page = Path(name) / "reports/index.html"
                numbers = [
                    median(values) for values in zip(*(visit(browser, page) for _ in range(REPEATS)), strict=True)
                ]
                size = page.stat().st_size / 1e6
                print(f"{count:16} {seconds:16.1f} {size:16.1f}", *(f"{number:16.0f}" for number in numbers))
        browser.close()


def write_page(project: Path, count: int) -> float:
    """Write the report on so many test films in an empty folder; returns the seconds that it took."""
    split = pd.read_csv(ROOT / "data/dataset/split.csv")
    tested = list(split.loc[split["split"] == "test", "image_id"])
    copies = {film: range(1, -(-(count - place) // len(tested))) for place, film in enumerate(tested)}
    for folder in READ:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file():
                grow(path, project / path.relative_to(ROOT), copies)
    (project / "reports/data_quality.md").symlink_to(ROOT / "reports/data_quality.md")
    (project / "params.yaml").symlink_to(ROOT / "params.yaml")
    settings = section_model("report").model_validate(read_params(project / "params.yaml")["report"])
    start = perf_counter()
    report(settings, project)
    return perf_counter() - start


def grow(path: Path, target: Path, copies: dict[str, range]) -> None:
    """Link a file, a film's also under the names of its copies; of a table of films, write the rows of the copies, too.

    Args:
        path: of the file.
        target: where it gets its link.
        copies: numbers of the copies of each test film.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.DataFrame()
    if "image_id" in table:
        further = [
            row | {"image_id": f"{film}-{number}"}
            | {name: row[name].replace(film, f"{film}-{number}") for name in ("file",) if name in row}
            | {name: f"{row[name]}-{number}" for name in ("patient_id", "group") if name in row}
            for row in table.to_dict("records")
            for film in [row["image_id"]]
            for number in copies.get(film, ())
        ]  # fmt: skip
        pd.concat([table, pd.DataFrame(further, columns=table.columns)]).to_csv(target, index=False)
        return
    for name in (path.name, *(f"{path.stem}-{number}{path.suffix}" for number in copies.get(path.stem, ()))):
        target.with_name(name).symlink_to(path)


def visit(browser: Browser, file: Path) -> tuple[float, ...]:
    """Milliseconds to the first paint, until the page is loaded, to sort the films, and to show one in the viewer."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.wait_for_load_state()
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    page.evaluate("document.getElementById('films').scrollIntoView()")
    page.evaluate(SORT)  # the first one compiles
    times = painted, loaded, page.evaluate(SORT), opening(page)
    page.close()
    return times


def opening(page: Page) -> float:
    """Milliseconds from a click until the viewer shows scores; not a number for pages before the viewer had any."""
    link = page.locator("#grid .tiles").first
    if not link.count():
        return float("nan")
    start = perf_counter()
    link.click()
    page.locator("#viewer figcaption:has-text('F1')").first.wait_for()
    return 1000 * (perf_counter() - start)


if __name__ == "__main__":
    main()
