"""Evaluation and report against what bounds them: the forward pass; imports and start-up are not counted.

Run: PYTHONPATH=. python benchmarks/evaluate.py      (1 minute; needs the outputs of `make repro`)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from stages import read_params
from stages.common.analysis.statistics import compare_metrics, pooled_f1_interval
from stages.common.core.files import read_json
from stages.common.data.dataset import load_films
from stages.common.data.layout import DATASET, DESCRIPTION, EVALUATION, MODELS
from stages.common.data.run_id import VARIANTS, Run
from stages.common.data.tables import PER_IMAGE, SPLIT
from stages.common.model.network import load_model, predict_logits
from stages.evaluate import main as evaluate
from stages.evaluate.params import Params
from stages.report import main as report
from stages.report.params import Params as ReportParams
from stages.report.tables import PAIRED

ROUNDS = 5
RUNS = [Run(name).folder for name in VARIANTS]
MODEL = MODELS / RUNS[1]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    network, films = load_model(MODEL), load_films(DATASET, "test")
    torch.set_num_threads(read_json(MODEL / DESCRIPTION)["machine"]["threads"])
    evaluate.log_test_metrics = lambda *_: 0  # MLflow's store is another benchmark
    with tempfile.TemporaryDirectory() as folder:

        def whole() -> None:
            evaluate.main(
                Params(folds=[1], threshold=0.5, temperature="none", boundary_px=3.0), "adaptive", target=Path(folder)
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
