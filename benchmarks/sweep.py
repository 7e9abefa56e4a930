"""What an experiment costs beyond its training, and how that grows with the length of the queue.

Run: PYTHONPATH=. python benchmarks/sweep.py     (20 minutes; a toy project in a temporary folder, trainings of 0.2 s)
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, TOY, environment, make_project, merge, read_yaml, run

LENGTHS = (1, 10, 100)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), merge(read_yaml(ROOT / "params.yaml"), TOY))
        for key, value in (("name", "t"), ("email", "t@example.org")):
            run(project, "git", "config", f"user.{key}", value)
        run(project, "dvc", "repro")
        run(project, "git", "add", "dvc.lock")
        run(project, "git", "commit", "-qm", "lock")
        alone(project)
        seed = 1000
        for length in LENGTHS:
            for jobs in (1, 2) if length == 10 else (2,):
                seed += length
                queue(project, f"q{length}x{jobs}", length, jobs, seed)


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


def queue(project: Path, name: str, length: int, jobs: int, start: int) -> None:
    """So many whole experiments (train, evaluate, report) by DVC's queue."""
    values = ",".join(str(round(0.0001 * (start + number), 4)) for number in range(length))
    words = ("dvc", "exp", "run", "--queue", "--name", name, "--set-param", f"train.adaptive.alpha.start={values}")
    queued = timed(project, *words)
    begun = time.perf_counter()
    subprocess.run(["dvc", "queue", "start", "--jobs", str(jobs)], cwd=project, env=environment(), check=True)
    while (ended := settled(project)) < length:
        time.sleep(2)
    wall = time.perf_counter() - begun
    each = f"queued in {queued / length:.2f} s each, run in {wall / length:.1f} s each"
    print(f"{length} experiments, {jobs} jobs: {each}, {ended} ended", flush=True)
    run(project, "dvc", "queue", "remove", "--success", "--failed")
    wait_for_workers(project)


def settled(project: Path) -> int:
    """Tasks that ended, failed ones included; those are told."""
    status = run(project, "dvc", "queue", "status")
    failed = len(re.findall(r"\bFailed\b", status))
    if failed:
        print(f"{failed} failed", flush=True)
    return failed + len(re.findall(r"\bSuccess\b", status))


def wait_for_workers(project: Path) -> None:
    """Until the workers of the last queue are gone: they would work for the next one, too."""
    while "0 active, 0 idle" not in run(project, "dvc", "queue", "status"):
        time.sleep(1)


def timed(project: Path, *words: str) -> float:
    start = time.perf_counter()
    run(project, *words)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
