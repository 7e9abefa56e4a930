"""The study of a search: Optuna's record of its trials, which several processes and machines share.

OPTUNA_STORAGE names a database by URL, such as postgresql://user@host/studies; without it the study lies in optuna.db
at the root, for the processes of one machine. A trial that runs gives a sign of life every few seconds. One that gives
none for longer belonged to a process or a machine that died, and is free to be run again.
"""

import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from stages.common.core.errors import UserError
from stages.common.model.tracking import describe, root
from tools.sweep.patience import Away, patiently
from tools.sweep.room import says_full

optuna.logging.set_verbosity(optuna.logging.ERROR)
# Signs of life are an experimental feature of Optuna's, which expects to give them itself.
warnings.filterwarnings("ignore", category=ExperimentalWarning)
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")

STORAGE = "OPTUNA_STORAGE"
INTERVAL = 10  # seconds between two signs of life of a trial
GRACE = 60  # seconds without one, after which its process is taken for dead
PAUSE = 2.0  # seconds between two attempts to reach it
DONE = (TrialState.COMPLETE, TrialState.PRUNED)  # judged, or cut short
LAG = timedelta(seconds=5)  # between the start of a trial and its first sign of life, at most
ERRORS = (DBAPIError, StorageInternalError)  # that a database or the way to it raises
Result = TypeVar("Result")


def storage_url() -> str:
    """The database of the studies: OPTUNA_STORAGE, else optuna.db at the root."""
    return os.environ.get(STORAGE) or f"sqlite:///{root() / 'optuna.db'}"


def shown_storage() -> str:
    """The database of the studies without user, password and options, some of which can hold a password, too."""
    try:
        url = make_url(storage_url())
    except (ArgumentError, ValueError):  # no URL: its first word tells what was meant, and no more is safe to print
        return re.split(r"\W", storage_url())[0]
    bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
    return re.sub(r"(?<=://).*(@|%40)", "", bare) if url.host else bare  # where a password has an @


def is_shared() -> bool:
    """Whether several machines may search together, so that no file of one holds what all need."""
    return bool(os.environ.get(STORAGE))


def storage_error(error: Exception) -> UserError:
    """What a user reads when the study cannot be read or written; the cause is a database's own sentence."""
    reason = describe(Exception(str(error.__cause__ or error).splitlines()[0]))
    if is_shared():
        return UserError(
            f"{STORAGE}: the study at {shown_storage()} cannot be used: {reason}; start or correct the server, "
            "and rerun the command: finished trials stay"
        )
    return UserError(
        f"optuna.db: the study cannot be written: {reason}; free some space or end the other writer, and rerun the "
        "command: finished trials stay"
    )


def open_study(name: str, warm_up: int, startup: int) -> optuna.Study:
    """The study of this name, which the first call makes.

    Args:
        name: of the sweep.
        warm_up: epochs before a trial may be cut short.
        startup: trials before one may be cut short.
    Raises:
        UserError: the database cannot be used.
    """
    pruner = optuna.pruners.MedianPruner(startup, warm_up)
    try:
        return optuna.create_study(
            storage=connect(),
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            pruner=pruner,
            # Without a seed: processes that start together must not draw the same, nor a call what an earlier one drew.
            sampler=optuna.samplers.TPESampler(),
        )
    except ERRORS as error:
        raise storage_error(error) from None


def connect() -> BaseStorage:
    """The database of the studies, whose tables the first process makes.

    Raises:
        UserError: no such database can be opened from here.
    """
    options = {"pool_pre_ping": True} if is_shared() else {}  # a server that was restarted leaves dead connections
    for pause in (1, 2, 0):
        try:
            return RDBStorage(storage_url(), options, heartbeat_interval=INTERVAL, grace_period=GRACE)
        except (ArgumentError, ImportError, ValueError) as error:
            # Of a port that is no number it quotes what may be a password.
            reason = "" if isinstance(error, ValueError) else f" ({describe(Exception(error.__cause__ or error))})"
            raise UserError(
                f"{STORAGE}: expected the URL of a database, such as postgresql://user@host/studies, found "
                f"{shown_storage()}{reason}"
            ) from None
        except (IntegrityError, ProgrammingError, OperationalError) as error:
            # Processes that start together make the same tables: all but the first one fail, and find them then.
            if not pause:
                raise storage_error(error) from None
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def give_first_sign(study: optuna.Study, trial: Trial) -> None:
    """Give the first sign of life of a trial, and its holder's name, on which `release_dead` relies.

    Until then only the clocks of two machines tell how old a trial is, and they can differ by hours.
    """
    study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    trial.set_user_attr("holder", f"process {os.getpid()} on {socket.gethostname()}")


@contextmanager
def leased(study: optuna.Study, trial: Trial) -> Iterator[None]:
    """Give signs of life of a trial while the block runs, also after the database was away."""
    storage, number, ended = study._storage, trial._trial_id, Event()

    def sign() -> None:
        while not ended.wait(INTERVAL):
            with suppress(*ERRORS, UpdateFinishedTrialError):
                storage.record_heartbeat(number)  # type: ignore[attr-defined]

    thread = Thread(target=sign, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def release_dead(study: optuna.Study) -> None:
    """Let trials fail whose process or machine died; the search takes them up again."""
    optuna.storages.fail_stale_trials(study)
    # A process that died before its first sign of life is unknown to Optuna.
    early = datetime.now() - timedelta(seconds=GRACE) - LAG
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if "holder" not in trial.user_attrs and trial.datetime_start and trial.datetime_start < early:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def planned(trial: FrozenTrial) -> dict[str, Any]:
    """The params of a trial, also of one that was asked for and has not begun."""
    return trial.system_attrs.get("fixed_params") or trial.params


def when_study_answers(call: Callable[[], Result], stop: Callable[[], bool]) -> Result:
    """What a call returns that uses the study; while its server is away, or the disk is full, it is tried again.

    Args:
        call: which may be repeated.
        stop: asked before each further attempt.
    Raises:
        UserError: the database is a file that another process writes, or it stays away.
    """

    def attempt() -> Result:
        try:
            return call()
        except ERRORS as error:
            failure = storage_error(error)
            if not is_shared() and not says_full(str(error)):
                raise failure from None
            raise Away(str(failure), failure) from None

    return patiently(attempt, stop, PAUSE)
