"""A search of 12 trials by three machines that lose a worker, their database, their remote and their disk.

Three clones share nothing but a git remote, an S3 server and PostgreSQL, all on localhost. One worker is killed in the
middle of a training, both servers are stopped, and the disk of another clone is full, each until a worker says that it
waits. At the end a fourth clone fetches every experiment and compares its score with that of the study: nothing is
lost, and nothing counts twice.

It takes several minutes of two cores, more than the tests may, so that it runs by hand, as root (a small disk is
mounted), with Debian's package postgresql:

    python -m tests.scenarios.machines
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import optuna
import psutil
from moto.server import ThreadedMotoServer
from optuna.trial import FrozenTrial, TrialState

from tests.helpers.params import TOY, merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.postgresql import Server
from tests.helpers.processes import environment, free_port, run, wait_for
from tests.helpers.projects import make_project, use_own_site_cache
from tests.helpers.remotes import publish

TRIALS = 12
DISK = "1G"  # of the third machine
PATIENCE = 3000  # seconds for what the workers do between two faults
SCORES = """
import json
from tools.sweep.experiments import names, read_experiment
print(json.dumps({name: read_experiment(name).score for name in names("wide")}))
"""
BEGIN = time.monotonic()


def main() -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_DEFAULT_REGION": "us-east-1"}
    # PostgreSQL runs as a user of its own, who must be able to enter.
    with TemporaryDirectory() as path, small_disk(Path(path, "c")):
        folder = Path(path)
        folder.chmod(0o755)
        store = Store()
        (folder / "database").mkdir()
        database = Server(folder / "database")
        try:
            project = make_published(folder, store)
            workers = {name: Worker(folder / name, project, database.url) for name in "abc"}
            disturb(workers, database, store, lambda: done(database.url))
            compare(folder, project, workers, database.url)
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()}")
            raise
        finally:
            for process in psutil.Process().children(recursive=True):
                if process.name() != "postgres":
                    process.kill()
            database.stop()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for a folder."""
    folder.mkdir()
    run(folder.parent, "mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder))
    try:
        yield
    finally:
        run(folder.parent, "umount", "--lazy", str(folder))


class Store:
    """An S3 server that can be away; what it holds stays."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()
        boto3.client("s3", endpoint_url=self.url).create_bucket(Bucket="wrist")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


def make_published(folder: Path, store: Store) -> Path:
    """A project whose commit and data are on the git remote `folder/git` and in the store."""
    (folder / "project").mkdir()
    project = make_project(folder / "project", merge(read_yaml(ROOT / "params.yaml"), TOY))
    run(project, "dvc", "repro", "annotate")
    publish(project, "s3://wrist/cache", store.url)
    say("the project is published")
    return project


def clone(folder: Path, project: Path) -> Path:
    """What another machine has of the project."""
    run(project, "git", "clone", "-q", str(project.parent / "git"), str(folder))
    for key, value in (("user.name", "t"), ("user.email", "t@example.org")):
        run(folder, "git", "config", key, value)
    use_own_site_cache(folder)
    return folder


class Worker:
    """A clone on which the search runs; what it says is in `log`."""

    def __init__(self, folder: Path, project: Path, database: str) -> None:
        self.folder = clone(folder / "clone", project)
        run(self.folder, "dvc", "pull", "-q", "data/dataset", "data/raw/manifest.csv")
        self.log = project.parent / f"{folder.name}.log"
        (project.parent / f"{folder.name}-locks").mkdir()
        own = {"OPTUNA_STORAGE": database, "DEVICE_LOCK_DIR": str(project.parent / f"{folder.name}-locks")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["wrist", "sweep", "search", "wide", "--trials", str(TRIALS)],
                cwd=self.folder,
                env=environment() | own,
                stdout=log,
                stderr=log,
            )

    def trains(self) -> bool:
        with suppress(psutil.Error):  # one that ends at this moment
            below = psutil.Process(self.process.pid).children(recursive=True)
            return any("stages.train" in process.cmdline() for process in below)
        return False

    def says(self, text: str) -> bool:
        return text in self.log.read_text()


def disturb(workers: dict[str, Worker], database: Server, store: Store, count: Callable[[], int]) -> None:
    """Everything that happens to the machines until two of them are done."""
    left = [workers["a"], workers["c"]]
    wait_for(workers["b"].trains, PATIENCE)
    os.kill(workers["b"].process.pid, signal.SIGKILL)
    workers["b"].process.wait()
    say("worker b is killed while it trains")
    wait_for(lambda: count() >= 2, PATIENCE)
    database.stop()
    say("PostgreSQL is stopped")
    wait_for(lambda: any(worker.says("OPTUNA_STORAGE: the study at") for worker in left), PATIENCE)
    database.start()
    say("PostgreSQL is started")
    wait_for(lambda: count() >= 4, PATIENCE)
    store.stop()
    say("the S3 server is stopped")
    wait_for(lambda: any(worker.says("`dvc exp push origin") for worker in left), PATIENCE)
    store.start()
    say("the S3 server is started")
    wait_for(lambda: count() >= 6 and workers["c"].trains(), PATIENCE)
    disk = workers["c"].folder.parent
    filler = disk / "filler"
    run(disk, "fallocate", "--length", str(shutil.disk_usage(disk).free), str(filler))
    say("the disk of c is full")
    wait_for(lambda: workers["c"].says("no room on a disk"), PATIENCE)
    filler.unlink()
    say("the disk of c has room again")
    for name in "ac":
        assert workers[name].process.wait(PATIENCE) == 0, workers[name].log.read_text()
        say(f"worker {name} is done")


def trials(url: str, *states: TrialState) -> list[FrozenTrial]:
    return optuna.load_study(study_name="wide", storage=url).get_trials(states=states)


def done(url: str) -> int:
    return len(trials(url, TrialState.COMPLETE, TrialState.PRUNED))


def compare(folder: Path, project: Path, workers: dict[str, Worker], url: str) -> None:
    """The study against the experiments, which a clone fetches that has seen nothing of all that."""
    judged = trials(url, TrialState.COMPLETE)
    assert done(url) == TRIALS
    assert trials(url, TrialState.RUNNING, TrialState.WAITING) == []
    scores = {f"wide-{trial.user_attrs.get('first', trial.number)}": trial.value for trial in judged}
    assert len(scores) == len(judged), "an experiment counts once"
    assert len({str(trial.params) for trial in judged}) == len(judged)
    fresh = clone(folder / "fresh", project)
    published = run(fresh, "dvc", "exp", "list", "--all-commits", "--name-only", "origin").split()
    assert sorted(published) == sorted(scores)
    run(fresh, "dvc", "exp", "pull", "origin", *scores)
    assert json.loads(run(fresh, sys.executable, "-c", SCORES)) == scores
    assert f"sweep wide: {len(scores)} experiments -> reports/sweep.html" in workers["a"].log.read_text()
    say(f"{TRIALS} trials, {len(scores)} judged and {TRIALS - len(scores)} cut short: none lost, none twice")


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGIN:4.0f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
