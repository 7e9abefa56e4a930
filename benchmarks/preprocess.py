"""The chain against the same chain of scikit-image calls and against decode + encode; then as films and workers grow.

Run: PYTHONPATH=. python benchmarks/preprocess.py [films ...]     (160 1600 16000, some minutes; 0: no stage)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from distributed import LocalCluster
from PIL import Image
from ruamel.yaml import YAML
from scipy import ndimage
from skimage import exposure, filters, measure, morphology, transform

from stages.common.core.files import write_png
from stages.common.data.layout import PREPROCESSED, RAW, image_file
from stages.common.data.tables import MANIFEST, write_table
from stages.ingest.params import Sample
from stages.ingest.sources.sample import SampleFilm, draw
from stages.preprocess.params import Params
from stages.preprocess.steps import prepare
from tests.helpers.tables import filled

ROOT = Path(__file__).parents[1]
HEIGHT, WIDTH = 454, 373  # as most films of FracAtlas
ROUNDS = 9
# As `write_png` writes.
PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
CHILD = """
import json, sys, time
from pathlib import Path
from stages.preprocess.main import main
from stages.preprocess.params import Params
if __name__ == "__main__":
    start = time.perf_counter()
    main(Params.model_validate(json.loads(sys.argv[1])))
    spent = time.perf_counter() - start
    print(json.dumps([spent, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024]))
"""


def params() -> dict[str, Any]:
    return dict(YAML(typ="safe").load((ROOT / "params.yaml").read_text())["preprocess"])


def film(number: int) -> np.ndarray:
    """A dark film with a grey limb and texture, uint8, another one for every number."""
    rng = np.random.default_rng(number)
    image = np.full((HEIGHT, WIDTH), 12.0)
    left = int(rng.integers(40, 200))
    image[: HEIGHT * 3 // 4, left : left + 110] += 70
    image[: HEIGHT * 3 // 4, left + 25 : left + 45] += 110
    image += cv2.resize(rng.normal(0, 6, (60, 50)), (WIDTH, HEIGHT))
    return np.clip(image, 0, 255).astype(np.uint8)


def with_scikit_image(raw: np.ndarray, size: int = 256) -> np.ndarray:
    """What a user would write: limb by threshold and largest pieces, then the same steps by scikit-image."""
    image = raw.astype(np.float64) / 255
    smooth = filters.gaussian(image, 1.5)
    limb = morphology.opening(smooth > filters.threshold_otsu(smooth) * 0.6, morphology.disk(5))
    pieces = [r for r in measure.regionprops(measure.label(limb)) if r.area > 0.01 * limb.size]
    top, left = (min(r.bbox[i] for r in pieces) for i in (0, 1))
    bottom, right = (max(r.bbox[i] for r in pieces) for i in (2, 3))
    image = image[top:bottom, left:right]
    image = exposure.rescale_intensity(image, out_range=(0, 1))
    scale = size / max(image.shape)
    shape = (round(image.shape[0] * scale), round(image.shape[1] * scale))
    image = transform.resize(image, shape, order=3, anti_aliasing=True)
    image = exposure.rescale_intensity(image, in_range=tuple(np.percentile(image, (1, 99))), out_range=(0, 1))
    image = ndimage.median_filter(image, 3, mode="constant")
    image = exposure.equalize_hist(image)
    out = np.zeros((size, size))
    out[: shape[0], : shape[1]] = image
    return np.round(out * 255).astype(np.uint8)


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one_film() -> None:
    cv2.setNumThreads(1)
    settings = Params.model_validate(params())
    sample = Sample(seed=7, films=160, width=WIDTH)
    drawn = [draw(SampleFilm(n, n, "kaggle", "CR"), sample).density for n in range(20)]
    films = [np.round(density * 255).astype(np.uint8) for density in drawn]
    jpegs = []
    for raw in films:
        buffer = BytesIO()
        Image.fromarray(raw).save(buffer, "JPEG", quality=90)
        jpegs.append(np.frombuffer(buffer.getvalue(), np.uint8))
    small = [prepare(raw, settings)[0] for raw in films]

    def floor() -> None:
        for jpeg, out in zip(jpegs, small, strict=True):
            cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
            cv2.imencode(".png", out, PNG)

    rounds = [
        (
            spent(lambda: [prepare(raw, settings) for raw in films]) / 20,
            spent(lambda: [with_scikit_image(raw) for raw in films[:5]]) / 5,
            spent(floor) / 20,
        )
        for _ in range(ROUNDS)
    ]
    ours, theirs, alone = (min(times) for times in zip(*rounds, strict=True))
    slower, share = (median(round_[other] / round_[0] for round_ in rounds) for other in (1, 2))
    print(f"One film of the embedded sample, {WIDTH} pixels wide, one thread, processor time, {ROUNDS} rounds:")
    print(f"chain {ours * 1e3:.2f} ms, scikit-image {theirs * 1e3:.1f} ms, decode + encode {alone * 1e3:.2f} ms")
    print(f"median ratios: scikit-image {slower:.1f} times the chain, decode + encode {share:.2f} of it")


def write_raw(project: Path, films: int) -> None:
    rows = []
    for number in range(films):
        picture = image_file(RAW, f"f{number:05d}")
        write_png(project / picture, film(number))
        rows.append({"image_id": picture.stem, "file": picture.relative_to(RAW).as_posix()})
    write_table(project / RAW / MANIFEST.name, filled(MANIFEST, rows))


def stage(project: Path, target: Path, **environment: str) -> tuple[float, int]:
    """Seconds of the stage in a process of its own, and its peak MB; its output is moved to `target`."""
    script = target.parent / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(params())],
        cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (project / PREPROCESSED).rename(target)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def same(one: Path, other: Path) -> bool:
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names) and len(names) == len(
        [p for p in other.rglob("*") if p.is_file()]
    )


def growing(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_raw(here / "few", 10)
        start = stage(here / "few", here / "few-out", WORKERS="2")[0]
        print(f"\nThe stage, 2 processes, start-up of {start:.1f} s taken off:")
        for films in counts:
            write_raw(here / f"n{films}", films)
            seconds, peak = stage(here / f"n{films}", here / f"out{films}", WORKERS="2")
            print(f"{films:6d} films: {1000 * (seconds - start) / (films - 10):.2f} ms a film, {peak} MB")
        middle = here / f"n{counts[min(1, len(counts) - 1)]}"
        films = int(middle.name[1:])
        two, base = stage(middle, here / "two", WORKERS="2")[0], here / "two"
        one = stage(middle, here / "one", WORKERS="1")[0]
        alike = same(base, here / "one")
        print(f"\n{films} films: 2 processes take {two / one:.2f} of the time of 1; same bytes: {alike}")
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            dask = stage(middle, here / "dask", DASK_SCHEDULER_ADDRESS=address)[0]
            print(f"Dask, 2 workers: {dask / one:.2f}; same bytes: {same(base, here / 'dask')}")
            victim = next(iter(cluster.workers.values())).pid
            threading.Timer(dask / 2, os.kill, (victim, signal.SIGKILL)).start()
            began = time.perf_counter()
            killed = stage(middle, here / "killed", DASK_SCHEDULER_ADDRESS=address)[0]
            print(f"a worker killed midway: {killed / one:.2f}; same bytes: {same(base, here / 'killed')}")
            assert time.perf_counter() - began > dask / 2


if __name__ == "__main__":
    one_film()
    counts = [int(word) for word in sys.argv[1:]] or [160, 1600, 16000]
    if counts != [0]:
        growing(counts)
