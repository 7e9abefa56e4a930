"""The recipe of what ran, from dvc.lock alone, and what an encoder started from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stages import read_params
from stages.common.core.files import write_json, write_text
from stages.common.core.hashing import sha256
from stages.common.data.layout import PARAMS, PINS
from stages.common.data.tables import WEIGHT_PINS
from stages.common.model.architecture import EMBEDDED
from stages.train.pretrained import EMBEDDED_RECORD
from tests.helpers.paths import ROOT
from tools.audit.check_pins import check_encoders
from tools.audit.dvc_lock import Lock, Stage
from tools.audit.findings import Check
from tools.audit.recipes import encoder_file, recipe_of
from tools.audit.rerun import bring_inputs
from tools.audit.trace import Project, model_facts
from tools.recipe import choose_recipe

MODEL = "models/adaptive/seed-1-fold-1"


@pytest.fixture
def strong(here: Path) -> dict[str, Any]:
    """The params of the recipe `strong`."""
    (here / PARAMS).write_text((ROOT / PARAMS).read_text())
    choose_recipe("strong")
    return read_params(Path(PARAMS))


def lock_of(params: dict[str, Any]) -> Lock:
    """What DVC keeps of the stages that such params concern."""
    train, evaluate = params["train"], params["evaluate"]
    shared = {f"train.{key}": train[key] for key in ("network", "loss", "augment", "optimiser", "loop")}
    of_stages = {
        "preprocess": {"preprocess": params["preprocess"]},
        "threshold": {"threshold": params["threshold"]},
        "train@baseline-1-1": shared | {"train.baseline": train["baseline"]},
        "train@adaptive-1-1": shared | {"train.adaptive": train["adaptive"]},
        "evaluate@adaptive-1-1": {f"evaluate.{key}": value for key, value in evaluate.items() if key != "folds"},
    }
    lock = Lock("stages: {}")
    lock.stages = {name: Stage(name, "", {}, of_stage, {}) for name, of_stage in of_stages.items()}
    return lock


def test_the_recipe_is_that_of_the_params_that_ran(strong: dict[str, Any]) -> None:
    lock = lock_of(strong)
    assert recipe_of(lock) == "strong"
    lock.stages["evaluate@adaptive-1-1"].params["evaluate.mirror"] = False
    assert recipe_of(lock) == "strong, changed: evaluate.mirror false (true)"


def test_stages_that_ran_with_different_params_have_no_recipe(strong: dict[str, Any]) -> None:
    """The report prints all params of its own time, which need not be those of a training."""
    lock = lock_of(strong)
    lock.stages["report"] = Stage("report", "", {}, {"train": strong["train"]}, {})
    assert recipe_of(lock) == "strong"
    loop = lock.stages["train@baseline-1-1"].params["train.loop"]
    lock.stages["train@baseline-1-1"].params["train.loop"] = loop | {"epochs": loop["epochs"] + 1}
    assert recipe_of(lock) == ""


def test_stages_that_have_not_run_or_had_other_params_have_no_recipe(strong: dict[str, Any]) -> None:
    lock = lock_of(strong)
    lock.stages["threshold"].params["threshold"] = {"classes": 4, "an_older_key": 1}
    assert recipe_of(lock) == ""
    del lock.stages["threshold"]
    assert recipe_of(lock) == ""


def test_a_model_carries_recipe_source_licence_and_hash_of_its_encoder(strong: dict[str, Any], here: Path) -> None:
    write_json(here / MODEL / "model.json", {"network": {}, "machine": {}, "pretrained": EMBEDDED_RECORD})
    project: Any = SimpleNamespace(root=here, lock=lock_of(strong), note=lambda path: None)
    assert model_facts(project, MODEL) == {
        "recipe": "strong",
        "encoder from": EMBEDDED_RECORD["source"],
        "its licence": "Apache-2.0",
        "its sha256": EMBEDDED_RECORD["sha256"],
    }
    assert model_facts(project, "data/dataset") == {}


@pytest.mark.parametrize(
    ("network", "file"),
    [
        ({"encoder": "resnet18", "weights": "imagenet"}, "data/weights/resnet18.safetensors"),
        ({"encoder": "resnet18", "weights": "mine/own.safetensors"}, "mine/own.safetensors"),
        ({"weights": "imagenet"}, "data/weights/tu-resnet10t.safetensors"),
    ],
)
def test_a_training_that_runs_again_gets_the_pinned_weights_of_its_encoder(
    network: dict[str, str], file: str, here: Path
) -> None:
    """They are no dependency, and no commit has them. An encoder that params leave out is the default one."""
    for folder in ("clone", "project"):
        (here / folder / PINS).mkdir(parents=True)
        row = {"file": file, "sha256": "0" * 64, "source": "a test", "licence": "CC0-1.0"}
        WEIGHT_PINS.write(here / folder / PINS, WEIGHT_PINS.frame([row]))  # type: ignore[list-item]
    stage = Stage("train@adaptive-1-1", "", {}, {"train.network": {"architecture": "Unet"} | network}, {})
    found = cast("Project", SimpleNamespace(root=here / "project", note=lambda path: None))
    assert not bring_inputs(found, here / "clone", stage, check := Check())
    assert [(finding.kind, finding.name) for finding in check.findings] == [("unchecked", "rerun train@adaptive-1-1")]
    write_text(here / "project" / file, "x")
    assert bring_inputs(found, here / "clone", stage, check)
    assert (here / "clone" / file).read_text() == "x"
    found.lock = SimpleNamespace(stages={stage.name: stage})  # type: ignore[assignment]
    check_encoders(found, check := Check())
    assert [(finding.kind, finding.name) for finding in check.findings] == [("mismatch", file)]
    row["sha256"] = sha256(here / "project" / file)
    WEIGHT_PINS.write(here / "project" / PINS, WEIGHT_PINS.frame([row]))  # type: ignore[list-item]
    check_encoders(found, check := Check())
    assert not check.findings
    WEIGHT_PINS.write(here / "project" / PINS, WEIGHT_PINS.frame([row | {"file": "other"}]))  # type: ignore[list-item]
    check_encoders(found, check := Check())
    assert [(finding.kind, finding.name) for finding in check.findings] == [
        ("missing", f"data/pins/weights.csv: {file}")
    ]
    stage.params["train.network"] |= {"weights": "none"}
    assert not encoder_file(stage)
    stage.params["train.network"] |= {"weights": "imagenet", "encoder": EMBEDDED}
    assert not encoder_file(stage), "the installation brings them"
