"""Ingest against decoding and encoding alone, on the same files in one run; and its time and memory as films grow.

Run: python benchmarks/ingest.py [films ...]     (160 1600 16000, some minutes)
     python benchmarks/ingest.py pairs           (processor time of 1 worker against the reference, in turns)
     python benchmarks/ingest.py large FOLDER    (the same for films of 12 megapixels, made from those of a folder)
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
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pydicom import dcmread
from ruamel.yaml import YAML

from stages.ingest.params import Sample
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw, voc_file

ROOT = Path(__file__).parents[1]
ANNOTATIONS = {"folder": "yolo", "hospital": "voc"}
# As ingest writes them.
PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
WIDTH, HEIGHT = 373, 454  # as most films of FracAtlas
CHILD = """
import json, os, resource, sys, time
from pathlib import Path
from stages.ingest.main import main
from stages.ingest.params import Params
if __name__ == "__main__":
    params = Params.model_validate(json.loads(sys.argv[1]))
    start = time.perf_counter()
    os.chdir(sys.argv[2])
    main(params)
    spent = time.perf_counter() - start
    peaks = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([spent, *peaks]))
"""


def write_pictures(folder: Path, films: int) -> None:
    """Distinct grey JPEGs of the size of real ones, with a YOLO box each."""
    folder.mkdir()
    for number in range(films):
        rough = np.random.default_rng(number).integers(0, 255, (24, 20), dtype=np.uint8)
        smooth = cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(smooth).save(folder / f"f{number:05d}.jpg", quality=90)
        (folder / f"f{number:05d}.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def write_large(folder: Path, source: Path) -> int:
    """The 20 largest JPEGs of a folder, enlarged to 12 megapixels, with a YOLO box each; returns their number."""
    folder.mkdir()
    largest = sorted(source.glob("*.jpg"), key=lambda path: path.stat().st_size)[-20:]
    for path in largest:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        size = (3000, 4000) if grey.shape[0] > grey.shape[1] else (4000, 3000)
        large = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
        Image.fromarray(large).save(folder / path.name, quality=90)
        (folder / f"{path.stem}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    return len(largest)


def processor_seconds() -> float:
    """Of this process and of all that it started and waited for."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in times)


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work, which other programs on the machine do not change much."""
    start = processor_seconds()
    work()
    return processor_seconds() - start


def measure_pairs(folder: Path, films: int, source: str, rounds: int = 3) -> None:
    """Print the processor time of films against the reference, pair by pair, so that both see one machine.

    Args:
        folder: of the films.
        films: their number.
        source: hospital or folder.
        rounds: pairs.
    """
    few = first(folder, 2, folder.with_name(f"{folder.name}-two"))
    print(f"{films} of {folder.name}, processor ms a film, start-up off: alone, ingest with 1 worker, alone / ingest")
    for number in range(rounds):
        alone = spent(partial(decode_and_encode, folder, folder.with_name(f"{folder.name}-alone-{number}"))) / films
        start = spent(partial(ingest, few, source, 1))
        taken = (spent(partial(ingest, folder, source, 1)) - start) / (films - 2)
        print(f"{1000 * alone:8.1f} {1000 * taken:8.1f} {alone / taken:8.2f}", flush=True)


def write_export(folder: Path, films: int) -> None:
    """DICOM films of the embedded sample with their annotations."""
    folder.mkdir()
    for number in range(films):
        plan = SampleFilm(number, number, "hospital", "CR")
        film = draw(plan, Sample(seed=7, films=16, width=420))
        (folder / f"f{number:05d}.dcm").write_bytes(dicom_file(plan, film, 7))
        (folder / f"f{number:05d}.xml").write_bytes(voc_file(plan, film))


def decode_and_encode(folder: Path, target: Path) -> float:
    """Seconds for what nobody can leave out: read the pixels, write them as PNG."""
    target.mkdir()
    start = time.perf_counter()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".jpg":
            cv2.imwrite(str(target / f"{path.stem}.png"), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), PNG)
        elif path.suffix == ".dcm":
            cv2.imwrite(str(target / f"{path.stem}.png"), dcmread(BytesIO(path.read_bytes())).pixel_array, PNG)
    return time.perf_counter() - start


def ingest(folder: Path, source: str, workers: int) -> tuple[float, int, int]:
    """Seconds of the stage in a process of its own, and the peak MB of the parent and of its largest worker."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["ingest"]
    params |= {"sources": [{"source": source, "annotations": ANNOTATIONS[source]}], "inbox": str(folder)}
    environment = os.environ | {
        "WORKERS": str(workers),
        "PSEUDONYM_KEY": "a key for a benchmark of 32 bytes",
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "child.py"
        script.write_text(CHILD)
        done = subprocess.run(
            [sys.executable, str(script), json.dumps(params), scratch],
            env=environment, cwd=scratch, capture_output=True, text=True, check=True,
        )  # fmt: skip
    seconds, parent, worker = json.loads(done.stdout.splitlines()[-1])
    return seconds, parent, worker


def first(folder: Path, films: int, target: Path) -> Path:
    """A folder with the first films of another: what the stage needs before its first film is measured on few."""
    target.mkdir()
    for path in sorted(folder.iterdir())[: 2 * films]:
        (target / path.name).hardlink_to(path)
    return target


if __name__ == "__main__":
    if sys.argv[1:2] in (["large"], ["pairs"]):
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(scratch)
            if sys.argv[1] == "large":
                films = write_large(here / "large", Path(sys.argv[2]))
                measure_pairs(here / "large", films, "folder")
            else:
                write_pictures(here / "pictures", 1000)
                write_export(here / "export", 200)
                measure_pairs(here / "pictures", 1000, "folder")
                measure_pairs(here / "export", 200, "hospital")
        sys.exit()
    counts = [int(word) for word in sys.argv[1:]] or [160, 1600, 16000]
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_pictures(here / "pictures", 1000)
        write_export(here / "export", 200)
        few = {name: first(here / name, 10, here / f"{name}-few") for name in ("pictures", "export")}
        print("Films per second, and as a share of decode and encode alone in one process; start-up taken off")
        print("films          alone       1 worker             2 workers          start-up (s)")
        for name, source, films in (("1000 JPEG", "folder", 1000), ("200 DICOM", "hospital", 200)):
            kind = "pictures" if source == "folder" else "export"
            alone = films / min(decode_and_encode(here / kind, here / f"{source}-{i}") for i in range(3))
            rates, starts = [], []
            for workers in (1, 2):
                starts.append(min(ingest(few[kind], source, workers)[0] for _ in range(2)))
                whole = min(ingest(here / kind, source, workers)[0] for _ in range(2))
                rates.append((films - 10) / (whole - starts[-1]))
            shares = [f"{rate:8.0f} ({rate / alone:.2f})" for rate in rates]
            print(f"{name:12s} {alone:7.0f} {shares[0]:>18s} {shares[1]:>20s} {starts[1]:12.1f}")
        print("\nfilms    ms a film, start-up off (2 workers)   parent MB   largest worker MB")
        start = ingest(few["pictures"], "folder", 2)[0]
        for films in counts:
            write_pictures(here / f"n{films}", films)
            seconds, parent, worker = ingest(here / f"n{films}", "folder", 2)
            print(f"{films:6d} {1000 * (seconds - start) / (films - 10):16.1f} {parent:31d} {worker:15d}")
