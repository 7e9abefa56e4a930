"""Predict as ratios: a folder against the bare forward pass, the parts of one film, ONNX against torch, memory.

Run: PYTHONPATH=. python benchmarks/predict.py [FILMS]     (3 minutes; needs the outputs of `make repro`)

With FILMS, so many are predicted in one call and memory is read after each tenth.
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from stages.common.data.layout import MODELS, RAW
from stages.common.data.run_id import Run
from stages.common.data.tables import MANIFEST
from stages.ingest.params import CtWindow
from tools.predict import batch
from tools.predict.export import export
from tools.predict.films import decode
from tools.predict.model import Prediction, finished, from_onnx, open_model, prepared
from tools.predict.outputs import facts_of, write_prediction

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def quietly(films: list[str], output: Path, formats: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        batch.predict_films(films, "adaptive", output, formats.split(","), average=False, flip=False)


def resident_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def throughput(films: list[Path]) -> None:
    model = open_model("adaptive")
    inputs = np.stack([prepared(decode(path.read_bytes(), 64, CtWindow()).pixels, model)[1] for path in films])
    for formats in ("png,json,dicom-seg", "json"):
        pairs = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                whole = seconds(partial(quietly, list(map(str, films)), Path(folder), formats))
            whole -= seconds(lambda: open_model("adaptive"))  # after it torch has the threads of the training again
            bare = seconds(lambda: [model.probabilities(inputs[i : i + 8]) for i in range(0, len(inputs), 8)])
            pairs.append((len(films) / whole, bare / whole))
        speed, share = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"folder of {len(films)}, {formats}: {speed:.1f} films/s, {share:.2f} of the bare forward pass")


def latency(film: Path) -> None:
    """The parts of one film, and the whole command as a user waits for it."""
    model, content = open_model("adaptive"), film.read_bytes()
    decoded = decode(content, 64, CtWindow())
    frame, inputs = prepared(decoded.pixels, model)
    each = model.probabilities_of_each(inputs[None])[:, 0]
    prediction = finished(decoded.pixels.shape, frame, inputs, each, model)
    facts = facts_of(model, "", {}) | {"input_sha256": "0" * 64}
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], object]] = {
            "decode": lambda: decode(content, 64, CtWindow()),
            "prepare": lambda: prepared(decoded.pixels, model),
            "forward": lambda: model.probabilities(inputs[None]),
            "back to the film": lambda: finished(decoded.pixels.shape, frame, inputs, each, model),
            "write": lambda: write_prediction(Path(folder), decoded, prediction, facts, ["json", "png"]),
        }
        for name, work in parts.items():
            print(f"one film, {name}: {1000 * statistics.median(seconds(work) for _ in range(4 * ROUNDS)):.1f} ms")
        words = ["wrist", "predict", str(film), "--output", folder]
        whole = seconds(lambda: subprocess.run(words, check=True, capture_output=True))
    opening = seconds(lambda: open_model("adaptive"))
    print(f"one film, the whole command: {whole:.1f} s, of which opening the model {opening:.2f} s")


def onnx(films: list[Path]) -> None:
    model = open_model("adaptive")
    inputs = np.stack([prepared(decode(path.read_bytes(), 64, CtWindow()).pixels, model)[1] for path in films])
    with tempfile.TemporaryDirectory() as folder:
        apart = export(MODELS / Run("adaptive").folder, Path(folder) / "onnx", inputs)
        size = (Path(folder) / "onnx/model.onnx").stat().st_size
        exported = from_onnx(Path(folder) / "onnx")

        def over(probabilities: Callable[[np.ndarray], np.ndarray]) -> Callable[[], object]:
            return lambda: [probabilities(inputs[i : i + 8]) for i in range(0, len(inputs), 8)]

        pairs = [(seconds(over(exported.probabilities)), seconds(over(model.probabilities))) for _ in range(ROUNDS)]
    ratio = statistics.median(b / a for a, b in pairs)
    facts = f"{size / 1e6:.0f} MB, within {apart:.1g} of torch, {ratio:.2f} times its speed"
    print(f"ONNX: {facts} ({torch.get_num_threads()} threads)")


def memory(films: list[Path], count: int) -> None:
    """Many films in one call, as links to a few."""
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        for number in range(count):
            (inbox / f"{number:06}.png").symlink_to(films[number % len(films)].resolve())
        real, count_done = batch.summary, [0]

        def counted(prediction: Prediction) -> str:
            count_done[0] += 1
            if count_done[0] % (count // 10) == 0:
                print(f"after {count_done[0]} films: {resident_mb():.0f} MB", file=sys.__stdout__, flush=True)
            return real(prediction)

        with mock.patch.object(batch, "summary", counted):
            quietly([str(inbox)], Path(folder) / "out", "json")


def main() -> None:
    films = [RAW / file for file in MANIFEST.read(RAW)["file"]]
    if len(sys.argv) > 1:
        memory(films, int(sys.argv[1]))
        return
    throughput(films[-80:])
    latency(films[-1])
    onnx(films[-40:])


if __name__ == "__main__":
    main()
