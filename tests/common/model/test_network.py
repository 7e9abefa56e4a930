from pathlib import Path

import numpy as np
import pytest
import torch

from stages.common.core.errors import UserError
from stages.common.core.files import write_json
from stages.common.model.network import build, load_model, predict_logits, save_weights

CHANNELS = [16, 8, 8]


def store(folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build("resnet18", CHANNELS, "image")
    folder.mkdir()
    save_weights(folder / "weights.safetensors", network.state_dict())
    write_json(folder / "model.json", {"unet": {"encoder": "resnet18", "channels": CHANNELS, "input": "image"}})
    return network


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


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="resnet_18"):
        build("resnet_18", CHANNELS, "image")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_damaged_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    store(tmp_path / "a")
    (tmp_path / "a/weights.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="dvc repro"):
        load_model(tmp_path / "a")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "a")
    write_json(tmp_path / "a/model.json", {"unet": {"encoder": "resnet18", "channels": [32, 8, 8], "input": "image"}})
    with pytest.raises(UserError, match=r"expected the weights of its model\.json"):
        load_model(tmp_path / "a")
