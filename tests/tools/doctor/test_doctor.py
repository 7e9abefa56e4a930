"""The doctor on this machine, and on ones that lack something."""

import json
import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest

from scripts.site_cache import main as give_own_folder
from stages.common.core.process import process_name
from stages.common.model.tracking import HOST, PROCESS, open_client, training_run
from stages.ingest.params import Params as Ingest
from stages.train.params import Params as Train
from tests.helpers.commands import wrist
from tests.helpers.params import merge
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tools.doctor.before_repro import inbox, lock
from tools.doctor.checks import show
from tools.doctor.findings import CheckResult, Severity
from tools.doctor.machine import memory, space, threads
from tools.doctor.packages import CUDA, packages
from tools.doctor.records import dead_runs, results
from tools.doctor.services import kaggle, remotes, site_cache, tracking
from tools.sweep.capacity import training_bytes


@pytest.fixture
def project(here: Path, toy_params: dict[str, Any]) -> Path:
    """A folder with params.yaml, in git and DVC."""
    (here / "params.yaml").write_text(json.dumps(toy_params))
    run(here, "git", "init", "-q")
    run(here, "dvc", "init", "-q")
    return here


@pytest.mark.slow
def test_a_machine_that_can_run_the_pipeline_gets_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist("doctor") == 0
    output = capsys.readouterr().out
    for what in ("packages", "device", "threads", "memory", "disk", "DVC remote", "MLflow", "results", "Kaggle"):
        assert what in output
    assert output.endswith("doctor: ready\n")


@pytest.mark.slow
def test_it_runs_as_the_readme_says() -> None:
    assert "doctor: ready" in run(ROOT, "wrist", "doctor")


def test_params_that_cannot_be_used_are_a_fault(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("train: {}")
    assert wrist("doctor") == 1
    assert "this section is missing" in capsys.readouterr().out


def test_a_package_of_another_version_is_a_warning_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "same").write_text(f"numpy=={version('numpy')}\nscipy=={version('scipy')}\n")
    assert packages(tmp_path / "same")[0].state == Severity.GOOD
    (tmp_path / "other").write_text(f"numpy==0.1\nscipy=={version('scipy')}\nno-such-package==2.0\n")
    (finding,) = packages(tmp_path / "other")
    assert finding.state == Severity.WARN
    assert f"numpy {version('numpy')} (0.1), no-such-package missing (2.0)" in finding.message
    assert "scipy" not in finding.message
    assert len(finding.message.splitlines()) == 1


def test_a_torch_for_the_cpu_needs_no_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image of the Dockerfile without a GPU."""
    monkeypatch.setattr("tools.doctor.packages.installed_version", lambda name: {"torch": "2.0+cpu"}.get(name, ""))
    (tmp_path / "lock").write_text("torch==2.0\nnvidia-cublas==1\ntriton==3\nnvidia-ml-py==13\n")
    output = packages(tmp_path / "lock")[0].message
    assert "torch 2.0+cpu (2.0), nvidia-ml-py missing (13);" in output
    layer = re.search(r"/(\S+)/ \? \"torch.lock\"", (ROOT / "Dockerfile").read_text())  # of which an image keeps two
    assert layer is not None
    pins = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalpha()]
    with_torch = {line.split("==")[0] for line in pins if re.search(layer[1], line)}
    assert with_torch - {"torch", "torchvision"} == {line.split("==")[0] for line in pins if CUDA.match(line)}


def test_more_threads_than_cores_are_a_warning(toy_params: dict[str, Any]) -> None:
    (finding,) = threads(Train.model_validate(merge(toy_params["train"], {"loop": {"threads": 1024}})).loop)
    assert finding.state == Severity.WARN


def test_a_batch_that_no_memory_holds_is_a_fault(toy_params: dict[str, Any]) -> None:
    assert memory(Train.model_validate(toy_params["train"]), 64)[0].state == Severity.GOOD
    huge = Train.model_validate(merge(toy_params["train"], {"loop": {"batch": 4096}}))
    assert memory(huge, 4096)[0].state == Severity.BAD


def test_memory_grows_with_pixels_and_films(toy_params: dict[str, Any]) -> None:
    train = Train.model_validate(toy_params["train"])
    double = Train.model_validate(merge(toy_params["train"], {"loop": {"batch": 2 * train.loop.batch}}))
    small, wide, many = training_bytes(train, 64), training_bytes(train, 128), training_bytes(double, 64)
    fixed = small - (many - small)  # what does not depend on the films
    # The statistics of batch normalisation, a fraction of a percent, do not grow with the pixels.
    assert wide - fixed == pytest.approx(4 * (small - fixed), rel=0.01)


def test_trainings_that_fill_the_disk_are_a_fault(here: Path) -> None:
    assert space([1], [1])[0].state == Severity.GOOD
    (finding,) = space(list(range(100_000)), [1])
    assert finding.state == Severity.BAD
    assert "`dvc gc --workspace --all-commits --all-experiments`" in finding.message  # less would delete all sweeps


def test_a_record_that_was_cut_off_is_a_fault(here: Path) -> None:
    assert lock() == []
    (here / "dvc.lock").touch()
    (finding,) = lock()
    assert (finding.what, finding.state) == ("dvc.lock", Severity.BAD)
    assert finding.message.startswith("expected the stages that ran, found a damaged file")


def test_an_inbox_at_which_dvc_waits_or_fails_is_a_fault_that_names_no_patient(here: Path) -> None:
    settings = Ingest(inbox="in box")
    (here / "in box/a").mkdir(parents=True)
    (here / "in box/a/film.png").touch()
    (here / "in box/link").symlink_to("nothing")
    assert inbox(settings) == []
    os.mkfifo(here / "in box/a/DOE")
    (here / "in box/DOE").symlink_to("/dev/zero")
    assert [finding.message.split(",")[0] for finding in inbox(settings)] == ["pipes"]
    command = inbox(settings)[0].message.split("`")[1]
    listed = run(here, "sh", "-c", command).splitlines()
    assert sorted(listed) == ["in box/DOE", "in box/a/DOE", "in box/link"]  # and what leads to nothing
    Path(os.fsdecode(bytes(here) + b"/in box/a/DOE_\xe4")).touch()
    pipes, names = inbox(settings)
    assert {pipes.state, names.state} == {Severity.BAD}
    assert names.message.startswith("names that are no UTF-8 (1), ")
    assert "DOE" not in pipes.message + names.message
    found = subprocess.run(["sh", "-c", names.message.split("`")[1]], cwd=here, capture_output=True, check=True).stdout
    assert found == b"in box/a/DOE_\xe4\n"


def test_the_notes_of_dvc_lie_in_a_folder_of_this_checkout_and_user(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a folder that all users share" in site_cache()[0].message
    give_own_folder(project)
    assert site_cache()[0].state == Severity.GOOD
    own = project / ".dvc/site-cache"
    own.chmod(0o755)
    assert "open to other users" in site_cache()[0].message
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "/proc/nowhere")
    assert site_cache()[0].state == Severity.BAD
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / "elsewhere"))
    assert site_cache()[0].state == Severity.GOOD
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    moved = project.with_name("moved")
    project.rename(moved)
    monkeypatch.chdir(moved)
    assert "of this one before it was moved" in site_cache()[0].message
    assert not project.exists()


@pytest.mark.slow
def test_a_remote_is_asked_for_itself(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else ten seconds of attempts
    assert remotes()[0].state == Severity.WARN
    run(project, "dvc", "remote", "add", "--default", "disk", str(project / "store"))
    run(project, "dvc", "remote", "add", "gone", "s3://bucket/folder")
    run(project, "dvc", "remote", "modify", "gone", "endpointurl", "http://127.0.0.1:9")
    run(project, "dvc", "remote", "modify", "--local", "gone", "access_key_id", "AKIDSECRET")
    run(project, "dvc", "remote", "modify", "--local", "gone", "secret_access_key", "SECRETSECRET")
    checked = {result.what: result for result in remotes()}
    assert checked["DVC remote disk (default)"].state == Severity.GOOD
    assert checked["DVC remote gone"].state == Severity.BAD
    assert "SECRET" not in str(checked)


@pytest.mark.slow
def test_a_server_that_is_gone_costs_no_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    assert tracking()[0].state == Severity.WARN


def test_credentials_are_found_and_not_shown(
    here: Path, toy_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [{"source": "kaggle", "handle": "jasonroggy/grazpedwri-dx"}]
    wanted = Ingest.model_validate(merge(toy_params["ingest"], {"sources": sources}))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(here))
    monkeypatch.setenv("HOME", str(here))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert kaggle(wanted)[0].state == Severity.WARN
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_SECRET")
    assert kaggle(wanted)[0].state == Severity.GOOD
    assert "SECRET" not in str(kaggle(wanted))
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    (here / "kaggle.json").write_text("SECRET, no JSON")
    assert kaggle(wanted)[0].state == Severity.BAD
    assert "SECRET" not in str(kaggle(wanted))


def test_runs_whose_process_is_gone_are_named_and_closed(project: Path) -> None:
    client, experiment = open_client()
    alive, host = process_name(os.getpid()), gethostname()
    number, start, _, boot = alive.split()

    def start_run(name: str, host: str, process: str) -> str:
        tags = {"mlflow.runName": name, HOST: host, PROCESS: process}
        return str(client.create_run(experiment, tags=tags).info.run_id)

    dead = start_run("adaptive-1-1", host, alive.replace(" ", "0 ", 1))
    left_alone = [
        start_run("of another clone", host, alive),
        start_run("of another machine", "another", alive.replace(" ", "0 ", 1)),
        start_run("of a container", host, f"{number}0 {start} pid:[1] {boot}"),
    ]
    (finding,) = dead_runs(fix=False)
    assert finding.state == Severity.WARN
    assert "(adaptive-1-1); --fix closes them; 2 of other machines or containers are not judged" in finding.message
    assert dead_runs(fix=True)[0].state == Severity.GOOD
    assert {client.get_run(run).info.status for run in left_alone} == {"RUNNING"}
    assert client.get_run(dead).info.status == "KILLED"
    assert "1 running here, each by a living process" in dead_runs(fix=False)[0].message


def test_a_result_of_the_cache_is_found_under_the_run_that_made_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("models/adaptive/seed-1-fold-1")
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_text("w")
    assert "made elsewhere" in results()[0].message
    monkeypatch.setenv("DVC_EXP_NAME", "steep")
    with training_run("adaptive-1-1", {"training": "t"}) as made:
        made.tag({"weights.sha256": "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"})
    (finding,) = results()
    assert finding.state == Severity.GOOD
    assert made.run_id in finding.message
    assert "of experiment steep" in finding.message
    # A server that was chosen later holds none of the earlier runs.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/server.db")
    assert made.run_id in results()[0].message


def test_no_name_gives_orders_to_a_terminal_or_to_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([CheckResult("trained models", Severity.BAD, "a[/red]\x1b[2K.png")]) == 1
    assert r"a[/red]\x1b[2K.png" in capsys.readouterr().out
