"""The installed packages against requirements.lock."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tools.doctor.findings import CheckResult, Severity

LOCK = Path(__file__).parents[2] / "requirements.lock"
CUDA = re.compile("cuda-|nvidia-(cu|nc|nv)|triton")  # the Dockerfile leaves these out of an image without a GPU
SHOWN = 5


def read_pins(lock: Path) -> dict[str, str]:
    """The version of every package of requirements.lock, by the name that it has there."""
    pairs = (line.partition("==") for line in lock.read_text().split())
    return {name: pinned for name, _, pinned in pairs}


def packages(lock: Path = LOCK) -> list[CheckResult]:
    """Packages that are missing or of another version than pinned, in one line."""
    pins = read_pins(lock)
    installed = {name: installed_version(name) for name in pins}
    if installed.get("torch", "").endswith("+cpu"):
        installed = {name: found for name, found in installed.items() if found or not CUDA.match(name)}
    different = [
        f"{name} {found or 'missing'} ({pins[name]})" for name, found in installed.items() if found != pins[name]
    ]
    if not different:
        return [CheckResult("packages", Severity.GOOD, f"{len(installed)} as requirements.lock pins them")]
    rest = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    said = (
        f"not as requirements.lock pins them, so that outputs may differ in their bytes: {', '.join(different[:SHOWN])}"
        f"{rest}; run `pip install --requirement requirements.lock`"
    )
    return [CheckResult("packages", Severity.WARN, said)]


def installed_version(name: str) -> str:
    """Blank where the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
