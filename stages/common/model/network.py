"""The network that `train` fits and `evaluate` reads: a U-Net of segmentation-models-pytorch."""

import json
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from stages.common.core.errors import UserError
from stages.common.core.files import need, write_bytes
from stages.common.data.dataset import Input
from stages.common.data.layout import DESCRIPTION, WEIGHTS


def build(encoder: str, channels: list[int], what: Input) -> nn.Module:
    """A U-Net with random weights, one or two grey channels in, one logit per pixel out.

    Args:
        encoder: a name that segmentation-models-pytorch knows, such as resnet18.
        channels: decoder channels from the deepest level up; their number is the depth of the encoder, 3..5.
        what: that it sees; `both` are two channels.
    Raises:
        UserError: no such encoder. Weights are never downloaded.
    """
    try:
        network: nn.Module = smp.Unet(
            encoder_name=encoder,
            encoder_depth=len(channels),
            encoder_weights=None,
            decoder_channels=channels,
            in_channels=2 if what == "both" else 1,
            classes=1,
        )
        return network
    except KeyError:
        raise UserError(
            f"train.unet.encoder: expected an encoder of segmentation-models-pytorch, found {encoder!r}; "
            "for instance resnet18, resnet34 or efficientnet-b0"
        ) from None


def to_input(inputs: Tensor) -> Tensor:
    """uint8 (N, C, H, W) to float32 in -1..1, channels last, on the same device."""
    return (inputs.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_logits(network: nn.Module, inputs: np.ndarray, batch: int = 8) -> Tensor:
    """The logit of fracture of every pixel: float32 (N, H, W) on the CPU for uint8 inputs (N, C, H, W)."""
    network.eval()
    blocks = (torch.from_numpy(inputs[i : i + batch]) for i in range(0, len(inputs), batch))
    return torch.cat([network(to_input(block)).float()[:, 0] for block in blocks]).cpu()


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Weights as safetensors: no code in the file, and the same bytes for the same tensors."""
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())}))


def load_model(folder: Path) -> nn.Module:
    """The trained network of models/<variant>, built as model.json says, in eval mode on the CPU.

    Raises:
        UserError: weights or description missing, damaged, or not of one another.
    """
    description = json.loads(need(folder / DESCRIPTION).read_text())
    shape = description["unet"]
    with torch.device("meta"):  # no initial weights that would be thrown away: they take as long as two films
        network = build(shape["encoder"], shape["channels"], shape["input"])
    try:
        network.load_state_dict(load_file(need(folder / WEIGHTS)), assign=True)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: expected the weights of its model.json, found {reason}; run `dvc repro`") from None
    return network.eval().to(memory_format=torch.channels_last)
