"""Encoders that start from weights: of the package, of a file that is pinned, and those that may not be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file
from skimage import data
from timm import create_model
from torch import Tensor

from stages.common.core.errors import UserError
from stages.common.core.hashing import sha256
from stages.common.data.layout import PINS
from stages.common.data.tables import WEIGHT_PINS
from stages.common.model.architecture import EMBEDDED, Pyramid
from stages.common.model.network import build, load_model, predict_logits, to_input
from stages.recipes import of_recipe
from stages.train.params import Params
from stages.train.pretrained import embedded_tensors, load_pretrained, origin, scaling
from tests.helpers.training import VALIDATION, change, run, store

LITE0 = Pyramid(encoder=EMBEDDED, weights="imagenet", channels=[16, 8, 8])
OWN = Path("data/weights/own.safetensors")


@pytest.fixture
def settings(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def pin(file: Path, digest: str = "") -> None:
    row = {"file": str(file), "sha256": digest or sha256(file), "source": "a test", "licence": "CC0-1.0"}
    PINS.mkdir(parents=True, exist_ok=True)
    WEIGHT_PINS.write(PINS, WEIGHT_PINS.frame([row]))  # type: ignore[list-item]


@pytest.fixture
def own(here: Path) -> Pyramid:
    """A network whose encoder starts from a pinned file, which lies in the current folder."""
    torch.manual_seed(5)
    settings = Pyramid(encoder="resnet18", weights=str(OWN), channels=[16, 8, 8])
    OWN.parent.mkdir(parents=True)
    tensors = build(settings).state_dict() | scaling((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OWN)
    pin(OWN)
    return settings


def test_the_weights_of_the_package_know_a_cat() -> None:
    """The tensors by the names of timm's classifier, on the photograph that scikit-image brings."""
    model = create_model("tf_efficientnet_lite0").eval()
    tensors = embedded_tensors()
    known = {name.removeprefix("encoder.model."): tensor for name, tensor in tensors.items() if "encoder" in name}
    lacking, beside = model.load_state_dict(known, strict=False)
    assert not beside
    assert all(name.endswith("num_batches_tracked") for name in lacking)
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float()
    cat = F.interpolate(cat[..., 75:375], (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        chances = model(cat / 127.5 * tensors["scaling.scale"] + tensors["scaling.shift"] - tensors["scaling.scale"])
    assert chances.argmax().item() == 285  # Egyptian cat
    assert chances.softmax(1).max() > 0.4


def test_a_film_enters_the_encoder_as_a_grey_photograph_scaled_as_it_was_trained() -> None:
    network = build(LITE0)
    load_pretrained(network, LITE0)
    seen: list[Tensor] = []
    network.get_submodule("encoder").register_forward_pre_hook(lambda _, films: seen.append(films[0]))
    film = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 64), np.uint8)
    network.eval()(to_input(torch.from_numpy(film)))
    expected = np.repeat((film.astype(float) - 127) / 128, 3, axis=1)
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=1e-6)


def test_the_encoder_has_the_weights_and_the_decoder_follows_from_the_seed() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(build(LITE0))
        load_pretrained(networks[-1], LITE0)
    torch.manual_seed(3)
    plain, tensors = build(LITE0).state_dict(), embedded_tensors()
    for name, value in networks[0].state_dict().items():
        expected = tensors[name] if name in tensors else plain[name]
        assert torch.equal(value, expected), name
        assert torch.equal(value, networks[1].state_dict()[name])


@pytest.mark.parametrize("network", [{"encoder": EMBEDDED, "weights": "imagenet"}, {"encoder": EMBEDDED}])
def test_it_trains_and_comes_back_from_its_file(network: dict[str, Any], settings: Params, tmp_path: Path) -> None:
    chosen = change(settings, network=network, loop={"epochs": 1})
    state = run(chosen)
    films = VALIDATION.inputs
    loaded = load_model(store(state, chosen, tmp_path))
    torch.testing.assert_close(predict_logits(loaded, films), predict_logits(state.eval_network(), films))


def test_the_recipe_strong_trains_as_it_stands_on_few_films(settings: Params) -> None:
    """All its knobs together, for one epoch of two steps; films of 64 pixels."""
    strong = Params.model_validate(of_recipe("strong", "train").model_dump())
    state = run(change(strong, loop={"epochs": 1, "batch": 4, "threads": 1}))
    assert state.steps == 2
    assert set(state.history[0]) >= {"train_dice_loss", "validation_dice"}
    assert state.average is not None


def test_averages_leave_the_scaling_as_it_was(settings: Params) -> None:
    state = run(change(settings, network={"encoder": EMBEDDED, "weights": "imagenet"}, optimiser={"ema": 0.9}))
    for name, value in embedded_tensors().items():
        if name.startswith("scaling."):
            assert torch.equal(state.kept[name], value)


def test_a_pinned_file_is_what_the_encoder_starts_from(own: Pyramid) -> None:
    torch.manual_seed(5)
    expected = build(own).state_dict()
    network = build(own)
    load_pretrained(network, own)
    found = network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items() if name.startswith("encoder."))
    assert not all(torch.equal(found[name], value) for name, value in expected.items() if name.startswith("decoder."))
    assert found["scaling.shift"].flatten().tolist() == pytest.approx([0.5, 0.0, -1 / 3])
    assert origin(own) == {"source": "a test", "licence": "CC0-1.0", "sha256": sha256(OWN)}


def test_a_file_without_pin_is_refused(own: Pyramid) -> None:
    pin(OWN.with_name("other.safetensors"), "0" * 64)
    words = r"train\.network\.weights: expected data/weights/own\.safetensors in data/pins/weights\.csv, found "
    for what in (origin, lambda settings: load_pretrained(build(settings), settings)):
        with pytest.raises(
            UserError, match=words + r"data/weights/other\.safetensors there; run `wrist fetch weights`"
        ):
            what(own)


def test_a_file_with_two_pins_is_refused(own: Pyramid) -> None:
    """A reader finds one of them, and training would take the other."""
    table = PINS / WEIGHT_PINS.name
    table.write_text(table.read_text() + table.read_text().splitlines()[1].replace("a test", "a hub") + "\n")
    with pytest.raises(UserError, match=r"weights\.csv: expected each file once, found one that has several rows"):
        origin(own)


@pytest.mark.parametrize(
    "path", ["./own.safetensors", "a//own.safetensors", "a/../own.safetensors", "/own.safetensors"]
)
def test_a_path_of_weights_in_another_than_its_shortest_form_is_refused(path: str) -> None:
    """The pin of the file has that form."""
    with pytest.raises(ValidationError, match="below it and in its shortest form"):
        Pyramid(weights=path)


def test_other_bytes_than_were_pinned_are_refused(own: Pyramid) -> None:
    pin(OWN, "0" * 64)
    with pytest.raises(UserError, match=r"own\.safetensors: expected the SHA-256 000000000000 .*delete the file"):
        load_pretrained(build(own), own)


def test_a_pinned_file_that_is_missing_is_named(own: Pyramid) -> None:
    OWN.unlink()
    with pytest.raises(UserError, match=r"own\.safetensors: expected weights of resnet18, found no file; run `wrist"):
        load_pretrained(build(own), own)


def test_a_file_that_holds_no_tensors_is_refused(own: Pyramid) -> None:
    OWN.write_bytes(b"<html>no such page</html>")
    pin(OWN)
    with pytest.raises(UserError, match=r"own\.safetensors: expected weights as safetensors, found another file"):
        load_pretrained(build(own), own)


def test_weights_of_another_encoder_are_refused_and_leave_the_network_as_it_is(own: Pyramid) -> None:
    other = own.model_copy(update={"encoder": "resnet34"})
    network = build(other)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=r"own\.safetensors: these weights are not those of the encoder") as caught:
        load_pretrained(network, other)
    assert "encoder.layer1.2.conv1.weight: missing, expected (64, 64, 3, 3)" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_and_two_channels_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="input both has no weights to start from"):
        Pyramid(encoder=EMBEDDED, weights="imagenet", input="both")
