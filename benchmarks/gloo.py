"""One training over processes and threads of this machine's cores, in images a second.

Run: PYTHONPATH=. python benchmarks/gloo.py     (3 minutes; needs data/dataset)
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment

EPOCHS = 4  # the first warms up


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    base = speed(1, 1)
    print(f"1 process of 1 thread: {base:.1f} images/s")
    for processes, threads in ((1, cores), (cores, 1)):
        found = speed(processes, threads)
        print(f"{processes} processes of {threads} threads: {found:.1f} images/s, {found / base:.2f} times", flush=True)


def speed(processes: int, threads: int) -> float:
    """Median images a second of the epochs after the first."""
    loop = {"epochs": EPOCHS, "devices": processes, "threads": threads}
    params = merge(read_yaml(ROOT / "params.yaml"), {"train": {"loop": loop}})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "params.yaml").write_text(json.dumps(params))
        (place / "data").symlink_to(ROOT / "data")
        words = [sys.executable, "-m", "stages.train", "adaptive"]
        variables = environment() | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=place, env=variables, capture_output=True, text=True, check=True)
    return statistics.median(map(float, re.findall(r"([\d.]+) images/s", done.stderr)[1:]))


if __name__ == "__main__":
    main()
