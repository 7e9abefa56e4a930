"""Train: one U-Net under a fixed (baseline) or adaptive weighting of Dice and BCE; the code is the same.

One process:                python -m stages.train adaptive 1 1      (dvc repro train@adaptive-1-1: seed 1, fold 1)
4 GPUs of this machine:     dvc exp run -S train.loop.devices=4
2 machines of 4 GPUs each:  torchrun --nnodes 2 --nproc-per-node 4 ... -m stages.train adaptive 1 1

A training that was cut goes on when it is called again. SIGTERM writes a checkpoint and ends with the exit code 75.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from filelock import FileLock
from lightning_fabric import Fabric

from stages.common.core.device_lock import wait_for
from stages.common.core.files import new_folder, write_json
from stages.common.core.hashing import folder_sha256, json_sha256, sha256
from stages.common.core.signals import StopRequest, stop_request
from stages.common.data.dataset import Films, load_films
from stages.common.data.layout import DATASET, DESCRIPTION, MODELS, VALIDATION, WEIGHTS
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import HISTORY, VALIDATION_SCORES
from stages.common.model.calibration import to_probabilities
from stages.common.model.metrics import score_images
from stages.common.model.network import load_model, predict_logits, save_weights
from stages.common.model.out_of_distribution import fit_reference
from stages.common.model.tracking import Tracker, training_run
from stages.train.checkpoint import checkpoint_path, fingerprint, forget, load_checkpoint, save_checkpoint
from stages.train.devices import environment_record, explain_errors, lock_training_devices, make_fabric
from stages.train.loop import Preempted, TrainingState, epochs, init_state, to_device
from stages.train.mlflow_model import mlflow_model
from stages.train.params import Method, Params
from stages.train.progress import Report, reporting

CHECKPOINT_SHARE = 0.05  # of the time at most; where an epoch is shorter than that allows, not every epoch is written


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
    this = Run(variant, seed, fold)
    weights: Method = getattr(settings, this.variant)
    with stop_request() as stop, lock_training_devices(settings.loop, stop):
        fabric = make_fabric(settings.loop)
        fabric.launch()
        train, validation = (
            load_films(source, side, settings.network.input, this.fold) for side in ("train", "validation")
        )
        with explain_errors(settings.network, settings.loop.batch, train.inputs.shape):
            state = init_state(fabric, settings, weights, train.inputs.shape, this.seed)
            rows = epochs(fabric, state, to_device(fabric, train), to_device(fabric, validation), settings, stop)
            if not fabric.is_global_zero:
                follow(fabric, state, rows, stop)
            chosen = settings.model_dump(exclude={*VARIANTS, "seeds"}) | {"weights": weights.model_dump()}
            chosen |= {"seed": this.seed, "fold": this.fold}
            chosen["machine"] = environment_record(fabric, settings.loop.threads)
            data = folder_sha256(source)
            name = fingerprint(chosen, data)
            checkpoint = checkpoint_path(name)

            def save() -> None:
                save_checkpoint(checkpoint, name, state.pack())

            marks = {"variant": this.variant, "training": name}
            marks |= {"params.sha256": json_sha256(chosen), "data.sha256": data}
            with only_one(checkpoint, stop), training_run(str(this), marks) as run:
                run.log_params(chosen)
                run.log_data(str(source), data, {"train": len(train.ids), "validation": len(validation.ids)})
                resume(fabric, state, load_checkpoint(checkpoint, name))
                try:
                    with reporting(str(this), settings.loop.epochs, state.epoch) as report:
                        lead(state, rows, run, len(train.ids), report, save)
                except Preempted:
                    save()
                    where = f"epoch {state.epoch}, step {state.step}"
                    print(f"train: stopped in {where}; rerun the command to resume", file=sys.stderr)
                    sys.exit(stop.code)
                familiar = fit_reference(train.inputs[:, 0], validation.inputs[:, 0])
                kept = keep(state, models / this.folder, chosen | {"familiar": familiar}, validation)
                write_json(scores / f"{this}.json", kept)
                run.tag({"weights.sha256": sha256(models / this.folder / WEIGHTS)})
                with mlflow_model(models / this.folder, train.inputs.shape[1]) as folder:
                    run.log_files(folder, "model")
            forget(checkpoint)
    return (
        f"{this}: {settings.loop.epochs} epochs in {chosen['machine']['precision']}, validation Dice "
        f"{kept['dice']:.3f} after epoch {kept['epoch']} -> {models / this.folder}"
    )


def lead(
    state: TrainingState,
    rows: Iterator[dict[str, float]],
    run: Tracker,
    films: int,
    report: Report,
    save: Callable[[], None],
) -> None:
    """The first process: each epoch goes to MLflow, the screen and, when it is due, the checkpoint."""
    for row in state.history:  # of an earlier, cut call
        run.log(row)
    start = due = time.monotonic()
    for row in rows:
        seconds = time.monotonic() - start
        speed = films / seconds
        run.log(row | {"images_per_second": speed})
        report.epoch(row, speed, seconds)
        before = time.monotonic()
        if before >= due:
            save()
            due = before + (time.monotonic() - before) / CHECKPOINT_SHARE
        start = time.monotonic()


def follow(fabric: Fabric, state: TrainingState, rows: Iterator[dict[str, float]], stop: StopRequest) -> NoReturn:
    """Any other process: it trains along and writes nothing."""
    resume(fabric, state, None)
    try:
        for _ in rows:
            pass
    except Preempted:
        sys.exit(stop.code)
    sys.exit(0)


def resume(fabric: Fabric, state: TrainingState, content: dict[str, Any] | None) -> None:
    """Take up what the first process found, in all of them."""
    content = fabric.broadcast(content)
    if content is not None:
        state.unpack(content)
        if fabric.is_global_zero:
            print(f"train: goes on in epoch {state.epoch}, step {state.step} from its checkpoint", file=sys.stderr)


def keep(state: TrainingState, target: Path, chosen: dict[str, Any], validation: Films) -> dict[str, float]:
    """Write the folder of a run; returns the epoch whose weights it holds and their Dice on the validation films.

    They are scored as the test films will be, by the network that is written and at 0.5, so that sweeps can choose by
    them, film by film.
    """
    with new_folder(target) as out:
        save_weights(out / WEIGHTS, state.kept)
        HISTORY.write(out, pd.DataFrame(state.history).astype({"epoch": int}))
        write_json(out / DESCRIPTION, chosen | {"epoch": state.kept_epoch})
        probabilities = to_probabilities(predict_logits(load_model(out), validation.inputs))
        scores = score_images(probabilities, validation.masks, 0.5)
        scores.insert(0, "image_id", validation.ids)
        VALIDATION_SCORES.write(out, scores)
    return {"epoch": state.kept_epoch, "dice": float(scores["f1"].mean())}


@contextmanager
def only_one(checkpoint: Path, stop: StopRequest) -> Iterator[None]:
    """Two equal trainings at once, as a queue may hold them, would write one checkpoint: the second waits."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(checkpoint.with_suffix(".lock"))
    wait_for(lock, "train: waiting for an identical training run", stop)
    try:
        yield
    finally:
        lock.release()
