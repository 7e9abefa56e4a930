"""Verify against `md5sum` of the same files, and how long a trace takes with ever more films.

Run: PYTHONPATH=. python benchmarks/audit.py     (1 minute; needs the outputs of `make repro`)
"""

import csv
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from stages.common.data.layout import DATASET, EVALUATION, RAW, REPORTS
from stages.common.data.tables import COMPARISON, FILES, MANIFEST, SPLIT
from tests.helpers.processes import environment
from tools.audit.dvc_cache import files_below
from tools.audit.trace import Project
from tools.audit.verify import verify

ROUNDS = 5
TABLES = (RAW / MANIFEST.name, DATASET / SPLIT.name, RAW / FILES.name)


def main() -> None:
    project = Project(Path())
    outs = [out for out in project.lock.hashes if (project.root / out).exists()]
    folders = [out for out in outs if (project.root / out).is_dir()]
    files = [f"{out}/{name}" for out in folders for name in files_below(project.root, out)]
    files += [out for out in outs if out not in folders]
    names = "\0".join(files).encode()

    def reference() -> None:
        subprocess.run(["xargs", "-0", "md5sum"], input=names, stdout=subprocess.DEVNULL, check=True)

    pairs = [(seconds(reference), seconds(lambda: verify(project))) for _ in range(ROUNDS)]
    plain, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    size = sum(Path(name).stat().st_size for name in files)
    print(
        f"{len(files)} files, {size / 1e6:.0f} MB: md5sum {plain:.2f} s, verify {ours:.2f} s, {ours / plain:.2f} times"
    )
    for count in (160, 16_000):
        print(f"trace of a film and of a number among {count} films: {', '.join(f'{t:.2f} s' for t in traced(count))}")


def traced(count: int) -> list[float]:
    """Seconds of the whole command, with tables that many films long."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        subprocess.run(["git", "clone", "-q", ".", str(copy)], check=True)
        for path in (*TABLES, REPORTS / COMPARISON.name, EVALUATION):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy / path)
        (copy / ".dvc/cache").symlink_to(Path(".dvc/cache").resolve())
        for path in TABLES:
            lengthen(copy / path, count)
        with (copy / TABLES[0]).open() as file:
            image = next(csv.DictReader(file))["image_id"]
        return [seconds(lambda what=what: trace(copy, what)) for what in (image, "adaptive/f1")]


def trace(project: Path, what: str) -> None:
    words = ["wrist", "audit", "trace", what]
    subprocess.run(words, cwd=project, env=environment(), stdout=subprocess.DEVNULL, check=True)


def lengthen(path: Path, count: int) -> None:
    """Repeat a table's rows, under new ids, until it has those of so many films."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    films = len({row["image_id"] for row in rows})
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for number in range(count // films):
            more = f"-{number}" if number else ""
            table.writerows(row | {"image_id": row["image_id"] + more} for row in rows)


def seconds(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
