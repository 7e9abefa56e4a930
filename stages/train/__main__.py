"""Train: one U-Net under a fixed (baseline) or adaptive weighting of Dice and BCE; the code is the same.

Run: python -m stages.train adaptive     (dvc repro train@adaptive)
"""

import hashlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from tqdm import tqdm

from stages.common.artifacts import new_folder, sha256, write_bytes, write_json, write_table
from stages.common.dataset import load_films
from stages.common.errors import Fault
from stages.common.stage import run_stage
from stages.common.tracking import root, training_run
from stages.common.unet import save_weights
from stages.train.loop import State, begin, epochs, make_fabric
from stages.train.params import Params

VARIANTS = ("baseline", "adaptive")
CHECKPOINT_SHARE = 0.01  # of the time: the state of a resnet18 U-Net is 200 MB, too much for every epoch


def main(
    settings: Params, variant: str = "", source: Path = Path("data/dataset"), models: Path = Path("models")
) -> str:
    if variant not in VARIANTS:
        raise Fault(f"expected one of {', '.join(VARIANTS)} after `python -m stages.train`, found {variant!r}")
    train, validation = load_films(source, "train"), load_films(source, "validation")
    fabric = make_fabric(settings)
    chosen = settings.model_dump(exclude=set(VARIANTS)) | {"weights": getattr(settings, variant).model_dump()}
    machine = describe_machine(fabric, settings.loop.threads)
    data_hash = folder_sha256(source)
    checkpoint = root() / ".checkpoints" / f"{fingerprint(chosen, machine, data_hash)}.ckpt"

    with new_folder(models / variant) as out, training_run(variant, chosen | machine, data_hash) as run:
        state = begin(fabric, settings, len(train.ids))
        resume(state, checkpoint)
        rows = epochs(fabric, state, train, validation, settings, getattr(settings, variant))
        progress = tqdm(
            rows, desc=f"train {variant}", initial=state.epoch, total=settings.loop.epochs, disable=None, leave=False
        )
        for row in state.history:  # of an earlier, cut run
            run.log(row)
        due = 0.0
        for row in progress:
            run.log(row)
            progress.set_postfix(loss=f"{row['train_loss']:.3f}", dice=f"{row['validation_dice']:.3f}")
            if time.monotonic() >= due:
                due = time.monotonic() + save_checkpoint(checkpoint, state) / CHECKPOINT_SHARE
        best = max(state.history, key=lambda row: row["validation_dice"])
        save_weights(out / "weights.safetensors", state.best)
        write_table(out / "history.csv", pd.DataFrame(state.history).astype({"epoch": int}))
        write_json(out / "model.json", chosen | {"machine": machine, "best_epoch": int(best["epoch"])})
        run.finish(out, {"weights.sha256": sha256(out / "weights.safetensors")})
    checkpoint.unlink(missing_ok=True)
    return (
        f"{variant}: {settings.loop.epochs} epochs in {machine['precision']}, best validation Dice "
        f"{best['validation_dice']:.3f} after epoch {int(best['epoch'])} -> {models / variant}"
    )


def describe_machine(fabric: Fabric, threads: int) -> dict[str, Any]:
    """What besides code, data and params decides the last bits of the weights."""
    device = torch.cuda.get_device_name() if fabric.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    precision = str(fabric._precision.precision)
    return {"torch": torch.__version__, "device": device, "precision": precision, "threads": threads}


def folder_sha256(folder: Path, pattern: str = "*") -> str:
    """One hash over the names and bytes of the files below a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def fingerprint(chosen: dict[str, Any], machine: dict[str, Any], data_hash: str) -> str:
    """The name of a training: a checkpoint is taken up only when params, data, code and machine are the same."""
    code = [folder_sha256(Path(__file__).parents[1] / room, "*.py") for room in ("train", "common")]
    return hashlib.sha256(json.dumps([chosen, machine, data_hash, code], sort_keys=True).encode()).hexdigest()[:24]


def save_checkpoint(path: Path, state: State) -> float:
    """Write the whole state beside its place, rename it, so that a kill leaves the last one, and return the seconds."""
    start = time.monotonic()
    buffer = io.BytesIO()
    torch.save(state.pack(), buffer)
    write_bytes(path, buffer.getvalue())
    return time.monotonic() - start


def resume(state: State, path: Path) -> None:
    """Take up a checkpoint of the same training, if there is one."""
    if not path.exists():
        return
    try:
        state.unpack(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file fails in many ways, and each means: start again
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise Fault(f"{path}: expected a checkpoint of this training, found {reason}; delete the file") from None
    print(f"train: goes on after epoch {state.epoch - 1} from its checkpoint", file=sys.stderr)


if __name__ == "__main__":
    run_stage("train", main, *sys.argv[1:])
