"""The stage as a whole, on a toy data set: what it writes, and that nothing which happens to it changes that."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from dvc.repo import Repo
from filelock import FileLock
from safetensors.torch import load_file

from stages.common.core.errors import UserError
from stages.common.core.files import write_png
from stages.common.data.dataset import load_films
from stages.common.data.layout import LIVE
from stages.common.data.tables import SPLIT
from stages.common.model.network import load_model, predict_logits
from stages.common.model.tracking import open_client
from stages.train.main import main
from stages.train.params import Params
from stages.train.state import Row
from tests.helpers.files import tree_hash
from tests.helpers.films import squares
from tests.helpers.gpus import hide_gpus
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_environment, read_until, wait_for
from tests.helpers.tables import filled
from tests.helpers.training import change, run, store

COMMAND = ["python", "-m", "stages.train", "adaptive"]
FRESH = [sys.executable, *COMMAND[1:]]


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def write_dataset(folder: Path) -> None:
    """A data/dataset of 9 train and 3 validation films."""
    rows = []
    for split, count in (("train", 9), ("validation", 3)):
        films = squares(count, len(split))
        for i, (image, mask) in enumerate(zip(films.inputs[:, 0], films.masks, strict=True)):
            name = f"{split}{i}"
            for kind, picture in (("", image), ("_levels", image // 64 * 64), ("_mask", mask)):
                write_png(folder / f"data/dataset/train{kind}/{name}.png", picture)
            rows.append({"image_id": name, "split": split, "prevalence": mask.mean()})
    SPLIT.write(folder / "data/dataset", filled(SPLIT, rows))


@pytest.fixture
def dataset(here: Path, mlflow_store: Path) -> Path:
    """The current folder, with films and an empty MLflow store."""
    write_dataset(here)
    shutil.copy(mlflow_store, here)
    return here


def write_params(folder: Path, params: dict[str, Any], **train: Any) -> None:
    (folder / "params.yaml").write_text(json.dumps(merge(params, {"train": train})))


def start(folder: Path, command: list[str] = COMMAND, **variables: str) -> subprocess.Popen[str]:
    """Start a stage: a fork of a process that has the libraries, where there is one, or as Python's path starts it."""
    own = forked_environment() | {"PYTHONPATH": str(ROOT)} | variables
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=own, stdout=pipe, stderr=pipe, text=True)


def test_it_writes_weights_history_and_what_made_them(settings: Params, dataset: Path) -> None:
    said = main(settings, "adaptive")
    model = json.loads(Path("models/adaptive/seed-1-fold-1/model.json").read_text())
    history = pd.read_csv("models/adaptive/seed-1-fold-1/history.csv")
    assert list(history["epoch"]) == [1, 2]
    assert {"alpha", "beta", "ratio", "learning_rate", "gradient_norm", "validation_dice"} < set(history)
    assert model["epoch"] == 1 + history["validation_dice"].idxmax()
    assert f"after epoch {model['epoch']} ->" in said
    assert model["weights"]["method"] == "linear"
    assert set(model["familiar"]) == {"mean", "precision", "limit"}
    assert (model["seed"], model["fold"]) == (1, 1)
    assert set(model["machine"]) == {"torch", "device", "precision", "threads", "processes"}
    scores = pd.read_csv("models/adaptive/seed-1-fold-1/validation.csv")
    kept = json.loads(Path("reports/validation/adaptive-1-1.json").read_text())
    assert kept == {"dice": scores["f1"].mean()}
    assert f"validation Dice {kept['dice']:.3f}" in said
    assert not list(Path(".checkpoints").iterdir())


def test_dvc_plots_the_history_while_training_goes_on(
    settings: Params, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (live,) = (
        Repo.init(no_scm=True),
        [plot for plot in read_yaml(ROOT / "dvc.yaml")["plots"] if str(LIVE) in plot],
    )
    Path("dvc.yaml").write_text(json.dumps({"plots": [live]}))
    drawn: list[list[tuple[str, str]]] = []

    class Watcher:
        def epoch(self, row: Row, speed: float, seconds: float) -> None:
            plots = project.plots.show()["workspace"]["sources"]["data"]
            (rows,) = (plot["data"] for plot in plots.values())
            drawn.append([(one["epoch"], one["validation_dice"]) for one in rows])

    monkeypatch.setattr("stages.train.main.reporting", lambda *_: nullcontext(Watcher()))
    main(settings, "adaptive")
    history = pd.read_csv("models/adaptive/seed-1-fold-1/history.csv", dtype=str)
    whole = list(zip(history["epoch"], history["validation_dice"], strict=True))
    assert drawn == [whole[:1], whole]
    assert set(live[str(LIVE)]["y"]) | {live[str(LIVE)]["x"]} < set(history)


def test_validation_films_are_scored_by_the_network_that_is_written(settings: Params, dataset: Path) -> None:
    precise = settings.model_copy(update={"loop": settings.loop.model_copy(update={"precision": "fp32"})})
    main(precise, "adaptive")
    folder = Path("models/adaptive/seed-1-fold-1")
    scores, history = pd.read_csv(folder / "validation.csv"), pd.read_csv(folder / "history.csv")
    films = load_films(Path("data/dataset"), "validation")
    marked = predict_logits(load_model(folder), films.inputs).numpy() >= 0
    assert list(scores["image_id"]) == films.ids
    assert list(scores["tp"]) == [int((a & b).sum()) for a, b in zip(marked, films.masks, strict=True)]
    assert scores["f1"].mean() == pytest.approx(history["validation_dice"].max(), abs=1e-6)


@pytest.mark.parametrize("what", ["image", "levels", "both"])
def test_what_it_was_shown_is_what_its_model_asks_for(what: str, settings: Params, dataset: Path) -> None:
    shown = change(settings, network={"input": what}, loop={"epochs": 1})
    train, validation = (load_films(dataset / "data/dataset", side, what) for side in ("train", "validation"))
    store(run(shown, films=[train, validation]), shown, dataset / "model")
    channels = 2 if what == "both" else 1
    assert load_model(dataset / "model")(torch.zeros(1, channels, 32, 32)).shape == (1, 1, 32, 32)


def test_mlflow_holds_the_run_and_a_model_that_opens_without_pickle(
    settings: Params, toy_params: dict[str, Any], dataset: Path
) -> None:
    write_params(dataset, toy_params)
    main(settings, "adaptive")
    client, experiment = open_client()
    (run,) = client.search_runs([experiment])
    history = pd.read_csv("models/adaptive/seed-1-fold-1/history.csv")
    assert {"alpha", "ratio", "validation_dice", "images_per_second"} <= set(run.data.metrics)
    assert run.data.metrics["train_loss"] == history["train_loss"].iloc[-1]
    kept = json.loads(Path("reports/validation/adaptive-1-1.json").read_text())
    assert run.data.metrics["kept_validation_dice"] == kept["dice"]
    model = json.loads(Path("models/adaptive/seed-1-fold-1/model.json").read_text())
    assert run.data.metrics["kept_epoch"] == model["epoch"]
    assert run.data.params["weights.method"] == "linear"
    assert run.data.params["machine.threads"] == "1"
    assert {"training", "params.sha256", "data.sha256", "weights.sha256", "git.commit", "dvc.stage"} <= set(
        run.data.tags
    )
    assert run.data.tags["recipe"].startswith("paper, changed: preprocess.size 64 (256), ")
    (data,) = run.inputs.dataset_inputs
    assert run.data.tags["data.sha256"].startswith(data.dataset.digest)
    assert json.loads(data.dataset.profile) == {"train": 9, "validation": 3}
    found = Path(client.download_artifacts(run.info.run_id, "model"))
    assert not [path for path in found.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    films = squares(2, 9).inputs
    model = mlflow.pyfunc.load_model(str(found))
    np.testing.assert_array_equal(
        model.predict(films), predict_logits(load_model(Path("models/adaptive/seed-1-fold-1")), films)
    )
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, -1, -1)
    assert model.metadata.signature.outputs.input_names() == ["logit"]


def test_system_metrics_are_recorded(settings: Params, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    main(settings.model_copy(update={"loop": settings.loop.model_copy(update={"epochs": 8})}), "adaptive")
    client, experiment = open_client()
    (run,) = client.search_runs([experiment])
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(run.data.metrics)


def test_a_damaged_checkpoint_is_said(settings: Params, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.train.main.fingerprint", lambda *_: "x")
    Path(".checkpoints").mkdir()
    Path(".checkpoints/x.safetensors").write_bytes(b"nonsense")
    said = r"x\.safetensors: expected a checkpoint of this training, found an unreadable file; delete it"
    with pytest.raises(UserError, match=said):
        main(settings, "adaptive")


def stop_at(process: subprocess.Popen[str], line: str, sign: signal.Signals) -> str:
    """Send a signal once a line was said; returns what was said after it."""
    read_until(process.stderr, line)
    process.send_signal(sign)
    return process.communicate()[1]


@pytest.mark.slow
def test_a_stopped_training_writes_its_state_and_goes_on(toy_params: dict[str, Any], dataset: Path) -> None:
    write_params(dataset, toy_params, loop={"epochs": 20})
    main(change(Params.model_validate(toy_params["train"]), loop={"epochs": 20}), "adaptive")
    expected = tree_hash(dataset / "models/adaptive/seed-1-fold-1")
    for sign, code, line in ((signal.SIGTERM, os.EX_TEMPFAIL, "epoch 4/20"), (signal.SIGINT, 130, "epoch 10/20")):
        cut = start(dataset)
        assert "rerun the command to resume" in stop_at(cut, line, sign)
        assert cut.returncode == code
        assert [path.suffix for path in (dataset / ".checkpoints").iterdir()] == [".safetensors"]  # and no lock
        assert tree_hash(dataset / "models/adaptive/seed-1-fold-1") == expected  # of the first call
    rest = start(dataset)
    assert "resumes in epoch" in rest.communicate()[1]
    assert tree_hash(dataset / "models/adaptive/seed-1-fold-1") == expected
    client, experiment = open_client()
    recorded = client.search_runs([experiment])  # the first call, and the one that was cut twice
    assert [item.info.status for item in recorded] == ["FINISHED", "FINISHED"]
    for item in recorded:
        steps = [metric.step for metric in client.get_metric_history(item.info.run_id, "validation_dice")]
        assert sorted(steps) == list(range(1, 21))


@pytest.mark.slow
def test_the_very_same_training_twice_at_once_waits_or_can_be_stopped(
    settings: Params, toy_params: dict[str, Any], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(dataset, toy_params)
    locks: list[Path] = []
    monkeypatch.setattr("stages.train.main.FileLock", lambda path: locks.append(path) or FileLock(path))
    main(settings, "adaptive")
    with FileLock(locks[0]):
        stopped = start(dataset)  # one after the other: on one core the second would wait for it
        read_until(stopped.stderr, "waiting for an identical training run")
        stopped.send_signal(signal.SIGTERM)
        stopped.communicate()
        assert stopped.returncode == os.EX_TEMPFAIL
        waiting = start(dataset)
        read_until(waiting.stderr, "waiting for an identical training run")
    waiting.communicate()
    assert waiting.returncode == 0


@pytest.mark.slow
def test_killed_at_five_moments_it_ends_with_the_same_weights(toy_params: dict[str, Any], dataset: Path) -> None:
    write_params(dataset, toy_params, loop={"epochs": 10})
    start(dataset).communicate()
    whole, live = tree_hash(dataset / "models/adaptive/seed-1-fold-1"), dataset / LIVE / "adaptive-1-1.csv"
    draw, finished, interrupted = random.Random(5), 0, 0
    for epochs in (1, 2, 1, 2, 1):  # not seconds: how long a training takes changes with what else the machine does
        process = start(dataset)
        for _ in range(epochs):
            written = live.stat().st_mtime_ns
            wait_for(lambda: process.poll() is not None or live.stat().st_mtime_ns != written)  # noqa: B023
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.communicate()
        finished += process.returncode == 0
        interrupted += len(list((dataset / ".checkpoints").glob("*.safetensors")))
        assert tree_hash(dataset / "models/adaptive/seed-1-fold-1") == whole
    assert finished < 4, "most of the kills came too late to prove anything"
    assert interrupted > 0, "no kill left a checkpoint to go on from"
    last = start(dataset)
    last.communicate()
    assert last.returncode == 0
    assert not [path for path in (dataset / ".checkpoints").iterdir() if path.suffix in (".safetensors", ".lock")]
    assert tree_hash(dataset / "models/adaptive/seed-1-fold-1") == whole
    assert not list((dataset / "models").rglob(".*partial*"))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that talk by gloo, on a machine with a GPU, too: it may have one where two are asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hide_gpus(monkeypatch)  # this process may have looked already


def written(folder: Path) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """The history and the weights of a training."""
    model = folder / "models/adaptive/seed-1-fold-1"
    return pd.read_csv(model / "history.csv"), load_file(model / "weights.safetensors")


def trained(folder: Path, command: list[str]) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """What several processes learn, without a warning."""
    process = start(folder, command, PYTHONWARNINGS="default,ignore::ResourceWarning")  # users do not see them
    said = process.communicate()[1]
    assert process.returncode == 0, said
    warned = [line for line in said.splitlines() if "Warning:" in line or "deprecated" in line]
    assert [line for line in warned if "/mlflow/" not in line] == []
    return written(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("over", "method", "command"), [("image", "linear", FRESH), ("batch", "gradnorm", COMMAND)])
@pytest.mark.usefixtures("no_gpu")
def test_two_processes_learn_what_one_does(
    over: str, method: str, command: list[str], toy_params: dict[str, Any], dataset: Path
) -> None:
    # 9 films in batches of 4: three steps of 3, which two processes share unequally
    loop = {"epochs": 3, "precision": "fp32", "select": "last"}
    change = {"loop": loop, "loss": {"dice_over": over}, "adaptive": method}
    main(Params.model_validate(merge(toy_params["train"], change)), "adaptive")
    alone, weights = written(dataset)
    write_params(dataset, toy_params, **merge(change, {"loop": {"devices": 2}}))
    together, shared = trained(dataset, command)
    for column in alone.columns:
        # sums in another order; a pixel near 0.5 may tip, and with it the Dice of these small films
        loose = 0.02 if column == "validation_dice" else 1e-4
        np.testing.assert_allclose(together[column], alone[column], rtol=2e-3, atol=loose, err_msg=column)
    for name, tensor in weights.items():
        largest = float(tensor.abs().max())
        # AdamW moves a bias that starts at 0 by a learning rate a step, whichever sign rounding gave its gradient
        torch.testing.assert_close(shared[name], tensor, atol=max(0.02, 0.04 * largest), rtol=0.02, msg=name)


@pytest.mark.slow
@pytest.mark.usefixtures("no_gpu")
def test_several_processes_stop_together_and_go_on_to_the_bits_of_as_many_that_torchrun_starts(
    toy_params: dict[str, Any], dataset: Path
) -> None:
    write_params(dataset, toy_params, loop={"epochs": 5})  # torchrun's number of processes counts
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    history, weights = trained(dataset, [*launcher, *FRESH[1:]])  # nothing interrupts this one
    assert json.loads((dataset / "models/adaptive/seed-1-fold-1/model.json").read_text())["machine"]["processes"] == 2
    shutil.rmtree(dataset / "models")
    write_params(dataset, toy_params, loop={"devices": 2, "epochs": 5})
    cut = start(dataset)
    stop_at(cut, "epoch 2/5", signal.SIGTERM)  # to the first process alone, as DVC and most runners do
    assert cut.returncode == os.EX_TEMPFAIL
    resumed, shared = trained(dataset, COMMAND)
    assert resumed.equals(history)
    assert all(torch.equal(shared[name], tensor) for name, tensor in weights.items())
