"""Speed of training as ratios: against the compute limit, against plain loops, over numbers of films.

Run: PYTHONPATH=. python benchmarks/train.py            (20 minutes without a GPU; nothing else on the machine)
     PYTHONPATH=. python benchmarks/train.py goal       (one GPU: the goal of the step as a CUDA graph)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from ruamel.yaml import YAML
from torch import nn
from torch.utils.data import DataLoader, Dataset

from stages.common.core.files import write_png
from stages.common.data.dataset import Films, load_films
from stages.common.data.layout import DATASET
from stages.common.model.network import build
from stages.train.checkpoint import save_checkpoint
from stages.train.devices import be_deterministic, make_fabric
from stages.train.loop import fit_epoch, validate
from stages.train.loss import weighted_sum
from stages.train.params import Params
from stages.train.state import DeviceFilms, TrainingState, init_state, to_device
from stages.train.step import losses_of_share

ROOT = Path(__file__).parents[1]
SIDE, FILMS, VALIDATION, ROUNDS = 256, 104, 20, 5
SIZES = (160, 1_600, 16_000)
RESNET18 = {"architecture": "Unet", "encoder": "resnet18", "weights": "none", "channels": [256, 128, 64, 32, 16]}
# Images/s of an H100 for that network, batch 8 and bf16: one CUDA graph of a step on a batch that is there.
BARE = 1_622


def films(count: int, side: int) -> Films:
    """Noise of the shape of films: training's time does not depend on what it sees."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, side, side), bool)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = True
    return Films([str(i) for i in range(count)], rng.integers(0, 256, (count, 1, side, side), np.uint8), masks)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def settings(network: dict[str, Any] | None = None, **loop: Any) -> Params:
    content = dict(YAML(typ="safe").load((ROOT / "params.yaml").read_text())["train"])
    content["network"] |= network or {}
    return Params.model_validate(content | {"loop": content["loop"] | loop})


class Run:
    """A training of the sample's size, ready to make epochs."""

    def __init__(self, params: Params, count: int = FILMS, side: int = SIDE) -> None:
        self.params, self.fabric = params, make_fabric(params.loop)
        shape = (count, 1, side, side)
        self.state: TrainingState = init_state(self.fabric, params, params.adaptive, shape, seed=1)
        self.films: DeviceFilms = to_device(self.fabric, films(count, side))

    def epoch(self) -> None:
        fit_epoch(self.fabric, self.state, self.films, self.params)
        self.state.measured.clear()

    def limit(self) -> None:
        """As many steps as an epoch has, each forward, backward and step on one batch that is there already."""
        images, masks = self.films.batch(np.arange(self.params.loop.batch))
        for _ in range(self.state.steps):
            losses = losses_of_share(self.state.model(images), masks, self.params.loss, 1.0)
            self.state.optimiser.zero_grad(set_to_none=True)
            self.fabric.backward(weighted_sum(losses, 0.5, 0.5))
            self.state.optimiser.step()


def against_the_limit() -> None:
    run = Run(settings())
    run.epoch()
    pairs = [(seconds(run.epoch), seconds(run.limit)) for _ in range(ROUNDS)]
    loop, limit = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"loop {FILMS / loop:.1f}, limit {FILMS / limit:.1f} images/s: {ratio:.3f}")
    side = to_device(run.fabric, films(VALIDATION, SIDE))
    check = seconds(lambda: validate(run.fabric, run.state.eval_network(), side, run.params.loss))
    with tempfile.TemporaryDirectory() as folder:
        run.state.kept = {name: tensor.clone() for name, tensor in run.state.network.state_dict().items()}
        save = seconds(lambda: save_checkpoint(Path(folder, "c"), "x", run.state.snapshot()))
    epoch = loop + check + save
    print(f"of an epoch with both: validation {check / epoch:.1%}, checkpoint {save / epoch:.1%}")


def recorded_steps(network: dict[str, Any] | None = None, count: int = FILMS, side: int = SIDE) -> float:
    """On a GPU: epochs of steps repeated as a CUDA graph against the same started one by one, in turns.

    Returns:
        Images per second of the graph. Without a GPU there is none, and both are the same.
    """
    alone, recorded = (
        Run(settings(network, batch=8, precision="auto", cuda_graph=graph), count, side) for graph in (False, True)
    )
    for run in (alone, recorded):
        run.epoch()  # warms up and records
    pairs = [(seconds(alone.epoch), seconds(recorded.epoch)) for _ in range(ROUNDS)]
    one, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"CUDA graph {count / other:.0f}, one by one {count / one:.0f} images/s: {ratio:.2f}")
    return count / other


def goal(count: int = FILMS, side: int = SIDE) -> None:
    """The loop with resnet18 as a CUDA graph, against the same one by one, and against the bare step of an H100."""
    speed = recorded_steps(RESNET18, count, side)
    print(f"resnet18, {side} x {side}, batch 8: {speed / BARE:.3f} of {BARE} images/s; the goal on an H100 is 0.9")


def determinism() -> None:
    """The same steps with deterministic algorithms, without, and as torch has them, with memory filled."""
    run, filled = Run(settings()), torch.utils.deterministic
    run.limit()
    found: dict[str, list[float]] = {"ours": [], "off": [], "filled": []}
    for _ in range(ROUNDS):
        be_deterministic(run.params.loop.threads)
        found["ours"].append(seconds(run.limit))
        filled.fill_uninitialized_memory = True  # type: ignore[attr-defined]
        found["filled"].append(seconds(run.limit))
        torch.use_deterministic_algorithms(False)
        found["off"].append(seconds(run.limit))
    be_deterministic(run.params.loop.threads)
    for name in ("ours", "filled"):
        ratio = statistics.median(a / b for a, b in zip(found[name], found["off"], strict=True))
        print(f"deterministic ({name}): {ratio:.3f} of the time without")


class Files(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs of PNG files, decoded anew each time they are asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = (np.asarray(Image.open(self.folder / kind / f"{i}.png")) for kind in ("image", "mask"))
        return torch.from_numpy(image / 255.0).float()[None], torch.from_numpy(mask > 0).float()[None]


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def plain_epoch(loader: DataLoader[Any], network: nn.Module, step: torch.optim.Optimizer, loss: Loss) -> None:
    network.train()
    device = next(network.parameters()).device
    for images, masks in loader:
        step.zero_grad()
        loss(network(images.to(device)), masks.to(device)).backward()
        step.step()


def against_plain_loops() -> None:
    """The same network in fp32, NCHW, fed by a DataLoader with two workers: what many public repositories have."""
    run, network = Run(settings()), settings().network
    torch.use_deterministic_algorithms(False)
    bce, dice = nn.BCEWithLogitsLoss(), smp.losses.DiceLoss("binary")
    with tempfile.TemporaryDirectory() as scratch:
        data = films(FILMS, SIDE)
        for i in range(FILMS):
            write_png(Path(scratch, f"image/{i}.png"), data.inputs[i, 0])
            write_png(Path(scratch, f"mask/{i}.png"), data.masks[i])
        files = Files(Path(scratch), FILMS)

        def plain(batch: int, loss: Loss, optimiser: type[torch.optim.Optimizer], **knobs: Any) -> Callable[[], None]:
            plain = build(network).to(run.fabric.device)
            loader = DataLoader(files, batch, shuffle=True, num_workers=2)
            step = optimiser(plain.parameters(), **knobs)
            return lambda: plain_epoch(loader, plain, step, loss)

        def both(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return bce(z, y) + dice(z, y)

        references = {
            "(a) classic, BCE + Dice, RMSprop, batch 8": plain(8, both, torch.optim.RMSprop, lr=1e-5, momentum=0.9),
            "(b) smp's tutorial, Dice, Adam, batch 16": plain(16, dice, torch.optim.Adam, lr=2e-4),
        }
        for name, reference in references.items():
            run.epoch()
            pairs = [(seconds(reference), seconds(run.epoch)) for _ in range(3)]
            times = statistics.median(a / b for a, b in pairs)
            print(f"{name}: {FILMS / min(a for a, _ in pairs):.1f} images/s, ours {times:.2f} times")


def one_size(count: int) -> None:
    """Peak memory and seconds per epoch of a training on small films, in a process of its own."""
    run = Run(settings(), count, 64)
    run.epoch()
    took = seconds(run.epoch)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps([took, int(peak.split()[1]) / 1024]))


def over_sizes() -> None:
    for count in SIZES:
        said = subprocess.run([sys.executable, __file__, str(count)], capture_output=True, text=True, check=True).stdout
        took, peak = json.loads(said)
        print(f"{count} films of 64 x 64: {1000 * took / count:.2f} ms a film and epoch, {peak:.0f} MB")


def start_up() -> None:
    script = "import time; t = time.perf_counter(); import stages.train.main; print(time.perf_counter() - t)"
    imports = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    data = seconds(lambda: [load_films(DATASET, side) for side in ("train", "validation")])
    model = seconds(lambda: Run(settings(), 8))
    print(f"start-up: imports {min(imports):.1f} s, data {data:.2f} s, model {model:.2f} s")


if __name__ == "__main__":
    if sys.argv[1:] == ["goal"]:
        goal()
    elif len(sys.argv) > 1:
        one_size(int(sys.argv[1]))
    else:
        on_gpu = (recorded_steps,) if torch.cuda.is_available() else ()
        for part in (start_up, against_the_limit, *on_gpu, determinism, against_plain_loops, over_sizes):
            part()
