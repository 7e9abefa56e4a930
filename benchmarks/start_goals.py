"""Each start up to its first work, and a `dvc repro` with nothing to do, against a reference in the same run.

In turns with its reference, the least of ROUNDS: processor time of the command and of all that it waits for, and
seconds by the clock. Run it in a project with the outputs of `make repro`.

Run: PYTHONPATH=. python benchmarks/start_goals.py
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.processes import environment, run
from tests.helpers.projects import use_own_site_cache

ROUNDS = 3
# A program that ends before or after the first call of a function of one of its modules.
UP_TO = """
import os, runpy, sys
import {commands} as commands
begin = commands.begin_working
def begin_working():
    begin()
    module = sys.modules["{module}"]
    call = module.{function}
    def call_and_end(*args, **kwargs):
        if {after}:
            call(*args, **kwargs)
        os._exit(0)
    module.{function} = call_and_end
commands.begin_working = begin_working
sys.argv = {words}
{start}
"""
WRIST = "from tools.wrist import main; main()"


@dataclass(frozen=True)
class Start:
    """What is measured, as the words of a command, against another, and the seconds that it shall take at most."""

    name: str
    words: list[str]
    reference: str
    reference_words: list[str]
    goal: str


def up_to(module: str, function: str, *words: str) -> list[str]:
    """A stage up to the first call of a function, or `wrist` up to its end."""
    stage = "" if words[0] == "wrist" else words[0]
    commands = "stages" if stage else "tools.command_line"
    start = f"runpy.run_module('{stage}', run_name='__main__', alter_sys=True)" if stage else WRIST
    names = {"commands": commands, "module": module, "function": function, "words": list(words), "start": start}
    return python(UP_TO.format(after=not stage, **names))


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def starts(film: Path, here: Path) -> list[Start]:
    """All starts.

    Args:
        film: a picture.
        here: the project's root.
    """
    pandas = ("`import pandas`", python("import pandas"))
    torch, nothing = ("`import torch`", python("import torch")), ("`pass`", python("pass"))
    onnx = ("`import cv2, onnxruntime`", python("import cv2, onnxruntime"))
    dvc = ("`dvc repro`, one stage", ["dvc", "--cd", "one", "repro", "--quiet"])
    helps = [
        Start(f"`{' '.join(words)} --help`", [*command, "--help"], *nothing, "0.3")
        for words, command in (
            (["wrist"], ["wrist"]),
            (["wrist", "predict"], ["wrist", "predict"]),
            (["wrist", "audit", "trace"], ["wrist", "audit", "trace"]),
            (["python", "-m", "stages.train"], [sys.executable, "-m", "stages.train"]),
        )
    ]
    predict = ("wrist", "predict", "--model", "exported", str(film))
    run_words = ("baseline", "1", "1")
    return [
        *helps,
        Start("`predict`, ONNX: first mask", up_to("tools.predict.batch", "write_prediction", *predict), *onnx, "1"),
        Start("`train`: first step", up_to("stages.train.loop", "fit_step", "stages.train", *run_words), *torch, "4"),
        Start(
            "`evaluate`: first film",
            up_to("stages.evaluate.main", "predict_logits", "stages.evaluate", *run_words),
            *torch,
            "3",
        ),
        Start("`report`: its tables", up_to("stages.report.main", "read_runs", "stages.report"), *pandas, "3"),
        Start("`dvc repro`, nothing to do", ["dvc", "--cd", str(here), "repro", "--quiet"], *dvc, "1"),
        Start("what follows in `make repro`", ["sh", "-c", f"cd '{here}' && wrist report --lineage"], *dvc, ""),
    ]


def seconds(words: list[str], folder: Path) -> tuple[float, float]:
    """Processor time and seconds by the clock of a command in a folder."""
    own = environment() | {"DEVICE_LOCK_DIR": str(folder), "DVC_NO_ANALYTICS": "1"}
    shutil.rmtree(folder / "predictions", ignore_errors=True)  # a film that is done would be skipped
    begin = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    clock = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


def prepare(here: Path, folder: Path) -> Path:
    """Fill a folder in which commands can start as in the project and leave nothing there; returns a film."""
    for name in ("data", "models", "params.yaml"):
        (folder / name).symlink_to(here / name)
    (folder / "reports").mkdir()
    (folder / "reports/evaluation").symlink_to(here / "reports/evaluation")
    shutil.copy(here / "mlflow.db", folder)
    run(here, "wrist", "export", "--output", str(folder / "exported"))
    one = folder / "one"
    one.mkdir()
    run(one, "git", "init", "-q")
    run(one, "dvc", "init", "-q")
    use_own_site_cache(one)
    (one / "dvc.yaml").write_text("stages:\n  one:\n    cmd: echo 1 > made\n    outs: [made]\n")
    run(one, "dvc", "repro", "-q")
    return min((here / "data/raw/images").glob("*.png")).resolve()


def main() -> None:
    here = Path.cwd()
    print("| | s | by the clock | reference | s | ratio | goal, s |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for start in starts(prepare(here, folder), here):
            rounds = [[seconds(words, folder) for words in (start.words, start.reference_words)] for _ in range(ROUNDS)]
            (ours, clock), (reference, _) = (map(min, zip(*times, strict=True)) for times in zip(*rounds, strict=True))
            row = f"{ours:.2f} | {clock:.2f} | {start.reference} | {reference:.2f} | {ours / reference:.1f}"
            print(f"| {start.name} | {row} | {start.goal} |", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")


if __name__ == "__main__":
    main()
