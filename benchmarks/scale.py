"""Processor time per film and peak memory as films grow: hashes, tables and split, and the four data stages.

Run: PYTHONPATH=. python benchmarks/scale.py [hashes | tables | split | stages] [FILMS ...]
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from stages import read_params, section_model
from stages.annotate.params import Drawn
from stages.annotate.split import assign, further_folds
from stages.common.core.validation import validate
from stages.common.data.tables import MANIFEST
from stages.ingest.quality.duplicates import groups
from stages.ingest.quality.expectations import manifest_suite
from stages.ingest.quality.hash_search import near_pairs

ROOT = Path(__file__).parents[1]
COUNTS = {
    "hashes": [1000, 10_000, 100_000],
    "tables": [1000, 10_000, 100_000, 1_000_000],
    "split": [1000, 10_000, 100_000, 1_000_000],
    "stages": [1000, 10_000, 100_000],
}
SIDE = 64  # pixels of a film
# Transposed, odd rows negated, odd columns negated: what `orientations` does to cosine coefficients.
ORIENTATIONS = ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 1))
Steps = Iterator[tuple[str, float]]  # name and seconds of processor time


def main(kinds: list[str], counts: list[int]) -> None:
    print("| | films | s | ms per film | peak, MB |\n|---|---|---|---|---|")
    for kind in kinds:
        for films in counts or COUNTS[kind]:
            child = [sys.executable, __file__, "child", kind, str(films)]
            lines = subprocess.run(child, capture_output=True, text=True, check=True).stdout.splitlines()
            for name, seconds, peak in map(json.loads, lines):
                row = f"{films:,} | {seconds:.1f} | {1000 * seconds / films:.2f} | {peak}"
                print(f"| {name} | {row} |", flush=True)


def measure(kind: str, films: int) -> None:
    """Print a line for each step: name, seconds, and the largest memory so far of this process."""
    steps: dict[str, Callable[[int], Steps]] = {"hashes": hashes, "tables": tables, "split": split, "stages": stages}
    for name, seconds in steps[kind](films):
        print(json.dumps([name, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]), flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this process and of those that it started and that have ended: other work does not count."""
    start = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - start


def hashes(films: int) -> Steps:
    """Hashes with the distances of real films, of which one in a thousand is a turned copy of another."""
    rng = np.random.default_rng(0)
    common = 0.5 * rng.standard_normal((16, 16))  # what all films have in common
    made = np.empty((films, 8, 32), np.uint8)
    for start in range(0, films, 10_000):
        part = common + rng.standard_normal((min(10_000, films - start), 16, 16))
        copies = len(part) // 1000
        part[:copies] = part[-copies:].swapaxes(1, 2) + 0.05 * rng.standard_normal((copies, 16, 16))
        made[start : start + len(part)] = hashes_of(part)
    yield "near copies", seconds(lambda: near_pairs(made, 32))


def hashes_of(coefficients: np.ndarray) -> np.ndarray:
    """Perceptual hashes in eight orientations, uint8 (n, 8, 32), of films' cosine coefficients (n, 16, 16)."""
    odd, ways = 1 - 2 * (np.arange(16) % 2), []
    for turned, rows, columns in ORIENTATIONS:
        way = coefficients.swapaxes(1, 2) if turned else coefficients
        way = (way * odd[:, None] ** rows * odd**columns).reshape(len(way), 256)
        ways.append(np.packbits(way > np.median(way, axis=1)[:, None], axis=1))
    return np.stack(ways, axis=1)


def picture(number: int) -> np.ndarray:
    """A smooth film, uint8 (SIDE, SIDE), unlike all others."""
    rough = np.random.default_rng(number).integers(0, 255, (9, 9), dtype=np.uint8)
    return cv2.resize(rough, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def manifest(films: int) -> pd.DataFrame:
    """A manifest of films of which two in three are another of a patient's; half have a fracture."""
    rng = np.random.default_rng(0)
    ids = [f"film{number:07d}" for number in range(films)]
    cells: dict[str, object] = {"image_id": ids, "file": [f"images/{name}.png" for name in ids], "source": "folder"}
    cells |= {"source_file": [f"{name}.jpg" for name in ids], "licence": "CC-BY-4.0", "modality": "OT", "key_id": ""}
    cells |= {name: digests(rng, films) for name in ("sha256", "file_sha256", "pixel_sha256")}
    cells |= {"patient_id": [f"patient{number:07d}" for number in np.sort(rng.integers(0, films, films) // 3)]}
    cells |= {"split": "", "width": 373, "height": 454, "bits": 8, "photometric_interpretation": "MONOCHROME2"}
    cells |= {"pixel_spacing_mm": "", "imager_pixel_spacing_mm": "", "fractures": rng.integers(0, 2, films)}
    table = pd.DataFrame(cells)
    table["group"] = table["patient_id"]
    return table[list(MANIFEST.columns)]


def digests(rng: np.random.Generator, number: int) -> list[str]:
    digits = rng.bytes(32 * number).hex()
    return [digits[start : start + 64] for start in range(0, len(digits), 64)]


def tables(films: int) -> Steps:
    table, rng = manifest(films), np.random.default_rng(1)
    pairs = [(int(i), int(j)) for i, j in rng.integers(0, films, (films // 100, 2))]
    yield "groups", seconds(lambda: groups(list(table["patient_id"]), pairs))
    facts = table.assign(found_sha256=table["file_sha256"], found_fractures=table["fractures"], shapes_inside=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "manifest written", seconds(lambda: MANIFEST.write(folder, table))
        yield "manifest read", seconds(lambda: MANIFEST.read(folder))
        yield "manifest checked", seconds(lambda: validate("raw", facts, manifest_suite(), "image_id", folder))


def split(films: int) -> Steps:
    table = manifest(films).assign(fracture=lambda rows: rows["fractures"] > 0)
    settings = Drawn(train=films * 3 // 4, test=films // 5, validation=films // 10)
    sides: list[pd.Series] = []
    yield "split", seconds(lambda: sides.append(assign(table, settings)))
    yield "further folds", seconds(lambda: further_folds(table, sides[0], settings))


def stages(films: int) -> Steps:
    """The stages from a folder of pictures with a box each to the data set, in this process and its workers."""
    sections = read_params(ROOT / "params.yaml")
    source = {"source": "folder", "annotations": "yolo", "licence": "CC0-1.0"}
    sections["ingest"] |= {"sources": [source], "inbox": "inbox"}
    counts = {"train": films * 3 // 4, "test": films // 5, "validation": films // 10}
    sections["annotate"]["split"] = {"by": "drawn", "seed": 1} | counts
    sections["preprocess"]["size"] = SIDE
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("inbox").mkdir()
        for number in range(films):
            cv2.imwrite(f"inbox/f{number:06d}.png", picture(number))
            Path(f"inbox/f{number:06d}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
        for stage in ("ingest", "preprocess", "threshold", "annotate"):
            settings = section_model(stage).model_validate(sections[stage])
            run = import_module(f"stages.{stage}.main").main
            yield stage, seconds(lambda run=run, settings=settings: run(settings))  # type: ignore[misc]
        os.chdir(ROOT)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        words = [word for word in sys.argv[1:] if not word.isdecimal()]
        main(words or list(COUNTS), [int(word) for word in sys.argv[1:] if word.isdecimal()])
