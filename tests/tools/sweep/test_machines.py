"""A search by several machines: one study in PostgreSQL, processes and a server that die."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest
from optuna.trial import TrialState

from stages.common.core.errors import UserError
from stages.train.params import Params
from tests.helpers.paths import ROOT
from tests.helpers.postgresql import Server
from tests.helpers.processes import environment, free_port, wait_for
from tools.sweep import study
from tools.sweep.search import Search

TRIALS = 12
WORKERS = """
import json, os, sys, time
from pathlib import Path
from tempfile import TemporaryDirectory
from tools.sweep import search, study
from stages.train.params import Params

study.INTERVAL, study.GRACE, study.LAG, study.PAUSE, search.PAUSE = 1, 3, study.timedelta(0), 0.1, 0.1
remote = Path(sys.argv[1])

class Result:
    def __init__(self, name):
        self.score = json.loads((remote / name).read_text())["score"]

def train(name, overrides, stages, sweep, look, *, allow_missing):
    with (remote / "log").open("a") as log:
        log.write(f"{os.getpid()} {name}\\n")
    assert allow_missing, "a machine has what a search reads, and not what the stages before read"
    time.sleep(0.4)
    look()
    (remote / name).write_text(json.dumps({"score": len(overrides[-1]) / 1000, "overrides": overrides}))

search.run_experiment, search.read_experiment = train, Result
search.names = lambda sweep: [path.name for path in remote.glob("wide-*")]
search.push = search.pull = lambda *words: None
settings = Params.model_validate({"adaptive": "linear", "loop": {"epochs": 9}})
for _ in range(3):
    if os.fork() == 0:
        search.Search("wide", settings, [1], [], [], print).run(12, 1)
        sys.exit(0)
for _ in range(3):
    print("ended with", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not below pytest's own folder, which only the user of the tests may enter.
    with TemporaryDirectory() as folder:
        running = Server(Path(folder))
        yield running
        running.stop()


@pytest.mark.slow
def test_three_workers_lose_and_double_nothing_when_one_is_killed_and_the_server_restarts(
    server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()

    def lines() -> list[list[str]]:
        return [line.split() for line in log.read_text().splitlines()]

    words = [sys.executable, "-c", WORKERS, str(tmp_path)]
    own = environment() | {"OPTUNA_STORAGE": server.url, "PYTHONUNBUFFERED": "1"}
    workers = subprocess.Popen(words, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: len({pid for pid, _ in lines()}) == 3)
    killed, lost = lines()[-1]
    os.kill(int(killed), signal.SIGKILL)  # in the middle of a trial
    wait_for(lambda: len(lines()) >= 6)
    server.stop()
    server.start()
    said = workers.communicate()[0]
    assert said.count("ended with 0") == 2, said
    assert said.count("ended with -9") == 1, said
    whole = optuna.load_study(study_name="wide", storage=server.url)
    done = whole.get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == TRIALS
    assert not whole.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    names = Counter(f"wide-{trial.user_attrs.get('first', trial.number)}" for trial in done)
    assert set(names.values()) == {1}, "an experiment counts once"
    assert set(names) == {path.name for path in tmp_path.glob("wide-*")}
    runs = Counter(name for _, name in lines())
    assert sum(runs.values()) - len(runs) <= 1, "only the killed trial is trained again"
    assert lost in names
    for trial in done:
        name = f"wide-{trial.user_attrs.get('first', trial.number)}"
        assert trial.value == json.loads((tmp_path / name).read_text())["score"]


def search(name: str, **definition: object) -> Search:
    settings = Params.model_validate({"adaptive": "linear", "loop": {"epochs": 9}})
    return Search(name, settings, [1], [], [], print, definition=dict(definition))


def test_a_machine_with_other_params_or_data_does_not_join(
    server: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", server.url)
    search("own", seeds=[1]).open()
    search("own", seeds=[1]).open()
    with pytest.raises(UserError, match=r"own: .*the search in postgresql://127.*seeds is \[2\] here and \[1\] there"):
        search("own", seeds=[2]).open()


def test_processes_that_ask_at_the_same_time_get_no_trial_twice_and_none_too_many(
    server: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes have looked before either asks."""
    monkeypatch.setenv("OPTUNA_STORAGE", server.url)
    one, other = search("both"), search("both")
    first, second = one.open(), other.open()
    for params, _ in one.unfinished(first)[:1]:
        first.enqueue_trial(params)
        second.enqueue_trial(params)
    trials = [first.ask(), second.ask()]
    assert [one.is_surplus(first, trial, 2) for trial in trials] == [False, True]
    assert one.is_surplus(first, first.ask(), 2)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://somebody:secret@127.0.0.1:{port}/studies", "cannot be used: .*refused"),
        ("nothing", "expected the URL of a database, such as postgresql://user@host/studies, found nothing"),
        ("nothing://host/studies", "expected the URL of a database, .*nothing"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence_without_a_password(
    url: str, message: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", url.format(port=free_port()))
    monkeypatch.setattr(study.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match=f"OPTUNA_STORAGE: .*{message}") as error:
        search("own").open()
    assert "secret" not in str(error.value)


def test_a_process_that_died_before_its_first_sign_of_life_holds_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", server.url)
    opened = search("early").open()
    lost, held = opened.ask(), opened.ask()
    monkeypatch.setattr(study, "GRACE", -study.LAG.total_seconds() - 1)  # both have begun long ago
    held.set_user_attr("holder", "another")
    study.release_dead(opened)
    assert [trial.state for trial in opened.trials] == [TrialState.FAIL, TrialState.RUNNING]
    assert (lost.number, held.number) == (0, 1)
