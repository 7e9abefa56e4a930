"""No dead options: changing any leaf of params.yaml changes what its stage writes."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from stages import section_model
from stages.common.data.tables import HISTORY
from tests.helpers.files import tree_hash
from tests.helpers.params import SAMPLE, merge, read_yaml
from tests.helpers.paths import ROOT

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
    ("train.augment.rotate_deg", 0.0),
    ("train.augment.scale", 0.0),
    ("train.augment.shift", 0.0),
    ("train.augment.contrast", 0.0),
    ("train.optimiser.learning_rate", 0.001),
    ("train.optimiser.schedule", "constant"),
    ("train.optimiser.warmup", 0.0),
    ("train.optimiser.weight_decay", 0.5),
    ("train.optimiser.clip", 0.01),
    ("train.optimiser.ema", 0.5),
    ("train.loop.epochs", 3),
    ("train.loop.batch", 8),
    ("train.loop.precision", "fp32"),
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
    ("evaluate.boundary_px", 9.0),
]
# Shown elsewhere: what ingest does with other sources than the sample (tests/ingest), every key of every
# step (tests/preprocess) and of every weighting, which epoch is kept, weights that sum to 1 already, several processes
# (tests/train), a given split (tests/annotate). The baseline's weights are read by the same code as adaptive's.
ELSEWHERE = {
    *("ingest.inbox", "ingest.on_error", "ingest.near_duplicate_bits"),
    *(f"ingest.limits.{name}" for name in ("megapixels", "file_mb", "archive_gb", "archive_ratio")),
    *("annotate.split.by", "train.seeds", "evaluate.folds"),
    *(f"report.tolerance.{name}" for name in ("score", "prevalence", "rounding")),
    *("train.network.compile", "train.loop.select", "train.loop.devices"),
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


def run_stage(room: str, params: dict[str, Any]) -> str:
    """Run a stage in the current folder and return the proof of its work."""
    settings = section_model(room).model_validate(params[room])
    words = ["adaptive"] if room in ("train", "evaluate") else []
    importlib.import_module(f"stages.{room}.main").main(settings, *words)
    return proof(room)


def proof(room: str) -> str:
    """What a stage worked out, hashed; model.json and metrics.json repeat their params, so a dead one would pass."""
    if room == "train":
        history = HISTORY.read(Path(OUTPUTS[room]))
        return history[["train_dice_loss", "validation_bce_loss"]].to_csv()
    return tree_hash(Path(OUTPUTS[room]) / "per_image.csv" if room == "evaluate" else Path(OUTPUTS[room]))


def link(base: Path, here: Path, room: str) -> None:
    """All outputs but those of `room`."""
    for other, output in OUTPUTS.items():
        (here / output).parent.mkdir(parents=True, exist_ok=True)
        if other != room:
            (here / output).symlink_to(base / output)


def one_store(folder: Path) -> tuple[str, str]:
    """The same MLflow store for all calls: a fresh one takes two seconds to make."""
    return "MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def base(toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The toy project with all its outputs, and their hashes."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(*one_store(folder))
        # In bf16 the tiny network sees too little of a tiny weight decay; and "auto" must differ from "fp32".
        return folder, {room: run_stage(room, use(toy_params)) for room in OUTPUTS}


def use(params: dict[str, Any]) -> dict[str, Any]:
    return merge(params, {"train": {"loop": {"precision": "bf16"}}})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), CHANGES, ids=[name for name, _ in CHANGES])
def test_it_changes_the_output(
    name: str,
    value: Any,
    base: tuple[Path, dict[str, str]],
    toy_params: dict[str, Any],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, hashes = base
    monkeypatch.setenv(*one_store(folder))
    room, *path = name.split(".")
    link(folder, here, room)
    change: Any = value
    for key in reversed(path):
        change = {key: change}
    assert run_stage(room, merge(use(toy_params), {room: change})) != hashes[room]


@pytest.mark.slow
@pytest.mark.parametrize("room", OUTPUTS)
def test_nothing_changed_nothing_changes(
    room: str, base: tuple[Path, dict[str, str]], toy_params: dict[str, Any], here: Path
) -> None:
    link(base[0], here, room)
    assert run_stage(room, use(toy_params)) == base[1][room]
