"""Evaluation and report against what bounds them: the forward pass; imports and start-up are not counted.

Run: PYTHONPATH=. python benchmarks/evaluate.py      (1 minute; needs the outputs of `make repro`)
     PYTHONPATH=. python benchmarks/evaluate.py gpu  (the passes of evaluate and predict on a GPU, and their masks)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages import read_params
from stages.common.analysis.statistics import compare_metrics, pooled_f1_interval
from stages.common.core.files import read_json
from stages.common.data.dataset import load_films
from stages.common.data.layout import DATASET, DESCRIPTION, EVALUATION, METRICS, MODELS
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import PER_IMAGE, SPLIT
from stages.common.model.calibration import to_probabilities
from stages.common.model.devices import MASKS_APART, be_deterministic, device_name, has_gpu
from stages.common.model.network import load_model, predict_logits, to_input
from stages.evaluate import main as evaluate
from stages.evaluate.params import Params
from stages.report import main as report
from stages.report.params import Params as ReportParams
from stages.report.tables import PAIRED
from tools.predict.model import on_gpu
from tools.predict.together import ROOM

ROUNDS = 5
RUNS = [Run(name).folder for name in VARIANTS]
MODEL = MODELS / RUNS[1]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def bare(network: nn.Module, block: torch.Tensor, passes: int) -> None:
    """The forward pass alone, on films that are there already."""
    for _ in range(passes):
        network(block)
    if block.device.type == "cuda":
        torch.cuda.synchronize()


def against_the_processor(device: torch.device, repeats: int = 16) -> None:
    """Passes of `evaluate` and `predict` on a GPU against the bare one, and their masks against the processor's.

    Raises:
        SystemExit: the masks are further apart than is promised, or a film's bits depend on its neighbours.
    """
    threads = read_json(MODEL / DESCRIPTION)["machine"]["threads"]
    cut = read_json(EVALUATION / RUNS[1] / METRICS)["threshold"]["value"]
    network, inputs = load_model(MODEL), load_films(DATASET, "test").inputs
    expected = to_probabilities(predict_logits(network, inputs))
    be_deterministic(threads)
    shared = on_gpu([network], device, threads)[0]
    found = to_probabilities(predict_logits(network, inputs))
    masks, apart = (found >= cut) != (expected >= cut), np.abs(found - expected).max()
    print(
        f"{device_name(device)}: {masks.sum()} of {masks.size} pixels of {len(inputs)} masks differ from those of the "
        f"processor ({masks.mean():.2g}, allowed {MASKS_APART:g}); probabilities by at most {apart:.2g}"
    )
    many = np.concatenate([inputs] * repeats)[: len(inputs) * repeats // ROOM * ROOM]
    block = to_input(torch.from_numpy(many[:ROOM]).to(device))

    def predict() -> list[np.ndarray]:
        with ThreadPoolExecutor(2 * ROOM) as pool:
            return list(pool.map(lambda film: np.asarray(shared(film[None])[0]), many))

    alone = [np.asarray(shared(film[None])[0]) for film in inputs]
    unequal = sum(not np.array_equal(logits, alone[i % len(inputs)]) for i, logits in enumerate(predict()))
    bare(network, block, 1)
    rounds = [
        (
            seconds(lambda: bare(network, block, len(many) // ROOM)),
            seconds(lambda: predict_logits(network, many)),
            seconds(predict),
        )
        for _ in range(ROUNDS)
    ]
    limit = statistics.median(one for one, *_ in rounds)
    print(f"bare forward pass in blocks of {ROOM}: {len(many) / limit:.0f} films/s")
    for column, name in ((1, "evaluate"), (2, "predict, films of 16 threads")):
        ratio = statistics.median(one[0] / one[column] for one in rounds)
        print(f"{name}: {ratio:.2f} of the bare forward pass")
    print(f"{unequal} of {len(many)} films got other bits in company than alone")
    if masks.mean() > MASKS_APART or unequal:
        sys.exit("benchmarks/evaluate.py gpu: expected neither; please report this with the card and the driver")


def main() -> None:
    if sys.argv[1:] == ["gpu"]:
        if not has_gpu():
            sys.exit("benchmarks/evaluate.py gpu: expected an NVIDIA GPU, found none")
        against_the_processor(torch.device("cuda", 0))
        return
    network, films = load_model(MODEL), load_films(DATASET, "test")
    torch.set_num_threads(read_json(MODEL / DESCRIPTION)["machine"]["threads"])
    evaluate.log_test_metrics = lambda *_: 0  # MLflow's store is another benchmark
    with tempfile.TemporaryDirectory() as folder:

        def whole() -> None:
            evaluate.main(
                Params(folds=[1], threshold=0.5, temperature="none", boundary_px=3.0, accelerator="cpu"),
                "adaptive",
                target=Path(folder),
            )

        whole()
        pairs = [(seconds(whole), seconds(lambda: predict_logits(network, films.inputs))) for _ in range(ROUNDS)]
    forward = statistics.median(b for _, b in pairs)
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{len(films.ids)} films: forward pass {forward:.2f} s, evaluation {ratio:.2f} times that")
    tables = [PER_IMAGE.read(EVALUATION / run).assign(seed=1) for run in RUNS]
    patients = SPLIT.read(DATASET).set_index("image_id").loc[tables[0]["image_id"], "group"]

    def all_statistics() -> None:
        compare_metrics(*tables, patients, PAIRED)
        for pair in ((tables[0], None), (tables[1], None), (tables[0], tables[1])):
            pooled_f1_interval(*pair, patients)

    print(f"statistics with 10,000 draws: {seconds(all_statistics):.1f} s")
    settings = ReportParams.model_validate(read_params(Path("params.yaml"))["report"])
    print(f"report: {seconds(lambda: report.main(settings)):.1f} s")


if __name__ == "__main__":
    main()
