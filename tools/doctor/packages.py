"""The installed packages against requirements.lock."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stages.common.core.errors import first_few
from tools.doctor.findings import CheckResult, Severity

LOCK = Path(__file__).parents[2] / "requirements.lock"
CUDA = re.compile("cuda-|nvidia-(cu|nc|nv)|triton")  # the Dockerfile leaves these out of an image without a GPU
SHOWN = 5


def read_pins(lock: Path) -> dict[str, str]:
    """The version of every package of requirements.lock, or of a stage's lock, by its canonical name."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def packages(lock: Path = LOCK) -> list[CheckResult]:
    """The packages that are not as requirements.lock pins them, in one line."""
    names = differences(lock)
    if not names:
        return [CheckResult("packages", Severity.GOOD, "as requirements.lock pins them")]
    message = (
        f"not as requirements.lock pins them, so that outputs may differ in their bytes: {first_few(names, SHOWN)}; "
        "run `pip install --requirement requirements.lock`"
    )
    return [CheckResult("packages", Severity.WARN, message)]


def differences(lock: Path) -> list[str]:
    """Packages that are missing or of another version than pinned, each as `name installed (pinned)`."""
    pins = read_pins(lock)
    installed = {name: installed_version(name) for name in pins}
    if installed.get("torch", "").endswith("+cpu"):
        installed = {name: actual for name, actual in installed.items() if actual or not CUDA.match(name)}
    return [
        f"{name} {actual or 'missing'} ({pins[name]})" for name, actual in installed.items() if actual != pins[name]
    ]


def installed_version(name: str) -> str:
    """Blank where the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
