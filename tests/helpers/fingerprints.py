"""SHA-256 of what the libraries compute on fixed inputs, in order, so that the first that differs names the operation.

Run: python -m tests.helpers.fingerprints           (prints them as JSON)
     python -m tests.helpers.fingerprints --write   (writes the golden file anew)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import cv2
import numpy as np
import scipy.linalg
import scipy.ndimage
import torch
from torch import Tensor, nn

from stages.common.model.network import to_input
from stages.train.params import Params
from tests.helpers.films import squares
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.training import start

GOLDEN = ROOT / "tests/golden/fingerprints.json"
STEPS = 3


def sha(array: Any) -> str:
    """The first 16 digits of the SHA-256 of an array's or tensor's bytes."""
    values = array.detach().cpu() if isinstance(array, Tensor) else array
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def fingerprints() -> dict[str, str]:
    """Of NumPy, SciPy and OpenCV, then of a training of three steps with the default params on small films."""
    return {name: sha(array) for name, array in (*library_results(), *training_results())}


def library_results() -> Iterator[tuple[str, Any]]:
    """Functions of the data stages, metrics and statistics whose last bits hang on the instructions that are used."""
    random = np.random.default_rng(0)
    x, square = random.random(10_007), random.random((201, 201))
    film = (random.random((333, 417)) * 255).astype(np.uint8)
    for name in ("exp", "log", "log1p", "log2", "sqrt", "tanh"):
        yield f"numpy.{name}", getattr(np, name)(x)
        yield f"numpy.{name} float32", getattr(np, name)(x.astype(np.float32))
    yield "numpy.sum", x.sum()
    yield "numpy.matmul", square @ square
    yield "numpy.linalg.svd", np.linalg.svd(square)[1]
    yield "scipy.linalg.pinvh", scipy.linalg.pinvh(square @ square.T)
    yield "scipy.ndimage.gaussian_filter", scipy.ndimage.gaussian_filter(square, 2.0)
    yield "scipy.ndimage.distance_transform_edt", scipy.ndimage.distance_transform_edt(square > 0.5)
    for name in ("INTER_CUBIC", "INTER_AREA", "INTER_LINEAR"):
        for kind in (np.uint8, np.float32):
            resized = cv2.resize(film.astype(kind), (256, 256), interpolation=getattr(cv2, name))
            yield f"cv2.resize {name} {kind.__name__}", resized
    yield "cv2.medianBlur", cv2.medianBlur(film, 3)


def training_results() -> Iterator[tuple[str, Any]]:
    """The first forward pass layer by layer, the gradients of its sum, and the weights after some steps."""
    content = merge(read_yaml(ROOT / "params.yaml")["train"], {"loop": {"precision": "portable", "accelerator": "cpu"}})
    films = squares(8, 0, 64)
    state, rows, _ = start(Params.model_validate(content), films=(films, films))
    network = state.network
    yield from ((f"initial {name}", value.clone()) for name, value in network.state_dict().items())
    yield from one_pass(network, films.inputs)
    for step, row in enumerate(islice(rows, STEPS)):
        yield (
            f"losses of step {step}",
            np.array([row["train_loss"], row["train_dice_loss"], row["train_bce_loss"]]),
        )
    yield from ((f"weights {name}", value) for name, value in network.state_dict().items())


def one_pass(network: nn.Module, inputs: np.ndarray) -> Iterator[tuple[str, Tensor]]:
    """What each layer gives on the way to the logits of (N, C, S, S) films, and the gradients on the way back."""
    results: list[tuple[str, Tensor]] = []

    def keep(name: str, module: nn.Module, given: Any, output: Tensor) -> None:
        results.append((f"layer {name}", output.detach().clone()))

    layers = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in layers]
    network.eval()(to_input(torch.from_numpy(inputs))).mean().backward()
    for hook in hooks:
        hook.remove()
    yield from results
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            yield f"gradient {name}", parameter.grad.clone()
    network.zero_grad()
    network.train()


if __name__ == "__main__":
    text = json.dumps(fingerprints(), indent=1) + "\n"
    if sys.argv[1:] == ["--write"]:
        GOLDEN.write_text(text)
    else:
        print(text, end="")
