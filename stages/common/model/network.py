"""The network that `train` fits and `evaluate` reads, by segmentation-models-pytorch."""

from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from stages.common.core.errors import UserError
from stages.common.core.files import need, write_bytes
from stages.common.data.layout import WEIGHTS
from stages.common.data.records import read_model_record
from stages.common.model.architecture import Network, Pyramid, read_network

RGB = 3


class Scaling(nn.Module):
    """A film as the photograph for which an encoder was trained: the grey in three channels, each scaled as theirs was.

    The numbers are part of the weights. They come with those of the encoder; until then they change nothing.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1, RGB, 1, 1))
        self.register_buffer("shift", torch.zeros(1, RGB, 1, 1))

    def forward(self, films: Tensor) -> Tensor:
        """float32 (N, 1, H, W) in -1..1 to (N, 3, H, W)."""
        return (films * self.scale + self.shift).contiguous(memory_format=torch.channels_last)


def scaled(network: nn.Module, films: tuple[Tensor]) -> tuple[Tensor]:
    """What a network with a `Scaling` does before its encoder."""
    return (network.get_submodule("scaling")(*films),)


def build(settings: Network) -> nn.Module:
    """A network with random weights: `settings.in_channels` grey channels in, one logit per pixel out.

    That of a pretrained encoder begins with a `Scaling`.

    Raises:
        UserError: the architecture refuses the encoder or its depth. Weights are never downloaded.
    """
    decoder: dict[str, Any] = {}
    if isinstance(settings, Pyramid):
        decoder = {"encoder_depth": len(settings.channels), "decoder_channels": settings.channels}
    channels = RGB if settings.pretrained else settings.in_channels
    fixed = {"encoder_weights": None, "in_channels": channels, "classes": 1}
    try:
        network: nn.Module = smp.create_model(settings.architecture, settings.encoder, **fixed, **decoder)
    except Exception as error:  # the library and timm raise whatever comes to hand
        depth = f" of depth {len(settings.channels)}" if isinstance(settings, Pyramid) else ""
        raise UserError(
            f"train.network: {settings.architecture} of segmentation-models-pytorch refuses the encoder "
            f"{settings.encoder!r}{depth}: {' '.join(str(error).split())[:160]}"
        ) from None
    if settings.pretrained:
        network.add_module("scaling", Scaling())
        network.register_forward_pre_hook(scaled)
    return network


def check_shape(settings: Network, films: int, side: int) -> None:
    """Find out, without computing, whether a network can be trained on batches of that many films of side x side.

    Raises:
        UserError: it cannot.
    """
    with torch.device("meta"):
        network = build(settings).train()
        try:
            network(torch.empty(films, settings.in_channels, side, side))
        except Exception as error:  # as above
            raise UserError(
                f"train.network: {settings.architecture} with {settings.encoder} cannot be trained on films of "
                f"{side} x {side} pixels, {films} at a time: {' '.join(str(error).split())[:160]}; change "
                "preprocess.size, train.loop.batch or the network"
            ) from None


def logit_layer(network: nn.Module) -> nn.Conv2d:
    """The convolution that makes the logits: in every architecture the last of its head, enlarged to the film after."""
    return [layer for layer in network.get_submodule("segmentation_head").modules() if isinstance(layer, nn.Conv2d)][-1]


def encoder_and_rest(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters of the encoder, and those of decoder and head, each in the order of the network."""
    encoder = list(network.get_submodule("encoder").parameters())
    known = {id(parameter) for parameter in encoder}
    return encoder, [parameter for parameter in network.parameters() if id(parameter) not in known]


def to_input(inputs: Tensor) -> Tensor:
    """uint8 (N, C, H, W) to float32 in -1..1, channels last, on the same device."""
    return (inputs.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict_logits(network: nn.Module, inputs: np.ndarray, batch: int = 8) -> Tensor:
    """The logit of fracture of every pixel: float32 (N, H, W) on the CPU for uint8 inputs (N, C, H, W) on the CPU.

    It is computed where the network is, one block of films after the other, so that a GPU needs no room for all.
    """
    network.eval()
    device = next(network.parameters()).device
    blocks = (torch.from_numpy(inputs[i : i + batch]).to(device) for i in range(0, len(inputs), batch))
    return torch.cat([network(to_input(block)).float()[:, 0].cpu() for block in blocks])


def as_safetensors(state: dict[str, Tensor]) -> bytes:
    """Weights as safetensors: no code in the file, and the same bytes for the same tensors."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in sorted(state.items())})


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as safetensors."""
    write_bytes(path, as_safetensors(state))


def load_model(folder: Path) -> nn.Module:
    """The trained network of models/<variant>, built as model.json says, in eval mode on the CPU.

    Raises:
        UserError: weights or description missing, damaged, or not of one another.
    """
    settings = read_network(read_model_record(folder)["network"])
    with torch.device("meta"):  # no initial weights that would be thrown away: they take as long as two films
        network = build(settings)
    try:
        network.load_state_dict(load_file(need(folder / WEIGHTS)), assign=True)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: expected the weights of its model.json, found {reason}; run `dvc repro`") from None
    return network.eval().to(memory_format=torch.channels_last)
