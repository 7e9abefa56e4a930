"""The limit of CPU time for tests that are not marked `slow`."""

import sys
from pathlib import Path

from tests.helpers.paths import ROOT
from tests.helpers.processes import run

CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import tests.helpers.cpu_time as cpu_time
from tests.helpers.cpu_time import pytest_runtest_call
cpu_time.LIMIT = 0.2
"""
TESTS = """
import subprocess, sys, time
import pytest

BUSY = "import time\\nwhile time.process_time() < 0.4: pass"

def busy():
    end = time.process_time() + 0.4
    while time.process_time() < end:
        pass

@pytest.fixture
def prepared(): busy()

def test_works(): busy()
def test_starts_a_process_that_works(): subprocess.run([sys.executable, "-c", BUSY])
def test_waits(): time.sleep(0.4)
def test_is_prepared(prepared): pass
@pytest.mark.slow
def test_is_marked(): busy()
"""


def test_only_an_unmarked_test_that_works_long_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: takes long\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    without_plugins = ["env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"]
    fast = ("-q", "-p", "no:cacheprovider", "-m", "not slow")
    said = run(tmp_path, *without_plugins, sys.executable, "-m", "pytest", *fast, code=1)
    failed = [line.split(" - ")[0] for line in said.splitlines() if line.startswith("FAILED")]
    assert failed == ["FAILED test_it.py::test_works", "FAILED test_it.py::test_starts_a_process_that_works"]
    assert "s of CPU time, above 0.2 s: mark it `slow` or make it faster" in said
