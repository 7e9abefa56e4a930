"""Checkpoints: everything that the next step depends on in one safetensors file, written whole or not at all.

They lie outside the stage's outputs, which DVC removes before it runs a stage, and outside the workspace, since queued
experiments run in temporary ones. Their name is the training's fingerprint: only the same training takes them up.
"""

import json
import os
import zlib
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stages.common.core.errors import UserError
from stages.common.core.hashing import folder_sha256, json_sha256, sha256
from stages.common.data.records import TrainingRecord
from stages.common.model.tracking import root
from stages.train.state import Snapshot


def checkpoint_path(fingerprint: str) -> Path:
    """Where the training keeps its state: CHECKPOINT_DIR, for runners that come and go, else the root's own folder."""
    return Path(os.environ.get("CHECKPOINT_DIR") or root() / ".checkpoints") / f"{fingerprint}.safetensors"


def fingerprint(record: TrainingRecord, data: str) -> str:
    """The name of a training: 24 hex digits over params and machine, the data's hash, code and libraries."""
    code = [folder_sha256(Path(__file__).parents[1] / folder, "*.py") for folder in ("train", "common")]
    libraries = sha256(Path(__file__).with_name("libraries.lock"))
    return json_sha256([record, data, code, libraries])[:24]


def save_checkpoint(path: Path, name: str, state: Snapshot) -> None:
    """Write the state of a training, under the fingerprint `name` of its training.

    Raises:
        UserError: it cannot be written, mostly since the disk is full. An earlier one stays.
    """
    tensors: dict[str, Tensor] = {}
    plain = split(state, "", tensors)
    header = json.dumps({"training": name, "state": plain, "crc32": crc32(tensors)})
    folder = draft_folder(path)
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        save_file(tensors, folder / path.name, {"checkpoint": header})
        (folder / path.name).replace(path)
    except SafetensorError as error:
        megabytes = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
        raise UserError(
            f"{path}: expected room for a checkpoint of {megabytes:.0f} MB, found: {error}; free some space or set "
            "CHECKPOINT_DIR, and run it again"
        ) from None
    finally:
        rmtree(folder, ignore_errors=True)


def draft_folder(path: Path) -> Path:
    """Where a checkpoint is written; one process at a time does.

    A folder, since safetensors writes to a temporary file of its own beside the file that it is given: a killed
    training leaves either, and the next one removes both.
    """
    return path.with_name(f".{path.name}-draft")


def remove_checkpoint(path: Path) -> None:
    """Remove the checkpoint of a training that is done."""
    path.unlink(missing_ok=True)
    rmtree(draft_folder(path), ignore_errors=True)


def load_checkpoint(path: Path, name: str) -> Snapshot | None:
    """The state that `save_checkpoint` wrote, or None where there is none.

    Raises:
        UserError: the file is damaged, or belongs to another training.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["checkpoint"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, ValueError, OSError):
        raise UserError(
            f"{path}: expected a checkpoint of this training, found an unreadable file; delete it"
        ) from None
    if header["training"] != name:
        raise UserError(f"{path}: expected a checkpoint of {name}, found one of {header['training']}; delete the file")
    if crc32(tensors) != header["crc32"]:
        raise UserError(f"{path}: expected the bytes that were written, found others; delete the file")
    state: Snapshot = join(header["state"], "", tensors)
    return state


def split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of nested dictionaries and lists into `tensors`, by their path; what stays is JSON."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[key, split(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [split(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def join(value: dict[str, Any], path: str, tensors: dict[str, Tensor]) -> Any:
    """Undo `split`."""
    ((kind, content),) = value.items()
    if kind == "dict":
        return {key: join(item, f"{path}/{key}", tensors) for key, item in content}
    if kind == "list":
        return [join(item, f"{path}/{i}", tensors) for i, item in enumerate(content)]
    return tensors[content] if kind == "tensor" else content


def crc32(tensors: dict[str, Tensor]) -> int:
    """One checksum over names and bytes: safetensors itself does not notice a flipped bit."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        if tensors[name].numel():
            content: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
            total = zlib.crc32(content, total)
    return total
