"""What an experiment costs beyond its training, and how that grows with the length of the queue.

Run: PYTHONPATH=. python benchmarks/sweep.py     (20 minutes; a toy project in a temporary folder, trainings of 0.2 s)
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.params import TOY, merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, run
from tests.helpers.projects import make_project

LENGTHS = (1, 10, 100)
WHOLE = 10  # whole experiments of one job and of two
SETTLE = 2.0  # seconds between two looks at the queue


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), merge(read_yaml(ROOT / "params.yaml"), TOY))
        for key, value in (("name", "t"), ("email", "t@example.org")):
            run(project, "git", "config", f"user.{key}", value)
        run(project, "dvc", "repro")
        run(project, "git", "add", "dvc.lock")
        run(project, "git", "commit", "-qm", "lock")
        alone(project)
        for jobs in (1, 2):
            queue(project, f"whole{jobs}", WHOLE, jobs, "train.adaptive.alpha.start", 0.3 + 0.1 * jobs)
        for length in LENGTHS:  # a stage of a second, so that what is measured is DVC's own
            queue(project, f"q{length}", length, 2, "preprocess.steps.0.margin", 0.0001 * length, "preprocess")


def alone(project: Path) -> None:
    """One training as a command, and as an experiment."""
    run(project, sys.executable, "-m", "stages.train", "adaptive")
    plain = timed(project, sys.executable, "-m", "stages.train", "adaptive")
    run(project, "dvc", "checkout", "--force")
    words = ("dvc", "exp", "run", "--temp", "train@adaptive-1-1", "--set-param")
    trained = timed(project, *words, "train.adaptive.alpha.start=0.123")
    cached = timed(project, *words, "train.adaptive.alpha.start=0.123", "--name", "again")
    print(f"training as a command {plain:.1f} s, as an experiment {trained:.1f} s ({trained / plain:.2f} times)")
    print(f"an experiment whose result is cached {cached:.1f} s", flush=True)


def queue(project: Path, name: str, length: int, jobs: int, key: str, start: float, *targets: str) -> None:
    """So many experiments by DVC's queue."""
    values = ",".join(f"{start + 0.00001 * number:.5f}" for number in range(length))
    queued = timed(project, "dvc", "exp", "run", "--queue", "--name", name, "--set-param", f"{key}={values}", *targets)
    begun = time.perf_counter()
    words = ["dvc", "queue", "start", "--jobs", str(jobs)]
    subprocess.run(words, cwd=project, env=environment(), stdout=subprocess.DEVNULL, check=True)
    while len(ended := re.findall(r"\b(Success|Failed)\b", status(project))) < length:
        time.sleep(SETTLE)
    wall = time.perf_counter() - begun
    failed = ended.count("Failed")
    each = f"queued in {queued / length:.2f} s each, run in {wall / length:.1f} s each"
    print(f"{length} experiments ({name}), {jobs} jobs: {each}, {failed} failed", flush=True)
    run(project, "dvc", "queue", "remove", "--success", "--failed")
    while "0 active, 0 idle" not in status(project):  # or they would work for the next queue, too
        time.sleep(1)


def status(project: Path) -> str:
    """What the queue says; nothing where it fails, as it does when a worker tidies up at that moment."""
    words = ["dvc", "queue", "status"]
    return subprocess.run(words, cwd=project, env=environment(), capture_output=True, text=True, check=False).stdout


def timed(project: Path, *words: str) -> float:
    start = time.perf_counter()
    run(project, *words)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
