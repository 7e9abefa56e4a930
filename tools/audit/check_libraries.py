"""The versions of libraries that decide outputs: those of requirements.lock, from which `make locks` takes them."""

from tools.audit.findings import Check
from tools.audit.trace import Project
from tools.doctor.packages import read_pins

REQUIREMENTS = "requirements.lock"


def check_libraries(project: Project, check: Check) -> None:
    """Name each version in a stage's libraries.lock that requirements.lock does not have."""
    if not (project.root / REQUIREMENTS).is_file() or not check.whole(REQUIREMENTS):
        return
    pins = read_pins(project.root / REQUIREMENTS)
    for path in sorted(project.root.glob("stages/*/libraries.lock")):
        lock = str(path.relative_to(project.root))
        for name, version in read_pins(path).items() if check.whole(lock) else ():
            if version != (pinned := pins.get(name, "no such package")):
                message = f"{version} stands there, {REQUIREMENTS} has {pinned}; `make locks`"
                check.add(f"{lock}: {name}", "mismatch", message)
