"""The files that other machines read: workflows of GitHub Actions, the Dockerfile, and what a pull request is told."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import FORKED, INSTALLED, environment, run
from tests.helpers.projects import copy_project, use_own_site_cache
from tests.helpers.remotes import push_to_origin
from tools.doctor.packages import read_pins

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


def test_workflows_follow_the_public_schema() -> None:
    assert len(WORKFLOWS) == 2
    run(ROOT, "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))


def test_workflows_pass_the_public_audit() -> None:
    run(ROOT, "zizmor", "--offline", ".github")


def test_the_dockerfile_passes_the_public_linter_and_pins_its_base_by_digest() -> None:
    run(ROOT, "hadolint", "Dockerfile")
    text = (ROOT / "Dockerfile").read_text()
    assert len(re.findall(r"^ARG PYTHON=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)) == 1
    assert {line.split()[1] for line in text.splitlines() if line.startswith("FROM ")} == {"python:${PYTHON}"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_image_has_the_pinned_packages_and_without_a_gpu_no_libraries_of_cuda(device: str, tmp_path: Path) -> None:
    """The script of the Dockerfile that sorts the pins into layers."""
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (choice,) = re.findall(r"^RUN (awk .*?fi)$", (ROOT / "Dockerfile").read_text(), re.DOTALL | re.MULTILINE)
    own = {"DEVICE": device, "PATH": os.environ["PATH"]}
    subprocess.run(["sh", "-ec", choice.replace("\\\n", "")], cwd=tmp_path, env=own, check=True)
    gpu, others = (read_pins(tmp_path / f"{name}.lock") for name in ("torch", "others"))
    assert {"triton", "nvidia-cublas", "cuda-bindings", "torch"}.isdisjoint(others)
    assert {"numpy", "nvidia-ml-py"} <= others.keys()
    whole = read_pins(tmp_path / "requirements.lock")
    if device == "cuda":
        assert whole == gpu | others
        assert (tmp_path / "torch.lock").read_text().count("--hash=sha256:") > len(gpu)
    else:
        assert gpu == {name: f"{whole[name]}+cpu" for name in ("torch", "torchvision")}
    assert (tmp_path / "others.lock").read_text().count("--hash=sha256:") > len(others)


def test_what_only_tests_need_is_in_no_image() -> None:
    pipeline, everything = (read_pins(ROOT / name) for name in ("requirements.lock", "requirements-dev.lock"))
    assert pipeline.items() <= everything.items()
    assert {"ruff", "pytest", "mypy", "hypothesis", "moto", "playwright"} <= everything.keys() - pipeline.keys()


def test_slurm_takes_the_job_file_of_the_docs(tmp_path: Path) -> None:
    """Where a cluster is at hand that knows GPUs; nothing is queued."""
    text = (ROOT / "docs/how-to/cluster.md").read_text()
    (job,) = re.findall(r"^```bash\n(#!/bin/bash\n#SBATCH.*?)^```", text, re.DOTALL | re.MULTILINE)
    if shutil.which("sbatch") is None or "gpu" not in run_freely("sinfo", "--noheader", "--format=%G").stdout:
        pytest.skip("no SLURM cluster with GPUs at hand")
    (tmp_path / "job.sh").write_text(job)
    done = run_freely("sbatch", "--test-only", str(tmp_path / "job.sh"))
    assert done.returncode == 0, done.stderr


def run_freely(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_make_help_has_a_line_for_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    said = run(ROOT, "make", "--no-print-directory", "help")  # `make test` sets a variable by which make names folders
    described = [line.split(maxsplit=2) for line in said.splitlines()]
    assert sorted(words[1] for words in described) == sorted(phony.split())
    assert all(words[0] == "make" and words[2] for words in described)


def test_every_make_target_and_module_that_a_workflow_calls_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in WORKFLOWS:
        for job in read_yaml(path)["jobs"].values():
            for command in (step.get("run", "") for step in job["steps"]):
                for target in re.findall(r"make (\w+)", command):
                    assert f"\n{target}:" in makefile
                for module in re.findall(r"python -m ([\w.]+)", command):
                    assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()
                for script in re.findall(r"python (\w+/\w+\.py)", command):
                    assert (ROOT / script).is_file()


@pytest.mark.slow
def test_a_workflow_reads_its_input_as_params_and_never_as_commands(tmp_path: Path) -> None:
    """The step's own script, with a dvc that writes down its words."""
    (step,) = (step for step in training_steps() if "CHANGES" in step.get("env", {}))
    fake = tmp_path / "bin/dvc"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    fake.chmod(0o755)
    changes = "train.loop.epochs=3\n\ntrain.seeds=[1,2]\nx=$(touch owned); touch owned\n"
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env=environment() | {"CHANGES": changes, "EXPERIMENT": "run-1-1", "PATH": f"{fake.parent}:/usr/bin:/bin"},
        check=True,
    )
    words = (tmp_path / "words").read_text().splitlines()
    assert words == [
        *("exp", "run", "--name", "run-1-1", "--set-param", "train.loop.epochs=3", "--set-param", "train.seeds=[1,2]"),
        *("--set-param", "x=$(touch owned); touch owned"),
    ]
    assert not (tmp_path / "owned").exists()


def training_job() -> dict[str, Any]:
    job: dict[str, Any] = read_yaml(ROOT / ".github/workflows/train.yaml")["jobs"]["train"]
    return job


def training_steps() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = training_job()["steps"]
    return steps


@pytest.mark.slow
def test_every_step_runs_on_a_runner_as_it_comes(finished: Path, tmp_path: Path) -> None:
    """From a bare PATH to the comment; checkout, the set-up of .venv and the programs of GitHub are there already."""
    project = copy_project(finished, tmp_path / "project")
    (project / ".venv/bin").mkdir(parents=True)
    for name in ("lib", "pyvenv.cfg"):
        (project / ".venv" / name).symlink_to(Path(sys.prefix, name))
    for program in INSTALLED.iterdir():
        forked = Path(os.environ.get(FORKED, INSTALLED), program.name)
        (project / ".venv/bin" / program.name).symlink_to(forked if forked.exists() else program)
    (project / ".venv/.ready").touch()
    push_to_origin(project)
    run(project, "git", "fetch", "-q", "origin")
    run(project, "git", "checkout", "-q", "--detach")  # as the workflow of a pull request
    for key in ("user.name", "user.email"):
        run(project, "git", "config", "--unset", key)
    run(project, "dvc", "remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    cml = tmp_path / "bin/cml"
    cml.parent.mkdir()
    cml.write_text("#!/bin/sh\n")
    cml.chmod(0o755)
    path = tmp_path / "path"
    path.write_text(f"{cml.parent}\n")
    for step in training_steps():
        bare = {"PATH": ":".join([*reversed(path.read_text().split()), "/usr/bin", "/bin"]), "HOME": str(tmp_path)}
        bare |= {"GITHUB_PATH": str(path), "CHANGES": "train.adaptive.alpha.start=0.1", "PYTHONPATH": str(project)}
        bare |= {"EXPERIMENT": "run-1-1", "GIT_URL": str(tmp_path / "git")}
        bare |= {name: value for name, value in training_job()["env"].items() if name.startswith("GIT_")}
        bare |= {name: value for name, value in os.environ.items() if name == FORKED}
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.get("run", "true")]
        done = subprocess.run(words, cwd=project, env=bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{step['run']}\n{done.stdout}\n{done.stderr}"
    comment = (project / "comment.md").read_text()
    assert (project / "reports/comparison.md").read_text() in comment
    assert re.search(r"\| reports/metrics\.json +\| adaptive\.f1 ", comment)
    assert list((tmp_path / "store").rglob("runs"))
    assert {"params.yaml", "dvc.lock"} <= set(training_steps()[-1]["with"]["path"].split())
    rebuild(project, tmp_path / "anybody")
    (place,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", comment)
    assert matplotlib.image.imread(project / place).std() > 0


def rebuild(project: Path, clone: Path) -> None:
    """By the lines of the docs, somebody with access to both remotes gets the experiment of a run."""
    text = (ROOT / "docs/how-to/runners-and-remotes.md").read_text()
    (lines,) = re.findall(r"^```bash\n(dvc exp list origin.*?)^```", text, re.DOTALL | re.MULTILINE)
    run(clone.parent, "git", "clone", "-q", "git", str(clone))
    use_own_site_cache(clone)
    run(clone, "dvc", "remote", "add", "--local", "--default", "store", str(clone.parent / "store"))
    run(clone, "bash", "-euo", "pipefail", "-c", lines.replace("run-123456-1", "run-1-1"))
    assert read_yaml(clone / "params.yaml")["train"]["adaptive"]["alpha"]["start"] == 0.1
    for name in ("dvc.lock", "reports/index.html", "models/adaptive/seed-1-fold-1/weights.safetensors"):
        assert (clone / name).read_bytes() == (project / name).read_bytes(), name


@pytest.mark.slow
def test_a_comment_says_when_nothing_changed_and_when_that_cannot_be_known(finished: Path, tmp_path: Path) -> None:
    project = copy_project(finished, tmp_path)
    words = [sys.executable, str(ROOT / "scripts/comment.py"), "comment.md"]
    run(project, *words)
    assert "`dvc metrics diff origin/main` failed: ERROR: " in (project / "comment.md").read_text()
    run(project, "git", "update-ref", "refs/remotes/origin/main", "HEAD")
    run(project, *words)
    assert "## Against main\nNo metric has changed." in (project / "comment.md").read_text()
