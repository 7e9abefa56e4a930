"""The same bits on every x86-64 machine: against golden values, on this processor and on others that it plays."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from stages.common.core.arithmetic import NUMPY, TORCH, pin_instructions, require_pinned
from tests.helpers.fingerprints import GOLDEN
from tests.helpers.paths import ROOT
from tools.audit.dvc_lock import read_lock

TOY_OUTPUTS = ROOT / "tests/golden/toy_outputs.json"

CPUINFO = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
FLAGS = set(next((line for line in CPUINFO.splitlines() if line.startswith("flags")), "").split())
needs_avx2 = pytest.mark.skipif("avx2" not in FLAGS, reason="portable arithmetic is for x86-64 processors with AVX2")
needs_faulting = pytest.mark.skipif(
    "cpuid_fault" not in FLAGS or shutil.which("gcc") is None,
    reason="to play another processor needs gcc and CPUID faulting",
)


def differences(environment: dict[str, str], prefix: tuple[str, ...] = ()) -> str:
    """What differs from the golden values in a new process: blank, or all that a report of it needs."""
    command = [*prefix, sys.executable, "-m", "tests.helpers.fingerprints"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here, golden = json.loads(done.stdout), json.loads(GOLDEN.read_text())
    assert list(here) == list(golden), "other operations than in the golden file; run the module with --write"
    different = [name for name in golden if here[name] != golden[name]]
    if not different:
        return ""
    return (
        f"{len(different)} of {len(golden)} values differ from the golden ones, the first is: {different[0]}. "
        f"{described_machine()} {environment}"
    )


def described_machine() -> str:
    """What a report of a difference needs."""
    model = next((line.split(": ")[1] for line in CPUINFO.splitlines() if line.startswith("model name")), "unknown")
    versions = [f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "opencv-python-headless")]
    sets = sorted(flag for flag in FLAGS if flag.startswith(("avx", "amx", "fma")))
    return f"Processor: {model} ({' '.join(sets)}; {os.cpu_count()} cores). {', '.join(versions)}."


@needs_avx2
def test_this_processor_computes_the_golden_values() -> None:
    assert not differences({})


@needs_avx2
@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
def test_one_visible_core_computes_the_golden_values() -> None:
    core = min(os.sched_getaffinity(0))
    assert not differences({}, ("taskset", "-c", str(core)))


@pytest.fixture(scope="module")
def other_processor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("processor") / "processor.so"
    source = ROOT / "tests/helpers/processor.c"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


@needs_avx2
@needs_faulting
@pytest.mark.parametrize("name", ["haswell-256", "rome-512"])
def test_another_processor_computes_the_golden_values(name: str, other_processor: Path) -> None:
    """Intel and AMD without AVX-512, with second-level caches that make oneDNN cut strided convolutions otherwise."""
    assert not differences({"FAKE_CPU": name, "LD_PRELOAD": str(other_processor)})


@needs_avx2
@pytest.mark.slow
def test_a_whole_pipeline_gives_the_golden_outputs(finished: Path) -> None:
    """Every output of every stage, by the hash that DVC has for it."""
    outputs = dict(sorted(read_lock(finished).hashes.items()))
    if os.environ.get("WRITE_GOLDEN"):
        TOY_OUTPUTS.write_text(json.dumps(outputs, indent=1) + "\n")
    golden = json.loads(TOY_OUTPUTS.read_text())
    different = [out for out in golden if outputs.get(out) != golden[out]]
    assert outputs.keys() == golden.keys()
    assert not different, f"{different} differ; if the change is meant, run with WRITE_GOLDEN=1. {described_machine()}"


@needs_avx2
@needs_faulting
def test_the_played_processor_is_what_libraries_see(other_processor: Path) -> None:
    script = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.cpu._is_avx512_supported())"
    free = {name: value for name, value in os.environ.items() if name not in TORCH | NUMPY}
    playing = free | {"FAKE_CPU": "rome-512", "LD_PRELOAD": str(other_processor)}
    done = subprocess.run([sys.executable, "-c", script], env=playing, capture_output=True, text=True, check=True)
    assert done.stdout == "AVX2 False\n"


def test_libraries_that_were_imported_too_early_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCH:
        monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match="torch: imported before pin_instructions"):
        pin_instructions(torch=True)
    with pytest.raises(RuntimeError, match=r"evaluate: call pin_instructions\(torch=True\)"):
        require_pinned("evaluate")


def test_a_variable_of_the_user_that_is_replaced_is_said(tmp_path: Path) -> None:
    script = "from stages.common.core.arithmetic import pin_instructions; pin_instructions(torch=True)"
    free = {name: value for name, value in os.environ.items() if name not in TORCH}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=ROOT, env=free | {"MKL_CBWR": "AVX512"}, capture_output=True, text=True, check=True
    )
    assert done.stderr == "MKL_CBWR=AVX512 is ignored: portable arithmetic needs COMPATIBLE\n"
