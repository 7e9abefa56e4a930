"""Weights from a hub on localhost, and all that can be wrong with them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save

from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes
from stages.common.core.hashing import sha256
from stages.common.data.layout import PINS
from stages.common.data.tables import WEIGHT_PINS
from stages.common.model.architecture import EMBEDDED, Network, Preset, Pyramid
from stages.common.model.network import as_safetensors, build
from stages.train.pretrained import load_pretrained, origin
from tests.helpers.hub_server import Hub, serving
from tests.helpers.params import merge, write_yaml
from tests.helpers.paths import ROOT
from tools.fetch.weights import fetch_weights

TU = Pyramid(encoder="tu-mobilenetv3_small_050", weights="imagenet", channels=[16, 8, 8])
NATIVE = Preset(architecture="FPN", encoder="mobilenet_v2", weights="imagenet")
FILES = {TU.encoder: "timm/mobilenetv3_small_050.lamb_in1k", NATIVE.encoder: "smp-hub/mobilenet_v2.imagenet"}
CONFIG = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}


@pytest.fixture(scope="module")
def served() -> dict[str, bytes]:
    """What a hub has: random weights under the names of the libraries."""
    torch.manual_seed(1)
    theirs = timm.create_model(TU.encoder.removeprefix("tu-")).state_dict()
    native = (
        build(NATIVE.model_copy(update={"weights": "none", "input": "image"})).get_submodule("encoder").state_dict()
    )
    native["features.0.0.weight"] = torch.randn(32, 3, 3, 3)  # the hub's encoders see three channels
    return {
        f"{FILES[TU.encoder]}/model.safetensors": save(theirs),
        f"{FILES[NATIVE.encoder]}/model.safetensors": save(native),
        f"{FILES[NATIVE.encoder]}/config.json": json.dumps(CONFIG).encode(),
    }


@pytest.fixture
def hub(served: dict[str, bytes], here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that this process asks, with an empty cache; pins are empty, too."""
    write_bytes(PINS / WEIGHT_PINS.name, (ROOT / PINS / WEIGHT_PINS.name).read_bytes())
    with serving(dict(served)) as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "cache"))
        yield server


def pins() -> list[Any]:
    return WEIGHT_PINS.rows(WEIGHT_PINS.read(PINS))


@pytest.mark.parametrize(("settings", "licence"), [(TU, "apache-2.0"), (NATIVE, "unknown")])
def test_what_the_hub_serves_is_pinned_and_is_what_a_training_starts_from(
    settings: Network, licence: str, hub: Hub
) -> None:
    file = Path(f"data/weights/{settings.encoder}.safetensors")
    said = fetch_weights(settings)
    (row,) = pins()
    assert row["file"] == str(file)
    assert row["sha256"] == sha256(file)
    assert row["source"].startswith(f"hub: {FILES[settings.encoder]}")
    assert row["licence"] == licence
    assert said == f"{file}: SHA-256 {row['sha256'][:12]}, licence {licence}; commit data/pins/weights.csv"
    network = build(settings)
    hub.files.clear()  # training asks nobody
    load_pretrained(network, settings)
    record = origin(settings)
    assert record is not None
    assert record["sha256"] == row["sha256"]
    found, expected = network.state_dict(), load_file(file)
    assert all(torch.equal(found[name], value) for name, value in expected.items() if name in found)
    assert sum(name.startswith("encoder.") for name in expected) > 50
    mean = CONFIG["mean"] if settings is NATIVE else [0.485, 0.456, 0.406]
    std = CONFIG["std"] if settings is NATIVE else [0.229, 0.224, 0.225]
    shift = [(0.5 - m) / s for m, s in zip(mean, std, strict=True)]
    assert found["scaling.shift"].flatten().tolist() == pytest.approx(shift)


def test_the_tensors_are_those_that_were_served(hub: Hub, here: Path) -> None:
    fetch_weights(TU)
    theirs = load_file(write(here / "served.safetensors", hub.files[f"{FILES[TU.encoder]}/model.safetensors"]))
    for name, value in load_file("data/weights/tu-mobilenetv3_small_050.safetensors").items():
        if name.startswith("encoder."):
            assert torch.equal(value, theirs[name.removeprefix("encoder.model.")])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_second_fetch_changes_nothing_and_the_licence_can_be_given(hub: Hub) -> None:
    fetch_weights(TU)
    before = pins()
    fetch_weights(TU)
    assert pins() == before
    fetch_weights(NATIVE, licence="BSD-3-Clause")
    assert [(row["file"], row["licence"]) for row in pins()] == [
        ("data/weights/mobilenet_v2.safetensors", "BSD-3-Clause"),
        ("data/weights/tu-mobilenetv3_small_050.safetensors", "apache-2.0"),
    ]


def refused(settings: Network, words: str) -> None:
    """Assert that a fetch is refused in one sentence, and writes nothing."""
    before, there = pins(), sorted(Path("data/weights").glob("*"))
    with pytest.raises(UserError, match=words) as caught:
        fetch_weights(settings)
    assert "\n" not in str(caught.value)
    assert pins() == before
    assert sorted(Path("data/weights").glob("*")) == there


def test_a_hub_that_does_not_answer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # the client tries it five times
    hub.shutdown()
    hub.server_close()
    refused(TU, r"tu-mobilenetv3_small_050: expected an answer of http://127\.0\.0\.1:\d+, found none; check the conn")


@pytest.mark.parametrize("settings", [TU, NATIVE])
def test_a_hub_without_the_weights(settings: Network, hub: Hub) -> None:
    hub.files.clear()
    refused(settings, r"expected its ImageNet weights on http://127\.0\.0\.1:\d+, found status 404; another version")


@pytest.mark.parametrize("settings", [TU, NATIVE])
@pytest.mark.parametrize("content", [b"<html>log in</html>", save({"other": torch.zeros(3)})], ids=["page", "tensors"])
def test_a_hub_that_serves_something_else(settings: Network, content: bytes, hub: Hub) -> None:
    hub.files[f"{FILES[settings.encoder]}/model.safetensors"] = content
    refused(settings, r"expected its ImageNet weights from http://127\.0\.0\.1:\d+, found a file that does not hold")


def test_other_bytes_than_were_pinned_are_refused(hub: Hub, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_weights(TU)
    theirs = timm.create_model(TU.encoder.removeprefix("tu-")).state_dict()
    hub.files[f"{FILES[TU.encoder]}/model.safetensors"] = save(theirs)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "another cache"))
    refused(
        TU, r"tu-mobilenetv3_small_050\.safetensors: expected the SHA-256 \w{12} of data/pins/weights\.csv, found \w"
    )


def test_an_encoder_without_published_weights_and_params_without_any(hub: Hub) -> None:
    refused(
        TU.model_copy(update={"encoder": "tu-resnet200"}), "expected one with ImageNet weights on a hub, found tu-re"
    )
    refused(TU.model_copy(update={"weights": "none"}), "expected imagenet or a file, found none")


def test_the_embedded_weights_need_no_hub(hub: Hub) -> None:
    assert fetch_weights(Pyramid(encoder=EMBEDDED, weights="imagenet")).startswith("nothing to fetch: tu-tf_efficient")
    assert not hub.asked
    assert not pins()


def test_a_file_of_the_user_is_pinned_where_it_fits(hub: Hub) -> None:
    mine = TU.model_copy(update={"weights": "mine/encoder.safetensors"})
    refused(mine, r"expected the file mine/encoder\.safetensors, found none")
    write_bytes(Path(mine.weights), as_safetensors(build(mine).state_dict()))
    fetch_weights(mine, licence="CC0-1.0")
    load_pretrained(build(mine), mine)
    assert [(row["source"], row["licence"]) for row in pins()] == [("a file of the user", "CC0-1.0")]
    other = mine.model_copy(update={"encoder": "resnet18", "weights": "mine/encoder.safetensors"})
    with pytest.raises(UserError, match="these weights are not those of the encoder"):
        fetch_weights(other)


@pytest.mark.slow
def test_the_command_asks_the_hub_that_the_environment_names(
    served: dict[str, bytes], toy_params: dict[str, Any], here: Path
) -> None:
    write_bytes(PINS / WEIGHT_PINS.name, (ROOT / PINS / WEIGHT_PINS.name).read_bytes())
    params = merge(toy_params, {"train": {"network": {"encoder": TU.encoder, "weights": "imagenet"}}})
    write_yaml(here / "params.yaml", params)
    with serving(served) as server:
        named = {"HF_ENDPOINT": server.address, "HF_HOME": str(here / "cache"), "PYTHONPATH": str(ROOT)}
        command = [str(Path(sys.executable).with_name("wrist")), "fetch", "weights"]
        done = subprocess.run(command, cwd=here, env=os.environ | named, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("data/weights/tu-mobilenetv3_small_050.safetensors: SHA-256 ")
    assert done.returncode == 0
