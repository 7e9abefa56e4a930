"""Search: Optuna proposes weights, a DVC experiment tries them, validation Dice judges. The test films stay unseen."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import optuna
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from optuna.distributions import FloatDistribution
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from stages.common.core.errors import UserError
from stages.common.model.tracking import open_client, root
from stages.train.params import Method, Params
from tools.sweep.experiments import Failed, names, read_experiment, run_experiment, targets
from tools.sweep.overrides import replace_adaptive
from tools.sweep.schedule import known_shares, linear

optuna.logging.set_verbosity(optuna.logging.ERROR)

STEP = 0.01  # of a share; finer is below what trainings can tell apart
STARTUP = 5  # trials before one may be cut short
WARMUP = 1 / 3  # of the epochs before a trial may be cut short
ENOUGH = 3  # failures in a row: the next would fail, too
START, END = "share at the start", "share at the end"  # alpha / (alpha + beta)


@dataclass(frozen=True)
class Range:
    """One param to search, from `KEY=LOW..HIGH` or, evenly over orders of magnitude, `KEY=LOW..HIGH:log`."""

    key: str
    low: float
    high: float
    log: bool


def parse_range(text: str) -> Range:
    """
    Raises:
        ValueError: the text, which is no range.
    """
    key, _, span = text.partition("=")
    span, _, scale = span.partition(":")
    low, _, high = span.partition("..")
    try:
        parsed = Range(key, float(low), float(high), scale == "log")
    except ValueError:
        raise ValueError(text) from None
    if not key or scale not in ("", "log") or parsed.low >= parsed.high or (parsed.log and parsed.low <= 0):
        raise ValueError(text)
    return parsed


@dataclass
class Search:
    """A study and how its trials are run.

    train, folds: of params.yaml under the overrides that all trials have. ranges: what is searched; none are the shares
    of Dice at the start and the end of the linear schedule. fixed: those overrides.
    """

    name: str
    train: Params
    folds: list[int]
    ranges: Sequence[Range]
    fixed: Sequence[str]
    say: Callable[[str], None]
    stop: Callable[[], bool] = lambda: False  # asked before each step
    failures: list[str] = field(default_factory=list)  # in a row
    first: list[dict[str, Any]] = field(default_factory=list)  # params to try before Optuna is asked
    running: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, trials: int, jobs: int) -> optuna.Study:
        """Go on until `trials` are done (judged, or cut short), `jobs` at a time, or until asked to stop.

        Raises:
            UserError: three trials in a row failed. What is done stays, and the next call goes on.
        """
        study = self.open()
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda _: self.work(study, trials), range(jobs)))
        if len(self.failures) >= ENOUGH:
            raise UserError(f"{self.name}: {ENOUGH} trials in a row failed, the last one thus: {self.failures[-1]}")
        return study

    def work(self, study: optuna.Study, trials: int) -> None:
        """One trial after the other until there are enough."""
        while trial := self.ask(study, trials):
            name = f"{self.name}-{trial.number}"
            try:
                score = self.attempt(trial, name)
            except optuna.TrialPruned:
                study.tell(trial, state=TrialState.PRUNED)
                self.say(f"{name}: cut short")
            except Failed as failed:
                if self.stop():
                    self.say(f"{name}: stopped")
                else:
                    trial.set_user_attr("failed", str(failed))
                    self.failures.append(str(failed))
                    self.say(f"{name}: failed")
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, score)
                self.failures.clear()
                self.say(f"{name}: validation Dice {score:.3f}")
            finally:
                with self.turn:
                    self.running -= 1

    def ask(self, study: optuna.Study, trials: int) -> Trial | None:
        """The next trial, if there is to be one; asked one at a time, since two threads would get the same."""
        with self.turn:
            enough = len(done(study)) + self.running >= trials
            if enough or self.stop() or len(self.failures) >= ENOUGH:
                return None
            self.running += 1
            if self.first:
                study.enqueue_trial(self.first.pop(0))
            return study.ask()

    def open(self) -> optuna.Study:
        """The study as it was left; what a killed call left open is judged where it finished, and else tried again."""
        study = optuna.create_study(
            storage=f"sqlite:///{root() / 'optuna.db'}",
            study_name=self.name,
            load_if_exists=True,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=0),
            pruner=optuna.pruners.MedianPruner(STARTUP, int(WARMUP * self.train.loop.epochs)),
        )
        self.refuse_another_space(study)
        finished = set(names(self.name))
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            name = f"{self.name}-{trial.number}"
            if name in finished:
                study.tell(trial.number, read_experiment(name).score)
            else:
                study.tell(trial.number, state=TrialState.FAIL)
        self.first = self.unfinished(study)
        return study

    def refuse_another_space(self, study: optuna.Study) -> None:
        """
        Raises:
            UserError: trials of the study have searched something else.
        """
        own = {item.key: (item.low, item.high, item.log) for item in self.ranges} or dict.fromkeys(
            (START, END), (0.0, 1.0, False)
        )
        for trial in study.trials:
            tried = {
                key: (space.low, space.high, space.log)
                for key, space in trial.distributions.items()
                if isinstance(space, FloatDistribution)
            }
            if tried and tried != own:
                raise UserError(
                    f"{self.name}: expected the ranges of the search that has this name, {describe_space(tried)}, "
                    f"found {describe_space(own)}; choose another name, or go back to its ranges"
                )

    def unfinished(self, study: optuna.Study) -> list[dict[str, Any]]:
        """Params to try before Optuna is asked: of trials that were stopped, whose trainings left checkpoints, and what
        every search starts with."""
        starting_points = [dict(zip((START, END), shares, strict=True)) for shares in known_shares(self.train.adaptive)]
        stopped = [trial.params for trial in study.trials if trial.state == TrialState.FAIL and not trial.user_attrs]
        candidates, over = stopped + ([] if self.ranges else starting_points), [trial.params for trial in done(study)]
        return [params for number, params in enumerate(candidates) if params not in over + candidates[:number]]

    def attempt(self, trial: Trial, name: str) -> float:
        """Propose, train, judge."""
        overrides = [*self.fixed, *propose(trial, self.train.adaptive, self.ranges)]
        watch = Watch(name, trial)
        self.say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in trial.params.items()))
        stages = targets("train", self.train.seeds, self.folds)
        try:
            run_experiment(name, overrides, stages, self.name, lambda: self.stop() or watch())
        except Failed:
            if watch.cut:
                raise optuna.TrialPruned from None
            raise
        return read_experiment(name).score


def describe_space(space: dict[str, tuple[float, float, bool]]) -> str:
    """The ranges of a search as they are typed."""
    return ", ".join(f"{key}={low:g}..{high:g}{':log' * log}" for key, (low, high, log) in sorted(space.items()))


def done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


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
        self.experiment, self.trial, self.cut, self.last_epoch = experiment, trial, False, -1
        self.earlier: set[str] = set()  # runs of a former experiment of this name
        self.earlier = {str(run.info.run_id) for run in self.runs()}

    def __call__(self) -> bool:
        """Whether the trial is worse than the others were at this epoch, so that it should be cut short."""
        for value in sorted(self.values(), key=lambda value: value.step):
            if value.step > self.last_epoch:
                self.last_epoch = value.step
                self.trial.report(value.value, self.last_epoch)
        self.cut = self.cut or (self.last_epoch >= 0 and self.trial.should_prune())
        return self.cut

    def values(self) -> list[Metric]:
        """The validation Dice of its first training after each epoch so far."""
        runs = self.runs()
        try:
            return open_client()[0].get_metric_history(runs[0].info.run_id, "validation_dice") if runs else []
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
