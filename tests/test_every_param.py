"""No dead options: changing any leaf of params.yaml changes what its stage writes."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stages import section_model
from stages.common.data.dataset import load_films
from stages.common.data.tables import HISTORY
from stages.train.params import Params
from tests.helpers.files import tree_hash
from tests.helpers.params import SAMPLE, merge, read_yaml, write_yaml
from tests.helpers.paths import ROOT
from tests.helpers.training import run

CHANGES: list[tuple[str, Any]] = [
    ("ingest.sources", [SAMPLE | {"seed": 8}]),
    ("ingest.sources", [SAMPLE | {"films": 25}]),
    ("ingest.sources", [SAMPLE | {"width": 100}]),
    ("ingest.ct_window.centre", 40),
    ("ingest.ct_window.width", 400),
    ("preprocess.size", 96),
    ("preprocess.steps", ["mat2gray", "imresize"]),
    ("threshold.criterion", "kapur"),
    ("threshold.classes", 3),
    ("annotate.mask", "box_levels"),
    ("annotate.split.seed", 12),
    ("annotate.split.train", 15),
    ("annotate.split.test", 7),
    ("annotate.split.validation", 5),
    ("train.network.architecture", "UnetPlusPlus"),
    ("train.network.encoder", "resnet34"),
    ("train.network.channels", [8, 8, 8]),
    ("train.network.input", "levels"),
    ("train.loss.dice_over", "image"),
    ("train.loss.smooth", 10.0),
    ("train.augment.flip", 0.0),
    ("train.augment.flip_up_down", 0.5),
    ("train.augment.gamma", 0.5),
    ("train.augment.noise", 0.1),
    ("train.augment.rotate_deg", 0.0),
    ("train.augment.scale", 0.0),
    ("train.augment.shift", 0.0),
    ("train.augment.contrast", 0.0),
    ("train.optimiser.learning_rate", 0.001),
    ("train.optimiser.encoder_factor", 0.5),
    ("train.optimiser.frozen_epochs", 1),
    ("train.optimiser.schedule", "constant"),
    ("train.optimiser.warmup", 0.0),
    ("train.optimiser.weight_decay", 0.5),
    ("train.optimiser.clip", 0.01),
    ("train.optimiser.ema", 0.5),
    ("train.loop.epochs", 3),
    ("train.loop.batch", 8),
    ("train.loop.precision", "bf16"),
    ("train.loop.threads", 2),
    ("train.adaptive.method", "exponential"),
    ("train.adaptive.alpha.start", 0.6),
    ("train.adaptive.alpha.end", 0.1),
    ("train.adaptive.beta.start", 0.6),
    ("train.adaptive.beta.end", 0.1),
    ("train.adaptive.beta_reading", "start_to_end"),
    ("train.adaptive.clock", "iteration"),
    ("evaluate.threshold", 0.3),
    ("evaluate.temperature", "validation"),
    ("evaluate.mirror", True),
    ("evaluate.boundary_px", 9.0),
]
# Shown elsewhere: what ingest does with other sources than the sample (tests/ingest), every key of every step
# (tests/preprocess) and of every weighting, which epoch is kept, weights that sum to 1 already, several processes,
# pretrained encoders (tests/train), a given split and sides without a fracture (tests/annotate), which device is asked
# for (tests/evaluate). The baseline's weights are read by the same code as adaptive's.
ELSEWHERE = {
    *("ingest.inbox", "ingest.on_error", "ingest.on_truncated", "ingest.near_duplicate_bits"),
    *(f"ingest.limits.{name}" for name in ("megapixels", "file_mb", "archive_gb", "archive_ratio")),
    *("annotate.split.by", "annotate.need_fractures", "train.seeds", "evaluate.folds", "evaluate.accelerator"),
    *(f"report.tolerance.{name}" for name in ("score", "prevalence", "rounding")),
    *(
        "train.network.weights",
        "train.network.compile",
        "train.loop.select",
        "train.loop.devices",
        "train.loop.accelerator",
        "train.loop.cuda_graph",
    ),
    "train.adaptive.normalise",
}
OUTPUTS = {
    "ingest": "data/raw",
    "preprocess": "data/preprocessed",
    "threshold": "data/levels",
    "annotate": "data/dataset",
    "train": "models/adaptive/seed-1-fold-1",
    "evaluate": "reports/evaluation/adaptive/seed-1-fold-1",
}


def leaves(content: dict[str, Any], prefix: str = "") -> set[str]:
    out = set()
    for key, value in content.items():
        out |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return out


def test_every_leaf_is_listed() -> None:
    listed = {name for name, _ in CHANGES} | ELSEWHERE
    found = {name for name in leaves(read_yaml(ROOT / "params.yaml")) if not name.startswith("train.baseline.")}
    assert listed == found


def run_stage(stage: str, params: dict[str, Any]) -> str:
    """Run a stage in the current folder and return a hash of what it computed from the params.

    model.json and metrics.json repeat their params, so that a dead one would pass if they were hashed, too.
    """
    settings = section_model(stage).model_validate(params[stage])
    if stage == "train":
        return computed(pd.DataFrame(train_in_memory(settings)))
    write_yaml(Path("params.yaml"), params)  # whose folds annotate reads
    importlib.import_module(f"stages.{stage}.main").main(settings, *(["adaptive"] if stage == "evaluate" else []))
    return result(stage)


def result(stage: str) -> str:
    """A hash of what a stage wrote in the current folder."""
    return tree_hash(Path(OUTPUTS[stage]) / "per_image.csv" if stage == "evaluate" else Path(OUTPUTS[stage]))


def train_in_memory(settings: Params) -> list[dict[str, float]]:
    """The history of `adaptive`: the same steps as the stage's, without its checkpoints, MLflow and files."""
    films = [load_films(Path("data/dataset"), side, settings.network.input) for side in ("train", "validation")]
    return run(settings, films=films).history


def computed(history: pd.DataFrame) -> str:
    """The columns that follow from every param; others repeat some, as the weights do."""
    return history[["train_dice_loss", "validation_bce_loss"]].to_csv()


def link(base: Path, here: Path, stage: str) -> None:
    """All outputs but those of `stage`."""
    for other, output in OUTPUTS.items():
        (here / output).parent.mkdir(parents=True, exist_ok=True)
        if other != stage:
            (here / output).symlink_to(base / output)


@pytest.fixture(scope="module")
def base(finished: Path, toy_params: dict[str, Any]) -> dict[str, str]:
    """What each stage computed in the finished project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        return {stage: run_stage(stage, toy_params) if stage == "train" else result(stage) for stage in OUTPUTS}


@pytest.fixture
def here(here: Path, mlflow_store: Path, shared_workers: None) -> Path:
    """An empty folder as the current one, where stages work in this process and write to a store of their own."""
    shutil.copy(mlflow_store, here)
    return here


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), CHANGES, ids=[name for name, _ in CHANGES])
def test_it_changes_the_output(
    name: str, value: Any, base: dict[str, str], finished: Path, toy_params: dict[str, Any], here: Path
) -> None:
    stage, *path = name.split(".")
    link(finished, here, stage)
    change: Any = value
    for key in reversed(path):
        change = {key: change}
    assert run_stage(stage, merge(toy_params, {stage: change})) != base[stage]


@pytest.mark.slow
@pytest.mark.parametrize("stage", OUTPUTS)
def test_nothing_changed_nothing_changes(
    stage: str, base: dict[str, str], finished: Path, toy_params: dict[str, Any], here: Path
) -> None:
    link(finished, here, stage)
    assert run_stage(stage, toy_params) == base[stage]


@pytest.mark.slow
def test_the_training_in_memory_is_that_of_the_stage(
    finished: Path, toy_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    assert run_stage("train", toy_params) == computed(HISTORY.read(Path(OUTPUTS["train"])))
