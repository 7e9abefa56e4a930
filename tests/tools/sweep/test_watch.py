"""A trial that is worse than the others were is cut short, by what MLflow holds of it."""

from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from mlflow.entities import Metric
from optuna.trial import TrialState

from stages.common.model.tracking import training_run
from stages.train.params import Params
from tools.sweep.search import Search, TrainingFailed, Watch, done

pytestmark = pytest.mark.slow


def study_of(values: list[list[float]]) -> optuna.Study:
    """Finished trials with these validation Dice after each epoch."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(2, 2))
    for curve in values:
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
        study.tell(trial, curve[-1])
    return study


def test_a_trial_below_the_median_is_cut_after_the_warm_up(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of([[0.1, 0.4, 0.6], [0.1, 0.5, 0.7], [0.1, 0.3, 0.5]])
    trial = study.ask()
    watch = Watch("wide-3", trial)
    assert not watch()  # its training has not begun
    monkeypatch.setenv("DVC_EXP_NAME", "wide-3")
    with training_run("adaptive-1-1", {"training": "t"}) as run:
        run.log({"epoch": 1, "validation_dice": 0.01})
        assert not watch()  # too early to say
        run.log({"epoch": 2, "validation_dice": 0.35})
        assert watch()
        assert watch.cut
    assert study.trials[-1].intermediate_values == {1: 0.01, 2: 0.35}


def test_a_search_cuts_from_the_sixth_trial_on_and_after_a_third_of_the_epochs(here: Path) -> None:
    settings = Params.model_validate({"adaptive": "linear", "loop": {"epochs": 9}})
    study = Search("wide", settings, [1], [], [], print).open()

    def looks(value: float, epochs: int) -> list[bool]:
        """Whether a trial with this validation Dice would be cut after each epoch; it ends well."""
        trial, found = study.ask(), []
        for epoch in range(1, epochs + 1):
            trial.report(value, epoch)
            found.append(trial.should_prune())
        study.tell(trial, value)
        return found

    for value in (0.9, 0.9, 0.9, 0.9, 0.1):
        assert not any(looks(value, 9))
    assert looks(0.1, 4) == [False, False, False, True]


def test_a_trial_as_good_as_the_others_goes_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of([[0.1, 0.4, 0.6], [0.1, 0.5, 0.7], [0.1, 0.3, 0.5]])
    watch = Watch("wide-3", study.ask())
    monkeypatch.setenv("DVC_EXP_NAME", "wide-3")
    with training_run("adaptive-1-1", {"training": "t"}) as run:
        for epoch, value in enumerate((0.1, 0.45, 0.61), start=1):
            run.log({"epoch": epoch, "validation_dice": value})
    assert not watch()
    assert not watch.cut


def test_a_trial_that_was_given_to_another_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine was away from the study for longer than a trial may give no sign of life."""
    study = study_of([])
    trial = study.ask()
    watch = Watch("wide-0", trial)
    monkeypatch.setattr(Watch, "values", lambda self: [Metric("validation_dice", 0.5, 0, 1)])
    study.tell(trial, state=TrialState.FAIL)
    assert not watch()
    search = Search("wide", Params.model_validate({"adaptive": "linear"}), [1], [], [], print)
    assert search.record_failure(trial, TrainingFailed("no")) == "failed"


@pytest.mark.parametrize(("attributes", "cut"), [({}, False), ({"first": 3}, True)])
def test_a_trial_that_takes_another_one_up_is_watched_in_its_run(
    attributes: dict[str, int], cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store holds a run of this name: that of a removed experiment, or that which is resumed."""
    run = SimpleNamespace(info=SimpleNamespace(run_id="r"), data=SimpleNamespace(tags={"training": "t"}))
    values = [Metric("validation_dice", 0.01, 0, step) for step in (1, 2)]
    client = SimpleNamespace(search_runs=lambda *args, **kwargs: [run], get_metric_history=lambda *args: values)
    monkeypatch.setattr("tools.sweep.search.open_client", lambda: (client, "0"))
    study = study_of([[0.1, 0.4, 0.6], [0.1, 0.5, 0.7], [0.1, 0.3, 0.5]])
    study.enqueue_trial({}, attributes)
    assert Watch("wide-3", study.ask())() == cut


def test_a_trial_that_another_machine_took_up_is_watched_in_the_newest_run_of_its_first_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [
        SimpleNamespace(info=SimpleNamespace(run_id=name), data=SimpleNamespace(tags={"training": training}))
        for name, training in (("dead", "seed 1"), ("alive", "seed 1"), ("other", "seed 2"))
    ]
    client = SimpleNamespace(search_runs=lambda *args, **kwargs: runs, get_metric_history=lambda run, metric: [run])
    monkeypatch.setattr("tools.sweep.search.open_client", lambda: (client, "0"))
    study = study_of([])
    study.enqueue_trial({}, {"first": 3})
    assert Watch("wide-3", study.ask()).values() == ["alive"]


def test_a_store_that_cannot_be_read_cuts_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/at/all.db")
    assert not Watch("wide-0", study_of([]).ask())()


def test_what_was_stopped_comes_first_then_what_is_known_then_optuna(here: Path) -> None:
    search = Search("wide", Params.model_validate({"adaptive": "linear"}), [1], [], [], print)
    study = optuna.create_study(direction="maximize")
    known = search.unfinished(study)
    assert [tuple(params.values()) for params, _ in known] == [(0.3, 0.7), (0.7, 0.3), (0.5, 0.5)]
    study.enqueue_trial({"share at the start": 0.2, "share at the end": 0.9})
    trial = study.ask()
    for name in known[0][0]:
        trial.suggest_float(name, 0, 1, step=0.01)
    study.tell(trial, state=TrialState.FAIL)
    study.enqueue_trial(known[0][0])
    trial = study.ask()
    for name in known[0][0]:
        trial.suggest_float(name, 0, 1, step=0.01)
    study.tell(trial, 0.5)
    assert len(done(study)) == 1
    assert [(tuple(params.values()), first) for params, first in search.unfinished(study)] == [
        *(((0.2, 0.9), 0), ((0.7, 0.3), None), ((0.5, 0.5), None))
    ]
