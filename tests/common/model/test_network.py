import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from stages.common.core.errors import UserError
from stages.common.core.files import write_json
from stages.common.core.params import Strict, section_errors
from stages.common.model.architecture import AnyNetwork, Network, Pyramid, read_network
from stages.common.model.network import build, check_shape, load_model, predict_logits, save_weights

UNET = Pyramid(channels=[16, 8, 8])


def change(**values: Any) -> Network:
    """Another network; `architecture` begins anew, since each has its own keys."""
    return read_network(values if "architecture" in values else UNET.model_dump() | values)


class Elsewhere(torch.nn.Module):
    """A network on another device, which says what arrives there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(1, device="meta"))
        self.arrived: list[tuple[str, int]] = []

    def forward(self, films: torch.Tensor) -> torch.Tensor:
        self.arrived.append((films.device.type, len(films)))
        return torch.full((len(films), 1, 4, 4), float(len(self.arrived)))


def test_films_go_to_the_device_of_the_network_in_blocks_and_logits_come_back() -> None:
    network = Elsewhere()
    logits = predict_logits(network, np.zeros((5, 1, 4, 4), np.uint8), batch=2)
    assert network.arrived == [("meta", 2), ("meta", 2), ("meta", 1)]
    assert logits[:, 0, 0].tolist() == [1, 1, 2, 2, 3]
    assert logits.device.type == "cpu"


def store(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build(UNET)
    folder.mkdir()
    save_weights(folder / "weights.safetensors", network.state_dict())
    write_json(folder / "model.json", {"network": UNET.model_dump(), "machine": {}})
    return network


@pytest.mark.parametrize("seen", ["image", "both"])
@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet10t"])
def test_a_unet_has_the_initial_weights_of_the_librarys_own(encoder: str, seen: str) -> None:
    torch.manual_seed(3)
    ours = build(change(encoder=encoder, input=seen)).state_dict()
    torch.manual_seed(3)
    channels = 2 if seen == "both" else 1
    theirs = smp.Unet(encoder, 3, None, decoder_channels=[16, 8, 8], in_channels=channels).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("unet", r"expected 'architecture' as one of 'Unet', 'UnetPlusPlus', .*'DPT', found 'unet'"),
        ({"architecture": "unet"}, r"expected 'architecture' as one of 'Unet', 'UnetPlusPlus', .*'DPT', found 'unet'"),
        ({"architecture": "FPN", "channels": [16, 8, 8]}, "architecture FPN has no channels"),
        ({"architecture": "Unet", "channels": [16] * 6}, "channels"),
    ],
)
def test_what_no_architecture_is_or_has_is_refused_by_name(content: Any, message: str) -> None:
    class Section(Strict):
        network: AnyNetwork

    (error,) = section_errors("train", Section, {"network": content})
    assert re.search(rf"train\.network.*{message}", error), error


def test_an_architecture_may_stand_by_its_name() -> None:
    assert read_network("FPN").model_dump() == {
        "architecture": "FPN",
        "encoder": "resnet18",
        "weights": "none",
        "input": "image",
        "compile": False,
    }


def test_weights_come_back_exactly_and_as_the_same_bytes(tmp_path: Path) -> None:
    network = store(tmp_path / "a")
    save_weights(tmp_path / "b.safetensors", network.to(memory_format=torch.channels_last).state_dict())
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    for name, tensor in load_model(tmp_path / "a").state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_logits_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    store(tmp_path / "a")
    network = load_model(tmp_path / "a")
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 64, 64), dtype=np.uint8)
    whole = predict_logits(network, images, batch=5)
    assert (whole.shape, whole.dtype) == ((5, 64, 64), torch.float32)
    torch.testing.assert_close(predict_logits(network, images, batch=2), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": "resnet_18"}, r"Unet .*refuses the encoder 'resnet_18' of depth 3: .*resnet_18"),
        ({"encoder": "tu-resnet_18"}, r"Unet .*refuses the encoder 'tu-resnet_18'"),
        ({"architecture": "Linknet", "encoder": "mit_b0"}, r"`mit_b0` is not supported for Linknet"),
        ({"architecture": "DPT"}, r"DPT .*refuses the encoder 'resnet18': Only Timm encoders"),
    ],
)
def test_what_the_library_does_not_build_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"train\.network.*{message}"):
        build(change(**values))


@pytest.mark.parametrize(
    ("values", "films", "side", "message"),
    [
        ({"architecture": "PAN"}, 4, 64, r"films of 64 x 64 pixels, 4 at a time: .*too small"),
        ({"architecture": "DeepLabV3"}, 1, 64, "1 at a time: Expected more than 1 value per channel"),
        (
            {"architecture": "DPT", "encoder": "tu-vit_tiny_patch16_224"},
            4,
            256,
            r"Input height \(256\) doesn't match model \(224\)",
        ),
    ],
)
def test_films_that_a_network_cannot_be_trained_on_are_said(
    values: dict[str, Any], films: int, side: int, message: str
) -> None:
    check_shape(UNET, films, side)
    with pytest.raises(UserError, match=rf"train\.network: .*{message}.*; change preprocess\.size"):
        check_shape(change(**values), films, side)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_damaged_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    store(tmp_path / "a")
    (tmp_path / "a/weights.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="dvc repro"):
        load_model(tmp_path / "a")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "a")
    write_json(tmp_path / "a/model.json", {"network": change(channels=[32, 8, 8]).model_dump(), "machine": {}})
    with pytest.raises(UserError, match=r"expected the weights of its model\.json"):
        load_model(tmp_path / "a")
