"""Fetch the weights that an encoder starts from, through the client of its library, and pin them.

timm and segmentation-models-pytorch take them from a Hugging Face hub, which HF_ENDPOINT names. They are kept as
safetensors, by the names that tensors have in this pipeline.
"""

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else the hub learns of this machine's libraries
import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils.tqdm import disable_progress_bars
from segmentation_models_pytorch.encoders import encoders, get_preprocessing_params
from torch import Tensor

from stages.common.core.busy import busy
from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes
from stages.common.data.layout import PINS
from stages.common.data.rows import WeightPinRow
from stages.common.data.tables import WEIGHT_PINS
from stages.common.model.architecture import Network
from stages.common.model.network import RGB, as_safetensors, build
from stages.common.model.tracking import root
from stages.train.pretrained import EMBEDDED_RECORD, PARTS, fill, is_weight, read_tensors, scaling

TIMM = "tu-"  # before the names of timm's encoders


def fetch_weights(settings: Network, licence: str = "") -> str:
    """Bring the weights that params name, or read the user's, see that they fit, and pin them.

    Args:
        settings: the section `train.network`.
        licence: of the weights, where their publisher's client does not say it.
    Returns:
        A line for the user.
    Raises:
        UserError: params name none, they cannot be had, do not fit, or are not what was pinned; nothing is written.
    """
    if not settings.pretrained:
        raise UserError("train.network.weights: expected imagenet or a file, found none; set it in params.yaml first")
    if not settings.weight_file:
        return f"nothing to fetch: {settings.encoder} has the weights of {EMBEDDED_RECORD['source']}"
    file, from_hub = settings.weight_file, settings.weights == "imagenet"
    if not from_hub and not (root() / file).is_file():
        raise UserError(f"train.network.weights: expected the file {file}, found none; put it there")
    source, stated = publisher(settings) if from_hub else ("a file of the user", "")
    content = download(settings) if from_hub else (root() / file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    row: WeightPinRow = {
        "file": file,
        "sha256": digest,
        "source": source,
        "licence": licence or stated or "unknown",
    }
    rows = [*check_pins(row), row]
    if from_hub:
        write_bytes(root() / file, content)
    else:
        fill(build(settings), read_tensors(root() / file), file)
    WEIGHT_PINS.write(PINS, WEIGHT_PINS.frame(sorted(rows, key=lambda one: one["file"])))
    return f"{file}: SHA-256 {digest[:12]}, licence {row['licence']}; commit {PINS / WEIGHT_PINS.name}"


def check_pins(row: WeightPinRow) -> list[WeightPinRow]:
    """The pins of other files.

    Raises:
        UserError: the file was pinned with another SHA-256.
    """
    pinned = WEIGHT_PINS.rows(WEIGHT_PINS.read(PINS))
    if changed := [one["sha256"] for one in pinned if one["file"] == row["file"] and one["sha256"] != row["sha256"]]:
        raise UserError(
            f"{row['file']}: expected the SHA-256 {changed[0][:12]} of {PINS / WEIGHT_PINS.name}, found "
            f"{row['sha256'][:12]}; find out why, and remove its row to accept the new bytes"
        )
    return [one for one in pinned if one["file"] != row["file"]]


def publisher(settings: Network) -> tuple[str, str]:
    """Who serves the ImageNet weights of an encoder, and their licence where the client says it.

    Raises:
        UserError: nobody does.
    """
    name = settings.encoder
    if name.startswith(TIMM) and timm.models.is_model_pretrained(name.removeprefix(TIMM)):
        described = timm.get_pretrained_cfg(name.removeprefix(TIMM))
        if described is not None and described.hf_hub_id:
            return f"hub: {described.hf_hub_id}", described.license or ""
    elif served := encoders.get(name, {}).get("pretrained_settings", {}).get("imagenet"):
        return f"hub: {served['repo_id']} at {served['revision'][:12]}", ""
    raise UserError(
        f"train.network.encoder: expected one with ImageNet weights on a hub, found {name}; choose another, or set "
        "weights: none"
    )


def download(settings: Network) -> bytes:
    """Encoder and scaling as a file of weights.

    Raises:
        UserError: the hub does not answer, lacks them, or serves something else.
    """
    # The whole depth of the encoder; only DPT takes another class of encoders.
    architecture = "DPT" if settings.architecture == "DPT" else "Unet"
    fixed = {"encoder_weights": "imagenet", "in_channels": RGB, "classes": 1}
    fetching = busy(f"fetch: brings the weights of {settings.encoder}")
    with fetching, silent_clients(), explained(settings.encoder):
        first, second = (seeded(seed, architecture, settings.encoder, fixed) for seed in (0, 1))
        numbers = get_preprocessing_params(settings.encoder)
        # timm passes over tensors that a file lacks, whose random values then stay.
        if lacking := [name for name, value in first.items() if not torch.equal(value, second[name])]:
            raise ValueError(f"not served: {lacking}")
    return as_safetensors(first | scaling(numbers["mean"], numbers["std"]))


def seeded(seed: int, architecture: str, encoder: str, fixed: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of an encoder as the library loads it over random ones.

    Args:
        seed: of the random ones.
        architecture: for which it is made.
        encoder: its name.
        fixed: further arguments of the library.
    """
    torch.manual_seed(seed)
    state = smp.create_model(architecture, encoder, **fixed).state_dict()
    return {name: value for name, value in state.items() if name.startswith(PARTS) and is_weight(name)}


@contextmanager
def silent_clients() -> Iterator[None]:
    """No bars, one for each of many small requests, and no advice of the clients to log in."""
    disable_progress_bars()
    levels = {name: logging.getLogger(name).level for name in ("huggingface_hub", "timm", "httpx", "httpx2")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def explained(encoder: str) -> Iterator[None]:
    """Turn what the clients raise into one sentence.

    Raises:
        UserError: the hub does not answer, lacks the weights, or serves something else.
    """
    hub = constants.ENDPOINT
    try:
        yield
    except HfHubHTTPError as error:
        raise UserError(
            f"{encoder}: expected its ImageNet weights on {hub}, found status {error.response.status_code}; another "
            "version of timm or segmentation-models-pytorch may know where they are"
        ) from None
    except Exception as error:  # the clients raise those of three libraries
        if is_no_answer(error):
            raise UserError(
                f"{encoder}: expected an answer of {hub}, found none; check the connection, or name another hub with "
                "HF_ENDPOINT"
            ) from None
        raise UserError(
            f"{encoder}: expected its ImageNet weights from {hub}, found a file that does not hold them; remove it "
            "from the client's cache (hf cache rm) and run it again"
        ) from None


def is_no_answer(error: BaseException | None) -> bool:
    """Whether a client's error says that no server answered, and not that something else was served."""
    return isinstance(error, OSError) or "Connect" in type(error).__name__ or "Timeout" in type(error).__name__
