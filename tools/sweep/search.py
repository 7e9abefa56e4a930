"""Search: Optuna proposes weights, a DVC experiment tries them, validation Dice judges. The test films stay unseen."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import optuna
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.model.tracking import open_client
from stages.train.params import Method, Params
from tools.sweep.definition import refuse_differences
from tools.sweep.exchange import pull, push
from tools.sweep.experiments import names, read_experiment, run_experiment, targets
from tools.sweep.overrides import replace_adaptive
from tools.sweep.patience import Failed
from tools.sweep.ranges import Range
from tools.sweep.room import NoRoom, with_room
from tools.sweep.schedule import known_shares, linear
from tools.sweep.study import (
    DONE,
    ERRORS,
    PAUSE,
    give_first_sign,
    is_shared,
    leased,
    open_study,
    planned,
    release_dead,
    shown_storage,
    when_study_answers,
)

STEP = 0.01  # of a share; finer is below what trainings can tell apart
STARTUP = 5  # trials before one may be cut short
WARMUP = 1 / 3  # of the epochs before a trial may be cut short
ENOUGH = 3  # failures in a row: the next would fail, too
START, END = "share at the start", "share at the end"  # alpha / (alpha + beta)


class TrainingFailed(Failed):
    """A trial's training ended without a result, and would so again."""


@dataclass
class Search:
    """A study and how its trials are run.

    train, folds: of params.yaml under the overrides that all trials have. ranges: what is searched; none are the shares
    of Dice at the start and the end of the linear schedule. fixed: those overrides. definition: what every process that
    joins the study must have in common with it.
    """

    name: str
    train: Params
    folds: list[int]
    ranges: Sequence[Range]
    fixed: Sequence[str]
    say: Callable[[str], None]
    stop: Callable[[], bool] = lambda: False  # asked before each step
    definition: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # in a row
    failed: list[dict[str, Any]] = field(default_factory=list)  # params that this call need not try again
    turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, trials: int, jobs: int) -> optuna.Study:
        """Go on until `trials` are done (judged, or cut short), `jobs` at a time here, or until asked to stop.

        Raises:
            UserError: three trials in a row failed. What is done stays, and the next call goes on.
        """
        with busy("sweep: trials run"), ThreadPoolExecutor(jobs) as pool:
            study = self.open()
            list(pool.map(lambda _: self.work(study, trials), range(jobs)))
        if len(self.failures) >= ENOUGH:
            raise UserError(f"{self.name}: {ENOUGH} trials in a row failed, the last one thus: {self.failures[-1]}")
        return study

    def open(self) -> optuna.Study:
        """The study as it was left.

        Raises:
            UserError: a search of this name has other params, data or ranges.
        """
        study = open_study(self.name, int(WARMUP * self.train.loop.epochs) + 1, STARTUP)
        if "definition" not in study.user_attrs:
            study.set_user_attr("definition", self.whole())
        self.refuse_another(study)
        return study

    def whole(self) -> dict[str, Any]:
        """What all trials have in common, and the ranges."""
        searched = {item.key: (item.low, item.high, item.log) for item in self.ranges}
        return {**self.definition, "ranges": describe_space(searched or dict.fromkeys((START, END), (0.0, 1.0, False)))}

    def refuse_another(self, study: optuna.Study) -> None:
        """Compare this search with the one that the study is of.

        Raises:
            UserError: it is another one.
        """
        place = f"the search in {shown_storage()}"
        refuse_differences(self.name, place, self.whole(), study.user_attrs["definition"])

    def work(self, study: optuna.Study, trials: int) -> None:
        """One trial after the other until there are enough."""
        while trial := self.ask(study, trials):
            with leased(study, trial):
                self.judge(study, trial)

    def judge(self, study: optuna.Study, trial: Trial) -> None:
        """Run a trial and tell the study how it ended."""
        name = self.experiment(trial)
        state, score = TrialState.FAIL, None
        try:
            score = self.attempt(trial, name)
            state, outcome = TrialState.COMPLETE, f"validation Dice {score:.3f}"
            self.failures.clear()
        except optuna.TrialPruned:
            state, outcome = TrialState.PRUNED, "cut short"
            self.failures.clear()
        except Failed as error:
            outcome = "stopped" if self.stop() else self.record_failure(trial, error)
        # Where the process was taken for dead, and the trial given to another one, that one tells.
        when_study_answers(lambda: study.tell(trial, score, state, skip_if_finished=True), self.stop)
        self.say(f"{name}: {outcome}")

    def record_failure(self, trial: Trial, error: Failed) -> str:
        """Say why a trial failed, so that its training is not taken up; returns how it ended, in words.

        Where only a remote or a disk failed, the trial is taken up: its experiment or its checkpoint is there.
        """
        self.failures.append(str(error))
        if not isinstance(error, TrainingFailed):
            return "a disk is full" if isinstance(error, NoRoom) else "a remote failed"
        self.failed.append(trial.params)
        with suppress(UpdateFinishedTrialError):  # it was taken for dead, and given to another process
            when_study_answers(lambda: trial.set_user_attr("failed", str(error)), self.stop)
        return "failed"

    def experiment(self, trial: Trial) -> str:
        """The name of a trial's experiment: a trial that takes another one up has its name."""
        return f"{self.name}-{trial.user_attrs.get('first', trial.number)}"

    def ask(self, study: optuna.Study, trials: int) -> Trial | None:
        """The next trial, if there is to be one; while others run the last ones, it waits, lest one of them dies."""
        waits = False
        while not self.stop() and len(self.failures) < ENOUGH:
            with self.turn:  # two threads would take up the same
                trial, running = when_study_answers(lambda: self.claim(study, trials), self.stop)
            if trial is not None or not running:
                return trial
            if not waits:
                self.say(f"waiting until the last trials have ended: {', '.join(running)}")
                waits = True
            time.sleep(PAUSE)
        return None

    def claim(self, study: optuna.Study, trials: int) -> tuple[Trial | None, list[str]]:
        """A trial to run, or None and, unless enough are done, who runs those that are still open."""
        while True:
            self.refuse_another(study)  # searches that began at the same moment both wrote it, and the later one stays
            release_dead(study)
            left = trials - len(done(study))
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if left <= len(running):
                holders = [f"{self.name}-{other.number} ({other.user_attrs.get('holder', '?')})" for other in running]
                return None, holders if left > 0 else []
            for params, first in self.unfinished(study)[:1]:
                study.enqueue_trial(params, None if first is None else {"first": first})
            trial = study.ask()
            give_first_sign(study, trial)
            if not self.is_surplus(study, trial, trials):
                return trial, []
            trial.set_user_attr("failed", "another process was first")
            study.tell(trial, state=TrialState.FAIL)

    def is_surplus(self, study: optuna.Study, trial: Trial, trials: int) -> bool:
        """Whether processes that asked at the same time have left nothing for this trial: the lower numbers stay."""
        every = study.get_trials(deepcopy=False)
        before = [other for other in every[: trial.number] if other.state in (*DONE, TrialState.RUNNING)]
        wanted = every[trial.number].system_attrs.get("fixed_params")
        return len(before) >= trials or (wanted is not None and any(planned(other) == wanted for other in before))

    def unfinished(self, study: optuna.Study) -> list[tuple[dict[str, Any], int | None]]:
        """Params to try before Optuna is asked, each with the number of the trial that it takes up, if any.

        They are those of trials whose process was stopped or died, which left checkpoints, and what every search starts
        with.
        """
        stopped = [
            (planned(trial), trial.user_attrs.get("first", trial.number))
            for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
            if "failed" not in trial.user_attrs and planned(trial)
        ]
        starting_points = [dict(zip((START, END), shares, strict=True)) for shares in known_shares(self.train.adaptive)]
        first: list[tuple[dict[str, Any], int | None]] = [(params, None) for params in starting_points]
        states = (*DONE, TrialState.RUNNING, TrialState.WAITING)
        over = [planned(trial) for trial in study.get_trials(deepcopy=False, states=states)] + self.failed
        candidates = [*stopped, *([] if self.ranges else first)]
        tried = [params for params, _ in candidates]
        return [item for index, item in enumerate(candidates) if item[0] not in over + tried[:index]]

    def attempt(self, trial: Trial, name: str) -> float:
        """Propose, train, judge.

        Raises:
            TrainingFailed: the training ended without a result.
            Failed: a remote takes or gives nothing, or a disk stays full.
            optuna.TrialPruned: the trial was cut short.
        """
        overrides = when_study_answers(
            lambda: [*self.fixed, *propose(trial, self.train.adaptive, self.ranges)], self.stop
        )
        self.say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in trial.params.items()))
        if "first" not in trial.user_attrs or not self.was_finished(name):
            self.train_anew(trial, name, overrides)
        if is_shared():
            push(name, self.stop)
        return with_room(name, lambda: read_experiment(name).score, self.stop)

    def was_finished(self, name: str) -> bool:
        """Whether the experiment is there already, and was only not pushed, or not told to the study.

        Raises:
            Failed: the git remote does not answer, or a disk stays full.
        """
        if is_shared():
            pull(self.name, self.stop)
        return with_room(name, lambda: name in names(self.name), self.stop)

    def train_anew(self, trial: Trial, name: str, overrides: list[str]) -> None:
        """Run the experiment of a trial.

        Raises:
            TrainingFailed: it ended without a result.
            NoRoom: a disk stays full; what was trained is in the checkpoint.
            optuna.TrialPruned: it was cut short.
        """
        watch = Watch(name, trial)
        stages = targets("train", self.train.seeds, self.folds)
        try:
            run_experiment(
                name, overrides, stages, self.name, lambda: self.stop() or watch(), allow_missing=is_shared()
            )
        except Failed as failed:
            if watch.cut:
                raise optuna.TrialPruned from None
            if isinstance(failed, NoRoom):
                raise
            raise TrainingFailed(str(failed)) from None


def describe_space(space: dict[str, tuple[float, float, bool]]) -> str:
    """The ranges of a search as they are typed."""
    return ", ".join(f"{key}={low:g}..{high:g}{':log' * log}" for key, (low, high, log) in sorted(space.items()))


def done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=DONE)


def propose(trial: BaseTrial, adaptive: Method, ranges: Sequence[Range]) -> list[str]:
    """The overrides of a trial. The whole section `adaptive` is among them, so that a range finds any key of it."""
    if ranges:
        values = {item.key: trial.suggest_float(item.key, item.low, item.high, log=item.log) for item in ranges}
        return [*replace_adaptive(adaptive), *(f"{key}={value}" for key, value in values.items())]
    first, last = (trial.suggest_float(name, 0, 1, step=STEP) for name in (START, END))
    return replace_adaptive(linear(first, last, adaptive))


class Watch:
    """Follows a trial's first training in MLflow and tells Optuna its validation Dice after each epoch."""

    def __init__(self, experiment: str, trial: Trial) -> None:
        self.experiment, self.trial, self.cut, self.last_epoch = experiment, trial, False, 0
        self.earlier: set[str] = set()  # runs of a former experiment of this name
        if "first" not in trial.user_attrs:  # a trial that takes another one up goes on with its run
            self.earlier = {str(run.info.run_id) for run in self.runs()}

    def __call__(self) -> bool:
        """Whether the trial is worse than the others were at this epoch, so that it should be cut short."""
        # The study is away: the trial goes on. So it does where it was given to another process for dead.
        with suppress(*ERRORS, UpdateFinishedTrialError):
            for value in sorted(self.values(), key=lambda value: value.step):
                if value.step > self.last_epoch:
                    self.trial.report(value.value, value.step)
                    self.last_epoch = value.step
            self.cut = self.cut or (self.last_epoch > 0 and self.trial.should_prune())
        return self.cut

    def values(self) -> list[Metric]:
        """The validation Dice of its first training after each epoch so far."""
        runs = self.runs()
        try:
            # A training that another machine took up has a run of each: the one that goes on is the newest.
            same = [run for run in runs if run.data.tags.get("training") == runs[0].data.tags.get("training")]
            return open_client()[0].get_metric_history(same[-1].info.run_id, "validation_dice") if same else []
        except (UserError, MlflowException):  # nobody sees how it goes: it goes on to its end
            return []

    def runs(self) -> list[Run]:
        """Its runs, the first one first."""
        try:
            client, where = open_client()
            runs = client.search_runs(
                [where], f"tags.`dvc.experiment` = '{self.experiment}'", order_by=["attributes.start_time ASC"]
            )
        except (UserError, MlflowException):  # as above
            return []
        return [run for run in runs if run.info.run_id not in self.earlier]
