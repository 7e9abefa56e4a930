"""Train: one network under a fixed (baseline) or adaptive weighting of Dice and BCE; the code is the same.

One process:                python -m stages.train adaptive 1 1      (dvc repro train@adaptive-1-1: seed 1, fold 1)
4 GPUs of this machine:     dvc exp run -S train.loop.devices=4
2 machines of 4 GPUs each:  torchrun --nnodes 2 --nproc-per-node 4 ... -m stages.train adaptive 1 1

Rerun the command to resume a training that was cut. SIGTERM writes a checkpoint and ends with the exit code 75.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pandas as pd
from filelock import FileLock
from lightning_fabric import Fabric

from stages import recipe_name
from stages.common.core.busy import busy
from stages.common.core.device_lock import wait_for
from stages.common.core.files import new_folder, write_json
from stages.common.core.hashing import folder_sha256, json_sha256, sha256
from stages.common.core.signals import StopRequest, stop_request
from stages.common.data.dataset import Films, load_films
from stages.common.data.layout import DATASET, DESCRIPTION, LIVE, MODELS, PARAMS, VALIDATION, WEIGHTS
from stages.common.data.records import NUMBERS, ModelRecord, TrainingRecord
from stages.common.data.run_id import Run
from stages.common.data.tables import HISTORY, VALIDATION_SCORES
from stages.common.model.calibration import to_probabilities
from stages.common.model.metrics import score_images
from stages.common.model.network import load_model, predict_logits, save_weights
from stages.common.model.out_of_distribution import fit_reference
from stages.common.model.tracking import Tracker, training_run
from stages.train.checkpoint import checkpoint_path, fingerprint, load_checkpoint, remove_checkpoint, save_checkpoint
from stages.train.devices import environment_record, explain_errors, lock_training_devices, make_fabric
from stages.train.loop import Preempted, epochs
from stages.train.mlflow_model import mlflow_model
from stages.train.params import Params
from stages.train.pretrained import origin
from stages.train.progress import announcing, reporting
from stages.train.state import Row, Snapshot, TrainingState, init_state, to_device

CHECKPOINT_SHARE = 0.05  # of the time at most; where an epoch is shorter than that allows, not every epoch is written


@dataclass(frozen=True)
class Training:
    """A training as it is set up in this process; `state` changes while it runs."""

    run: Run
    settings: Params
    fabric: Fabric
    state: TrainingState
    train: Films
    validation: Films
    stop: StopRequest

    def epochs(self) -> Iterator[Row]:
        """Train the epochs that the state still lacks; the row of history.csv after each."""
        train, validation = (to_device(self.fabric, films) for films in (self.train, self.validation))
        left = (self.settings.loop.epochs - self.state.epoch) * self.state.steps - self.state.step
        stop = announcing(self.stop, str(self.run), left, time.monotonic) if self.fabric.is_global_zero else self.stop
        return epochs(self.fabric, self.state, train, validation, self.settings, stop)


def main(
    settings: Params,
    variant: str,
    seed: int = 1,
    fold: int = 1,
    *,
    source: Path = DATASET,
    models: Path = MODELS,
    scores: Path = VALIDATION,
) -> str:
    """Train one network and write its folder; other processes than the first end here.

    Args:
        settings: the section `train`.
        variant: baseline or adaptive.
        seed: of initial weights, order and augmentation.
        fold: counted from 1.
        source: data/dataset.
        models: where the run gets a folder.
        scores: where its Dice on the validation films is written, by which sweeps choose.
    Returns:
        A line for the user.
    """
    run = Run(variant, seed, fold)
    with stop_request() as stop, lock_training_devices(settings.loop, stop):
        fabric = make_fabric(settings.loop)
        fabric.launch()
        train, validation = (load_films(source, side, settings.network.input, fold) for side in ("train", "validation"))
        with explain_errors(settings.network, settings.loop.batch, train.inputs.shape):
            with busy(f"train {run}: sets up"):
                state = init_state(fabric, settings, getattr(settings, variant), train.inputs.shape, seed)
            training = Training(run, settings, fabric, state, train, validation, stop)
            if not fabric.is_global_zero:
                train_along(training)
            dice = train_and_record(training, source, models / run.folder, scores / f"{run}.json")
    numbers = NUMBERS[environment_record(fabric, settings.loop.threads)["precision"]]
    return (
        f"{run}: {settings.loop.epochs} epochs in {numbers}, "
        f"validation Dice {dice:.3f} after epoch {state.kept_epoch} -> {models / run.folder}"
    )


def train_along(training: Training) -> NoReturn:
    """Any process but the first: it trains with the others and writes nothing."""
    resume(training, None)
    try:
        for _ in training.epochs():
            pass
    except Preempted:
        sys.exit(training.stop.code)
    sys.exit(0)


def train_and_record(training: Training, source: Path, target: Path, scores: Path) -> float:
    """The first process: train, write the run's folder, and mirror both in MLflow.

    Args:
        training: before its first step.
        source: data/dataset.
        target: the folder of the run.
        scores: the file for its Dice on the validation films.
    Returns:
        That Dice.
    """
    record, data = training_record(training), folder_sha256(source)
    name = fingerprint(record, data)
    checkpoint = checkpoint_path(name)
    tags = {"variant": training.run.variant, "training": name}
    tags |= {"params.sha256": json_sha256(record), "data.sha256": data}
    if PARAMS.is_file():  # names what the stages before did, too: for the record, no weight hangs on it
        tags["recipe"] = recipe_name()
    films = {"train": len(training.train.ids), "validation": len(training.validation.ids)}
    with (
        exclusive(checkpoint, training.stop),
        training_run(str(training.run), tags, checkpoint.is_file()) as tracker,
    ):
        tracker.log_params(record)
        tracker.log_data(str(source), data, films)
        resume(training, load_checkpoint(checkpoint, name))
        fit(training, tracker, lambda: save_checkpoint(checkpoint, name, training.state.snapshot()))
        with busy(f"train {training.run}: writes the model"):
            dice = write_run(training, record, target)
            write_json(scores, {"dice": dice})
            tracker.log_kept(training.state.kept_epoch, dice)
            tracker.tag({"weights.sha256": sha256(target / WEIGHTS)})
            tracker.log_files(mlflow_model(target, training.train.inputs.shape[1]), "model")
    remove_checkpoint(checkpoint)
    return dice


def training_record(training: Training) -> TrainingRecord:
    """What decides the weights besides code and data."""
    settings, run = training.settings, training.run
    return {
        "network": settings.network.model_dump(),  # type: ignore[typeddict-item]
        "pretrained": origin(settings.network),
        "loss": settings.loss.model_dump(),
        "augment": settings.augment.model_dump(),
        "optimiser": settings.optimiser.model_dump(),
        "loop": settings.loop.model_dump(),
        "weights": getattr(settings, run.variant).model_dump(),
        "seed": run.seed,
        "fold": run.fold,
        "machine": environment_record(training.fabric, settings.loop.threads),
    }


def resume(training: Training, snapshot: Snapshot | None) -> None:
    """Take up, in all processes, the state that the first one has found, if there is one."""
    snapshot, state = training.fabric.broadcast(snapshot), training.state
    if snapshot is not None:
        state.restore(snapshot)
        if training.fabric.is_global_zero:
            where = f"epoch {state.epoch + 1}, step {state.step}"
            print(f"train: resumes in {where} from its checkpoint", file=sys.stderr)


def fit(training: Training, tracker: Tracker, save: Callable[[], None]) -> None:
    """Train all epochs; each goes to LIVE, MLflow, the screen and, when it is due, the checkpoint.

    Args:
        training: at its beginning or resumed.
        tracker: of its run.
        save: writes a checkpoint.
    """
    state = training.state
    for row in state.history:  # of an earlier, cut call
        tracker.log(row)
    try:
        with reporting(str(training.run), training.settings.loop.epochs, state.epoch) as report:
            start = due = time.monotonic()
            for row in training.epochs():
                write_history(LIVE, training, f"{training.run}.csv")
                seconds = time.monotonic() - start
                images_per_second = len(training.train.ids) / seconds
                tracker.log(row | {"images_per_second": images_per_second})
                report.epoch(row, images_per_second, seconds)
                before = time.monotonic()
                if before >= due:
                    save()
                    due = before + (time.monotonic() - before) / CHECKPOINT_SHARE
                start = time.monotonic()
    except Preempted:
        save()
        where = f"epoch {state.epoch + 1}, step {state.step}"
        print(f"train: stopped in {where}; rerun the command to resume", file=sys.stderr)
        sys.exit(training.stop.code)


def write_run(training: Training, record: TrainingRecord, target: Path) -> float:
    """Write the folder of a run; returns the Dice of its network on the validation films.

    They are scored as the test films will be, by the network that is written and at 0.5, so that sweeps can choose by
    them, film by film.
    """
    state, validation = training.state, training.validation
    familiar = fit_reference(training.train.inputs[:, 0], validation.inputs[:, 0])
    model: ModelRecord = {**record, "familiar": familiar, "epoch": state.kept_epoch}
    with new_folder(target) as out:
        save_weights(out / WEIGHTS, state.kept)
        write_history(out, training)
        write_json(out / DESCRIPTION, model)
        probabilities = to_probabilities(predict_logits(load_model(out), validation.inputs))
        scores = score_images(probabilities, validation.masks, 0.5)
        scores.insert(0, "image_id", validation.ids)
        VALIDATION_SCORES.write(out, scores)
    return float(scores["f1"].mean())


def write_history(folder: Path, training: Training, name: str = HISTORY.name) -> None:
    """Write the epochs that were trained so far.

    Args:
        folder: that gets the table.
        training: after an epoch.
        name: of the file.
    """
    HISTORY.named(name).write(folder, pd.DataFrame(training.state.history).astype({"epoch": int}))


@contextmanager
def exclusive(checkpoint: Path, stop: StopRequest) -> Iterator[None]:
    """Two equal trainings at once, as a queue may hold them, would write one checkpoint: the second waits."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(checkpoint.with_suffix(".lock"))
    wait_for(lock, lambda: print("train: waiting for an identical training run", file=sys.stderr), stop)
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # a process that waits for it sees that, and makes a new one
        lock.release()
