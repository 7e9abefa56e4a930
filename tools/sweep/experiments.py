"""DVC experiments: run one in its own temporary copy of the workspace, and read what finished ones hold."""

import ctypes
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from dvc.api import DVCFileSystem
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages import section_model
from stages.common.core.arithmetic import TORCH
from stages.common.core.busy import busy
from stages.common.core.errors import UserError, error_list
from stages.common.core.parallel import SCHEDULER
from stages.common.core.params import section_errors
from stages.common.core.signals import PR_SET_PDEATHSIG
from stages.common.data.layout import EVALUATION, MODELS, PARAMS, WEIGHTS
from stages.common.data.run_id import Run
from stages.common.data.tables import HISTORY, PER_IMAGE, VALIDATION_SCORES, Row, Table
from stages.evaluate.params import Params as Evaluate
from stages.train.params import Method, read_weights
from stages.train.params import Params as Train
from tools.audit.dvc_lock import LOCK, Lock
from tools.sweep.arms import ARMS
from tools.sweep.patience import Failed, NotFetched, say
from tools.sweep.room import shortage, with_room
from tools.sweep.schedule import declared_shares

PAUSE = 2.0  # seconds between two looks at a running experiment
LINES = 8  # of a failed experiment's output that are shown
LOGS = Path(".dvc/tmp/sweep")  # what each experiment printed
LOG = 100_000  # bytes of an experiment's output, for which room is taken in advance
FALLOC_FL_KEEP_SIZE = 1  # of Linux
RUNS, LACKS = "Running stage", "error.dvc.org/missing-files"  # DVC of a stage; of a remote that answers and lacks files
# DVC, by the Python of argv[1]. It ends when this process is killed: the experiment would go on, and nobody would
# collect its result.
DVC = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGTERM)})
os.execv(sys.argv[1], [sys.argv[1], "-m", "dvc", *sys.argv[2:]])
"""


@dataclass(frozen=True)
class Experiment:
    """What an experiment made: its params, and of each run of the adaptive variant the tables by film and by epoch.

    validation: columns image_id, f1, seed, fold (network of the epoch that is kept, threshold 0.5). history: of each
    run, as history.csv. test: per_image.csv with seed and fold, or None where nothing was tested. lock: its dvc.lock.
    """

    name: str
    params: dict[str, Any]
    lock: Lock
    validation: pd.DataFrame
    history: list[pd.DataFrame]
    test: pd.DataFrame | None

    @property
    def score(self) -> float:
        """Mean validation Dice over films and runs."""
        return float(self.validation["f1"].mean())

    @property
    def shares(self) -> tuple[float, float]:
        """alpha / (alpha + beta) in the first and the last epoch, mean over runs."""
        first, last = zip(*(table["ratio"].iloc[[0, -1]] for table in self.history), strict=True)
        return sum(first) / len(first), sum(last) / len(last)

    @property
    def declared(self) -> tuple[float, float] | None:
        """The shares that its params ask for, where they do."""
        return declared_shares(self.adaptive)

    @property
    def adaptive(self) -> Method:
        return read_weights(self.params["train"]["adaptive"])


def targets(stage: str, seeds: list[int], folds: list[int]) -> list[str]:
    """The stages of the adaptive variant for every seed and fold: a sweep over its weights needs no other."""
    return [f"{stage}@{Run('adaptive', *pair)}" for pair in product(seeds, folds)]


def trained_params(params: dict[str, Any]) -> tuple[Train, list[int]]:
    """The section `train`, and the folds."""
    return Train.model_validate(params["train"]), Evaluate.model_validate(params["evaluate"]).folds


def run_experiment(
    name: str,
    overrides: Sequence[str],
    stages: list[str],
    sweep: str,
    look: Callable[[], bool] = lambda: False,
    folder: Path = Path(),
    *,
    allow_missing: bool = False,
) -> None:
    """Run stages under changed params as the experiment `name`; it appears in MLflow below the parent run `sweep`.

    While a disk is full, it waits.

    Args:
        overrides: of params.yaml, in Hydra's grammar.
        look: called every other second; True ends the experiment without a result.
        folder: a clone of the project, which fetches the data that it lacks from DVC's default remote.
        allow_missing: what these stages read is at hand, and what the stages before them read may not be. Otherwise
            those run again where an output of theirs is missing.
    Raises:
        NotFetched: the data of a clone did not come.
        Failed: the experiment ended without a result; what it said last is in the message.
    """
    with_room(name, lambda: run_once(name, overrides, stages, sweep, look, folder, allow_missing), look, folder)


def run_once(
    name: str,
    overrides: Sequence[str],
    stages: list[str],
    sweep: str,
    look: Callable[[], bool],
    folder: Path,
    allow_missing: bool,
) -> None:
    """As `run_experiment`, which fails at once on a full disk."""
    # Without --wait-for-lock DVC gives up after three seconds: two experiments that start together could fail.
    words = [sys.executable, "-c", DVC, sys.executable, "--wait-for-lock", "exp", "run", "--temp", "--name", name]
    words += ["--pull"] if folder != Path() else []  # which fails where the remote is away
    words += ["--allow-missing"] if allow_missing else []
    for override in overrides:
        words += ["--set-param", override]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # Each stage chooses its own instructions: a training may ask for others than this process.
    inherited = {variable: value for variable, value in os.environ.items() if TORCH.get(variable) != value}
    if folder != Path():  # the experiments in clones occupy the cluster's workers, and their data stages would wait
        inherited.pop(SCHEDULER, None)
    environment = inherited | {"SWEEP": sweep, "PYTHONUNBUFFERED": "1", "PATH": path}
    log = folder / LOGS / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    said = False

    def say_what_it_waits_for() -> None:
        """Once: DVC can wait for room by itself, and says nothing."""
        nonlocal said
        if not said and (lack := shortage(folder)):
            say(f"{name}: {lack}")
            said = True

    with log.open("w") as file:
        reserve(file.fileno())
        command = [*words, *stages]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        code = end_of(process, look, say_what_it_waits_for)
    if code:
        text = log.read_text()
        kind = NotFetched if folder != Path() and not any(words in text for words in (RUNS, LACKS)) else Failed
        raise kind(f"{name} ended with {code}; the end of {log}:\n" + "\n".join(text.splitlines()[-LINES:]))


def reserve(file: int) -> None:
    """Take room for a log whose size stays as it is: on a disk that fills up it has to say why the experiment failed.

    Where the file system cannot do that, nothing happens.
    """
    ctypes.CDLL(None).fallocate(file, FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(LOG))


def end_of(
    process: subprocess.Popen[bytes], look: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
) -> int:
    """The exit code of DVC, whose end is waited for, also after a stop: a stage may write its checkpoint.

    Args:
        process: DVC's.
        look: whether its stages shall end.
        meanwhile: called between two looks as long as they shall not.
    """
    asked: set[psutil.Process] = set()
    while True:
        try:
            return process.wait(PAUSE)
        except subprocess.TimeoutExpired:
            if look():
                stop(process, asked)
            else:
                meanwhile()


def stop(process: subprocess.Popen[bytes], asked: set[psutil.Process]) -> None:
    """Ask an experiment's training to end: it leaves a checkpoint, and DVC tidies up after a stage that failed.

    DVC itself killed would leave its temporary folder behind.

    Args:
        process: DVC's, which runs the experiment.
        asked: processes that were asked before, to which this call adds; a second signal would end them without a
            checkpoint.
    """
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        running = [child for child in below if "stages.train" in child.cmdline()]
        for child in set(running or below) - asked:
            asked.add(child)
            child.send_signal(signal.SIGTERM)
    except psutil.NoSuchProcess:
        pass


def names(sweep: str) -> list[str]:
    """The experiments of any commit that belong to a sweep."""
    with Repo(_wait_for_lock=True) as repo:
        return members(sweep, [name for rows in repo.experiments.ls(all_commits=True).values() for name, _ in rows])


def members(sweep: str, experiments: Iterable[str]) -> list[str]:
    """Of some experiments those that belong to a sweep: SWEEP-number or SWEEP-arm.

    Those of `grid-fine`, such as grid-fine-1, do not belong to `grid`.
    """
    own = re.compile(rf"{re.escape(sweep)}-(\d+|{'|'.join(map(re.escape, ARMS))})")
    return sorted({name for name in experiments if own.fullmatch(name)}, key=natural)


def natural(name: str) -> tuple[str, int]:
    """Experiment 10 after experiment 9."""
    head, _, tail = name.rpartition("-")
    return (head, int(tail)) if tail.isdecimal() else (name, -1)


def read_params(name: str) -> dict[str, Any]:
    """The params of an experiment."""
    params: dict[str, Any] = YAML(typ="safe").load(DVCFileSystem(rev=name).read_text(str(PARAMS)))
    return params


def read_lock(name: str) -> Lock:
    """The dvc.lock of an experiment."""
    return Lock(DVCFileSystem(rev=name).read_text(LOCK))


def how_to_remove(name: str) -> str:
    """The commands that take an experiment out of a sweep, for good."""
    return f"`dvc exp remove {name}`, and `dvc exp remove --git-remote origin {name}` where it was pushed"


def read_experiment(name: str) -> Experiment:
    """What an experiment holds, from git and DVC's cache; the workspace stays as it is.

    Raises:
        UserError: it holds no training of the adaptive variant, or another version of the project made it.
    """
    files = DVCFileSystem(rev=name)
    params = read_params(name)
    if errors := section_errors("train", section_model("train"), params["train"]):
        raise error_list(f"experiment {name}: another version made it; leave it out ({how_to_remove(name)})", errors)
    lock = read_lock(name)
    runs = [Run("adaptive", *pair) for pair in product(params["train"]["seeds"], params["evaluate"]["folds"])]
    validation, history, test = [], [], []
    for run in runs:
        of_run = {"seed": run.seed, "fold": run.fold}
        model, scores = MODELS / run.folder, EVALUATION / run.folder
        try:
            validation.append(read_csv(files, model, VALIDATION_SCORES).assign(**of_run))
            history.append(read_csv(files, model, HISTORY))
            if is_tested(lock, run):
                test.append(read_csv(files, scores, PER_IMAGE).assign(**of_run))
        except FileNotFoundError:
            raise UserError(
                f"experiment {name}: expected {model}, found none in git and DVC's cache; fetch it (`dvc exp pull`, "
                f"`dvc pull`) or leave it out ({how_to_remove(name)})"
            ) from None
        except UserError as error:
            raise UserError(f"experiment {name}, {model}: {error}") from None
    tested = pd.concat(test, ignore_index=True) if len(test) == len(runs) else None
    return Experiment(name, params, lock, pd.concat(validation, ignore_index=True), history, tested)


def best_weights(sweep: str) -> tuple[str, str]:
    """The SHA-256 of the weights with the best validation Dice in a sweep, and which experiment and run they are of.

    Raises:
        UserError: there is no such sweep, or its files are not at hand.
    """
    experiments = read_sweep(sweep)
    best = max(experiments, key=lambda item: item.score)
    scores = best.validation.groupby(["seed", "fold"])["f1"].mean()
    best_first = scores.sort_values(ascending=False).index.to_list()
    run = Run("adaptive", *best_first[0])
    weights = str(MODELS / run.folder / WEIGHTS)
    with busy("sweep: reads the best weights"), DVCFileSystem(rev=best.name).open(weights, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), f"{best.name} {run}"


@busy("sweep: reads its experiments")
def read_sweep(sweep: str) -> list[Experiment]:
    """All experiments of a sweep.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    experiments = [read_experiment(name) for name in names(sweep)]
    if not experiments:
        raise UserError(
            f"{sweep}: expected experiments named {sweep}-number or {sweep}-arm, found none; see `dvc exp list "
            "--all-commits`"
        )
    return experiments


def is_tested(lock: Lock, run: Run) -> bool:
    """Whether what dvc.lock holds of the test films is of this very model, and not of an earlier one."""
    trained, evaluated = (lock.stages.get(f"{stage}@{run}") for stage in ("train", "evaluate"))
    if trained is None or evaluated is None:
        return False
    model = (MODELS / run.folder).as_posix()
    return trained.outs[model] == evaluated.deps[model]


def read_csv(files: DVCFileSystem, folder: Path, table: Table[Row]) -> pd.DataFrame:
    """A table of an experiment."""
    with files.open(str(folder / table.name)) as file:
        return table.parse(file)
