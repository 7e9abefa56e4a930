"""Sweeps through DVC, MLflow and Optuna, in a toy project: the lines of docs/, stopped ones, failing ones, the page."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from dvc.lock import DEFAULT_TIMEOUT, Lock
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Page

from stages.common.core.arithmetic import TORCH
from tests.helpers.pages import widths_of_tables
from tests.helpers.params import change_params
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_environment, on_small_disk, read_until, run, wait_for
from tests.helpers.projects import copy_project, stages_run

pytestmark = pytest.mark.slow
SWEEP = ["wrist", "sweep"]


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(finished, tmp_path_factory.mktemp("project"))


def sweep_and_below(project: Path, sweep: str) -> tuple[Run, dict[str, Run]]:
    """A sweep's own run in MLflow, and the runs below it by their names."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("wrist-fracture")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], f"tags.sweep = '{sweep}'")
    below = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    return parent, {str(item.info.run_name): item for item in below}


def queue_status(project: Path) -> str:
    """What DVC's queue says; it fails now and then when a worker tidies up at that moment."""
    words = ["dvc", "queue", "status"]
    return subprocess.run(
        words, cwd=project, env=forked_environment(), capture_output=True, text=True, check=False
    ).stdout


def test_the_lines_of_the_docs_queue_what_they_say(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path)
    text = (ROOT / "docs/how-to/sweeps.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("dvc exp run --queue")]
    assert len(lines) == 3
    for line in lines:
        subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=project, env=forked_environment(), check=True)
    named = re.findall(r"\b((?:grid|method|seeds)(?:-\d+)?)\s.*Queued", queue_status(project))
    assert len([name for name in named if name.startswith("grid-")]) == 9
    assert len([name for name in named if name.startswith("method-")]) == 7
    assert len(named) == 17
    run(project, "dvc", "queue", "remove", "--queued")


def test_a_queued_grid_of_two_workers_trains_adaptive_only(project: Path) -> None:
    run(
        project, "dvc", "exp", "run", "--queue", "--name", "grid",
        "-S", "train.adaptive.alpha.start=0.1,0.5", "-S", "train.adaptive.alpha.end=0.9",
    )  # fmt: skip
    words = ["dvc", "queue", "start", "--jobs", "2"]
    subprocess.run(words, cwd=project, env=forked_environment(), check=True)

    def settled() -> bool:
        return len(re.findall(r"\b(?:Success|Failed)\b", queue_status(project))) == 2

    wait_for(settled)
    status = queue_status(project)
    assert "Failed" not in status, status
    for name in ("grid-1", "grid-2"):
        expected = {"train@adaptive-1-1", "evaluate@adaptive-1-1", "report"}
        assert stages_run(run(project, "dvc", "queue", "logs", name)) == expected
    _, below = sweep_and_below(project, "grid")
    kept = {name: item.data.metrics["kept_validation_dice"] for name, item in below.items()}
    assert set(kept) == {"grid-1 adaptive-1-1", "grid-2 adaptive-1-1"}
    output = run(project, *SWEEP, "report", "grid")
    parent, _ = sweep_and_below(project, "grid")
    assert parent.data.metrics == {"experiments": 2, "best_validation_dice": pytest.approx(max(kept.values()))}
    assert kept[f"{parent.data.tags['best_experiment']} adaptive-1-1"] == max(kept.values())
    assert "2 experiments -> reports/sweep.html" in output
    page = (project / "reports/sweep.html").read_text()
    assert "test F1" in page
    check_columns(project, {name.split()[0]: dice for name, dice in kept.items()})


def check_columns(project: Path, dice: dict[str, float]) -> None:
    """The line of the docs shows what was swept and the scores, and not the forty columns of all metrics and epochs.

    Args:
        project: with a grid over alpha at the start.
        dice: of the kept epoch on the validation films, by experiment.
    """
    text = (ROOT / "docs/how-to/sweeps.md").read_text()
    (line,) = re.findall(r"^dvc exp show .*$", text, re.MULTILINE)
    rows = list(csv.DictReader(run(project, "bash", "-c", f"{line} --csv").splitlines()))
    score, swept = "reports/validation/adaptive-1-1.json:dice", "train.adaptive.alpha.start"
    assert rows[0].keys() - {"State"} == {"Experiment", "rev", "typ", score, swept, "train.adaptive.alpha.end"}
    shown = {row["Experiment"]: (float(row[score]), row[swept]) for row in rows if row["Experiment"]}
    assert shown == {"grid-1": (dice["grid-1"], "0.1"), "grid-2": (dice["grid-2"], "0.5")}


def test_the_lines_of_the_docs_apply_and_compare_experiments_and_keep_them_when_room_is_made(project: Path) -> None:
    text = (ROOT / "docs/how-to/sweeps.md").read_text()
    (block,) = re.findall(r"^dvc exp apply .*?^dvc plots diff .*?$", text, re.DOTALL | re.MULTILINE)
    lines = block.replace("grid-3", "grid-2").replace("NAME", "grid-1")
    said = run(project, "bash", "-euo", "pipefail", "-c", lines)
    assert re.search(r"reports/validation/adaptive-1-1\.json +dice +0\.\d+ +0\.\d+ ", said)
    page = (project / "dvc_plots/index.html").read_text()
    assert "grid-1" in page
    assert "history.csv" in page
    (line,) = re.findall(r"^dvc gc .*$", text, re.MULTILINE)
    run(project, "git", "restore", "--staged", "--worktree", "params.yaml", "dvc.lock")
    run(project, *line.split(), "--force")
    run(project, "dvc", "checkout")
    run(project, "dvc", "exp", "apply", "grid-1")  # fails where a file of it is gone
    run(project, "git", "restore", "--staged", "--worktree", "params.yaml", "dvc.lock")
    run(project, "dvc", "checkout")


def test_the_page_is_accessible_and_asks_for_nothing(visit: Callable[..., Page], project: Path) -> None:
    page = visit(project / "reports/sweep.html", 1000)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.locator(".charts figure").count() >= 3
    assert widths_of_tables(page) == [{11}], "a cell for each heading"
    for width in (1000, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_search_tries_the_known_first_and_goes_on_when_called_again(project: Path) -> None:
    words = [*SWEEP, "search", "wide", "--trials", "2", "--jobs", "2"]
    search = subprocess.Popen(words, cwd=project, env=forked_environment(), stderr=subprocess.PIPE, text=True)
    read_until(search.stderr, "wide-0: share at the start 0.3, share at the end 0.7")
    with Lock(str(project / ".dvc/tmp/lock")):
        time.sleep(DEFAULT_TIMEOUT + 5)  # both experiments wait for longer than DVC does unless it is asked to
    output = search.communicate()[1]
    assert output.count("validation Dice") == 2, output
    output = run(project, *SWEEP, "search", "wide", "--trials", "3")
    assert "wide-2: validation Dice" in output
    assert "wide-1:" not in output
    assert "3 experiments -> reports/sweep.html" in output
    _, below = sweep_and_below(project, "wide")
    assert set(below) >= {f"wide-{number} adaptive-1-1" for number in (1, 2)}
    shown = run(project, "dvc", "exp", "show", "--csv")
    assert "reports/validation/adaptive-1-1.json:dice" in shown.splitlines()[0].split(",")
    page = (project / "reports/sweep.html").read_text()
    assert "If all 3 experiments were equally good" in page
    assert "The test films were not looked at." in page
    assert not re.search(r'(?:src|href)="https?:', page)
    run(project, "dvc", "exp", "apply", "wide-1")
    assert json.loads((project / "reports/validation/adaptive-1-1.json").read_text())["dice"] > 0
    run(project, "git", "checkout", "params.yaml", "dvc.lock")
    run(project, "dvc", "checkout")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "wide", "-S", "train.loop.epochs=3"], "train.loop.epochs is 3 here and 2 there"),
        (
            ["arms", "wide", "--seeds", "1", "-S", "annotate.mask=polygon"],
            "annotate.mask is polygon here and box there",
        ),
        (["arms", "wide", "--seeds", "1,2"], "train.seeds is [1, 2] here and [1] there"),
        (
            ["search", "wide", "--range", "train.adaptive.alpha.end=0..1"],
            "train.adaptive.alpha.start is 0.3 here and ",  # trials of the other search, which varies it
        ),
        (["arms", "other", "--seeds", "1,2,1"], "expected each seed once, found '1,2,1'"),
    ],
)
def test_another_sweep_under_the_same_name_is_refused(words: list[str], message: str, project: Path) -> None:
    code = 2 if "each seed once" in message else 1
    assert message in " ".join(run(project, *SWEEP, *words, code=code).split())


def test_other_data_and_other_code_under_the_same_name_are_refused(project: Path) -> None:
    lock, code = project / "dvc.lock", [project / f"stages/{name}.py" for name in ("train/loss", "evaluate/curves")]
    text = lock.read_text()
    for path in code:
        with path.open("a") as file:
            file.write("# other\n")
    lock.write_text(re.sub(r"(path: data/dataset\n\s+hash: md5\n\s+md5: )\w{32}", r"\g<1>" + "0" * 32, text))
    said = run(project, *SWEEP, "arms", "wide", "--seeds", "1", code=1)
    of_search = run(project, *SWEEP, "search", "wide", code=1)
    lock.write_text(text)
    run(project, "git", "checkout", "-q", *map(str, code))
    assert f"data/dataset is {'0' * 32}.dir here and " in " ".join(said.split())
    assert re.search(r"stages/train is \w{32}\.dir here and \w{32}\.dir there", " ".join(said.split()))
    assert re.search(r"stages/evaluate is \w{32}\.dir here and \w{32}\.dir there", " ".join(said.split()))
    assert "stages/common" not in said
    assert "stages/train is" in of_search
    assert "stages/evaluate is" not in of_search, "a search tests nothing"


def test_the_network_of_the_best_experiment_loads_from_the_registry_in_a_clean_process(
    project: Path, tmp_path: Path
) -> None:
    output = run(project, *SWEEP, "register", "wide")
    assert "as models:/wrist-fracture@champion" in output
    assert run(project, *SWEEP, "register", "wide") == output  # no second version
    (load,) = re.findall(
        r'^python -c "import mlflow; (mlflow\.pyfunc.*)"$',
        (ROOT / "docs/how-to/sweeps.md").read_text(),
        re.MULTILINE,
    )
    script = f"""
import mlflow, numpy
model = {load}
print("logits", model.predict(numpy.zeros((1, 1, 64, 64), numpy.uint8)).shape)
versions = mlflow.MlflowClient().search_model_versions("name = 'wrist-fracture'")
print("versions", [version.version for version in versions])
"""
    store = f"MLFLOW_TRACKING_URI=sqlite:///{project}/mlflow.db"
    said = run(tmp_path, "env", store, sys.executable, "-c", script)
    assert "logits (1, 64, 64)" in said
    assert "versions [1]" in said or "versions ['1']" in said
    assert "found none" in run(project, *SWEEP, "register", "nothing", code=1)


def test_a_killed_training_costs_its_trial_only_and_a_search_goes_on_with_the_trial_that_was_stopped(
    project: Path,
) -> None:
    words = [*SWEEP, "search", "long", "--trials", "1", "-S", "train.loop.epochs=24"]
    logs = [project / f".dvc/tmp/sweep/long-{number}.log" for number in (0, 1)]

    def start() -> subprocess.Popen[str]:
        own = forked_environment() | {"FRESH_DVC": "1"}  # below which a stopped search looks for the training
        return subprocess.Popen(words, cwd=project, env=own, stderr=subprocess.PIPE, text=True)

    def wait_for_epoch(log: Path) -> None:
        wait_for(lambda: log.exists() and re.search(r"epoch \d+/24", log.read_text()) is not None)

    search = start()
    wait_for_epoch(logs[0])
    matches = subprocess.run(["pgrep", "-f", "stages.train adaptive 1 1"], capture_output=True, text=True, check=False)
    mine = [pid for pid in matches.stdout.split() if str(project) in str(Path(f"/proc/{pid}/cwd").resolve())]
    assert mine
    for pid in mine:
        subprocess.run(["kill", "-KILL", pid], check=False)
    wait_for_epoch(logs[1])
    search.send_signal(signal.SIGTERM)
    _, output = search.communicate()
    assert search.returncode == 75, output
    assert "long-0: failed" in output
    assert "long-1: stopped" in output
    assert list((project / ".checkpoints").glob("*.safetensors"))
    search = start()
    _, output = search.communicate()
    assert search.returncode == 0, output
    assert "resumes in epoch" in logs[1].read_text()
    assert re.search(r"long-1: .*validation Dice", output)
    assert "wide-1" in run(project, "dvc", "exp", "list", "--all-commits")


def test_a_search_waits_on_a_full_disk_and_goes_on_when_there_is_room(finished: Path, tmp_path: Path) -> None:
    # a network whose checkpoint does not fit into the room that is left for it
    large = ["-S", "train.loop.epochs=2", "-S", "train.network.encoder=resnet18"]
    search = " ".join([*SWEEP, "search", "full", "--trials", "1", *large])
    fill = "fallocate -l $(($(df -B1 --output=avail . | tail -1) - {room})) data/filler"
    script = f"""
    cp -a {finished}/. .
    printf '[core]\\n    site_cache_dir = {tmp_path}/site-cache\\n' > .dvc/config.local
    {fill.format(room=0)}
    {search} 2>&1 || echo "ended with $?"
    rm data/filler
    {fill.format(room=100_000_000)}
    {search} > {tmp_path}/log 2>&1 &
    until grep "no room on a disk" {tmp_path}/log; do sleep 0.2; kill -0 $! || exit 3; done
    rm data/filler
    wait $!
    cat {tmp_path}/log
    git fsck 2>&1
    dvc status
    """
    (tmp_path / "disk").mkdir()
    output = on_small_disk(tmp_path / "disk", "2g", textwrap.dedent(script))
    assert "Traceback" not in output
    none, enough = output.split("ended with 1\n")
    assert "optuna.db: the study cannot be written: database or disk is full" in none
    assert "sweep: full-0: no room on a disk: there was none for a moment" in enough
    assert enough.count("validation Dice") == 1
    assert "sweep full: 1 experiments" in enough
    assert "Data and pipelines are up to date." in enough


def test_both_trainings_of_the_matrix_run_at_once_and_dvc_repro_finds_them_done(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(finished, tmp_path)
    change_params(project, {"train": {"loop": {"epochs": 30}}})  # long enough to overlap
    monkeypatch.setenv("DEVICE_LOCK_DIR", str(tmp_path / "locks"))  # trainings of other tests would be waited for
    said = run(project, "wrist", "repro", "--jobs", "2")
    for stage in ("train", "evaluate"):
        for variant in ("baseline", "adaptive"):
            assert f"Stage '{stage}@{variant}-1-1' is cached - skipping run" in said
    assert "up to date" in run(project, "dvc", "status")
    assert "repro-" not in run(project, "dvc", "exp", "list", "--all-commits")
    _, below = sweep_and_below(project, "repro")
    spans = [(item.info.start_time, item.info.end_time) for item in below.values()]
    assert len(spans) == 2
    if len(os.sched_getaffinity(0)) > 1:
        assert max(start for start, _ in spans) < min(end for _, end in spans)


def test_a_dry_run_tells_the_cost_and_starts_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCH:
        monkeypatch.delenv(name)  # as for a user
    words = ("sweep", "arms", "honest", "--seeds", "1,2,3,4,5", "-S", "train.loop.epochs=3", "--dry-run")
    output = run(project, str(Path(sys.executable).with_name("wrist")), *words)
    assert "15 experiments x 5 seeds x 1 folds = 75 trainings of 3 epochs on 12 films" in output
    assert "On this machine some" in output
    assert "On one H200 some" in output
    assert "honest" not in run(project, "dvc", "exp", "list", "--all-commits")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.loop.epochs=many", "train.loop.epochs: Input should be a valid integer (found 'many')"),
        ("train.loop.epoch=3", "Could not override 'train.loop.epoch'"),
    ],
)
def test_a_change_that_cannot_be_is_refused_before_any_work(change: str, message: str, project: Path) -> None:
    assert message in run(project, *SWEEP, "arms", "honest", "-S", change, "--dry-run", code=1)


def test_a_name_without_experiments_is_one_sentence(project: Path) -> None:
    assert "expected experiments named nothing-number or nothing-arm" in run(
        project, *SWEEP, "report", "nothing", code=1
    )
