"""Seconds from the start of a stage to its end without work in between, against an interpreter as it comes.

Reference: `import stages.NAME.main` in a plain interpreter. Measured: the same import with what `stages.run` puts
around it: no garbage collection while libraries load, and an end without teardown. In turns, the median of ROUNDS.

Run: PYTHONPATH=. python benchmarks/starts.py
"""

import subprocess
import sys
import time
from statistics import median

from stages import STAGES

ROUNDS = 5
PLAIN = "import stages.{stage}.main"
STAGE = """
from stages.common.core.shell import skip_teardown
from stages.common.core.signals import begin_loading, begin_working
begin_loading("{stage}")
import stages.{stage}.main
begin_working()
skip_teardown([0])
"""


def seconds(script: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True)
    return time.perf_counter() - start


def main() -> None:
    print("| stage | plain, s | as a stage, s | ratio |\n|---|---|---|---|")
    for stage in STAGES:
        scripts = PLAIN.format(stage=stage), STAGE.format(stage=stage)
        rounds = [[seconds(script) for script in scripts] for _ in range(ROUNDS)]
        plain, ours = (median(times) for times in zip(*rounds, strict=True))
        print(f"| `{stage}` | {plain:.1f} | {ours:.1f} | {ours / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
