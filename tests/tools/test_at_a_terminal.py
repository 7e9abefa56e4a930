"""What a person at a terminal hears from `wrist` while a network, a store or a folder of thousands takes its time."""

import io
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from stages.common.core.busy import CLEAR, busy
from stages.common.core.signals import stop_request
from stages.common.model.architecture import Pyramid
from stages.train.params import Fixed, Params
from tests.helpers.paths import ROOT
from tests.helpers.stub_model import stub_model
from tests.helpers.terminal import Terminal, speak_at_once
from tools.audit.actions import trace_thing, verify_project
from tools.doctor.checks import check_environment
from tools.fetch.weights import download
from tools.mlflow_store.register import register
from tools.mlflow_store.send import send
from tools.mlflow_store.summarise import summarise
from tools.predict.batch import predict_films
from tools.predict.films import FoundFilms
from tools.predict.index import write_pages
from tools.sweep.clone import Job
from tools.sweep.execution import run_here
from tools.sweep.experiments import best_weights
from tools.sweep.matrix import changed
from tools.sweep.patience import say
from tools.sweep.queue import requeue_lost
from tools.sweep.runner import fetch_members, run_search, write_page
from tools.sweep.search import Search

SILENCE = 5.0  # seconds


class Heard(BaseException):
    """Ends a command once it has said what it does; no error of a library, which commands explain."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_at_once(monkeypatch)


def heard(screen: Terminal, words: str) -> bool:
    """Whether a person hears these words before the silence has become too long."""
    end = time.monotonic() + SILENCE
    while words not in screen.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    return words in screen.getvalue()


def nothing(*_: Any, **__: Any) -> Any:
    """Stands for what is not looked at here."""


def nothing_twice(*_: Any) -> tuple[None, None]:
    return None, None


def no_films(*_: Any) -> FoundFilms:
    return FoundFilms([], [], Counter())


def predict() -> int:
    return predict_films(["films"], "stub", Path("out"), ["json"])


def pages() -> None:
    write_pages(Path("out"), {}, "uncertainty", ["json"])


def sweep_page() -> int:
    for file in (Path("data/raw/manifest.csv"), Path("data/dataset/split.csv")):
        file.parent.mkdir(parents=True)
        file.touch()
    return write_page("grid", Fixed(method="fixed", alpha=0.5))


def experiments() -> list[str]:
    with stop_request() as stop:
        return run_here([Job("grid-1", [], [], "grid")], 1, stop)


def trials() -> optuna.Study:
    return Search("search", Params.model_validate({"adaptive": "linear"}), [1], [], [], say).run(1, 1)


MODEL = {"tools.predict.batch.open_model": lambda *_, **__: stub_model()}
SWEEP = {
    "tools.sweep.runner.read_sweep": lambda *_: [],
    "tools.sweep.runner.refuse_mixed": nothing,
    "tools.mlflow_store.summarise.summarise": nothing,
}
KNOWN = {"tools.sweep.runner.refuse_unknown_code": nothing, "tools.sweep.runner.overridden": lambda *_: PARAMS}
IN_MEMORY = {
    "tools.sweep.search.open_study": lambda *_: optuna.create_study(direction="maximize"),
    "tools.sweep.search.give_first_sign": nothing,
    "tools.sweep.search.Watch": nothing,
}
TRACED = {
    "tools.audit.trace.Project": lambda root: SimpleNamespace(doubts=[], lacking_history=[]),
    "tools.audit.trace.trace": nothing_twice,
    "tools.audit.render.text": nothing,
    "tools.audit.verify.verify": nothing,
}
PARAMS = {"train": {"adaptive": {"method": "fixed", "alpha": 0.5}}}
TU = Pyramid(encoder="tu-mobilenetv3_small_050", weights="imagenet", channels=[16, 8, 8])
# What is said, what takes its time, the command's work, and what else is replaced.
CASES: dict[str, tuple[str, Callable[[], Any], dict[str, Any]]] = {
    "fetch: brings the weights of tu-mobilenetv3_small_050": (
        "tools.fetch.weights.seeded", lambda: download(TU), {}),
    "send-run: copies the run": ("tools.mlflow_store.send.open_client", lambda: send("a"), {}),
    "register: asks MLflow's registry": (
        "tools.mlflow_store.register.open_client", lambda: register("0", "a", "champion"), {}),
    "doctor: checks packages": ("tools.doctor.checks.packages", lambda: check_environment(False), {}),
    "sweep: reads its experiments": ("tools.sweep.experiments.names", lambda: best_weights("grid"), {}),
    "sweep: compares data and code": ("tools.sweep.runner.refuse_mixed", sweep_page, SWEEP),
    "sweep: writes its summary into MLflow": (
        "tools.mlflow_store.summarise.open_client", lambda: summarise("grid", {"grid-1": 0.5}), {}),
    "sweep: draws intervals and its page": ("tools.sweep.page.render", sweep_page, SWEEP),
    "sweep: compares with what is there": (
        "tools.sweep.runner.refuse_another", lambda: run_search("search", [], [], 1, 1), KNOWN),
    "sweep: brings experiments of other machines": (
        "tools.sweep.exchange.when_remote_answers", lambda: fetch_members("grid", lambda: False), {}),
    "sweep: experiments run": ("tools.sweep.execution.run_experiment", experiments, {}),
    "sweep: trials run": ("tools.sweep.search.run_experiment", trials, IN_MEMORY),
    "sweep: looks through DVC's queue": ("tools.sweep.queue.Repo", requeue_lost, {}),
    "repro: asks DVC which trainings are left": ("tools.sweep.matrix.run_dvc", lambda: changed([]), {}),
    "predict: looks for films": ("tools.predict.batch.find_films", predict, MODEL),
    "predict: looks at what is in the output": (
        "tools.predict.batch.refuse_files", predict, MODEL | {"tools.predict.batch.find_films": no_films}),
    "predict: reads all predictions": ("tools.predict.index.predicted_below", pages, {}),
    "predict: writes the table, the page and annotations": ("tools.predict.index.summary_table", pages, {}),
    "trace: looks through all versions": (
        "tools.audit.patient_files.film_files", lambda: trace_thing("a", "text", True), TRACED),
    "verify: compares files with the signed document": (
        "tools.audit.signing.check_evidence", lambda: verify_project(False, "", "text", Path("e"), Path("k")), TRACED),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_a_person_hears_what_takes_its_time(words: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, call, others = CASES[words]

    def takes_its_time(*_: Any, **__: Any) -> None:
        heard(screen, words)
        raise Heard

    (here / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for name, value in others.items():
        monkeypatch.setattr(name, value)
    monkeypatch.setattr(slow, takes_its_time)
    monkeypatch.setattr(sys, "stderr", screen := Terminal())  # not in a fixture, whose stream pytest replaces
    with pytest.raises(Heard):
        call()
    assert f"{CLEAR}{words} ... " in screen.getvalue()
    assert screen.getvalue().endswith(CLEAR)


def test_what_a_sweep_says_stands_alone_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with busy("sweep: experiments run"):
        assert heard(screen, "run ...")
        say("grid-1: is pushed")
    assert f"{CLEAR}sweep: grid-1: is pushed\n" in screen.getvalue()
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    say("grid-1: is pushed")
    assert log.getvalue() == "sweep: grid-1: is pushed\n"
