"""Programs of others that judge what the project writes, each in an environment of its own: their packages conflict."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wrist-fracture-segmentation/tools"


def tool_programs(requirement: str) -> Path:
    """The folder of programs, `python` among them, of an environment with a package; skips where pip cannot install it.

    Args:
        requirement: the package with its version. The environment is made once, and kept for later runs.
    """
    folder = KEPT / requirement
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / f"{requirement}.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [folder / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"pip cannot install {requirement}: {done.stderr.strip().splitlines()[-1]}")
            (folder / "complete").touch()
    return folder / "bin"
