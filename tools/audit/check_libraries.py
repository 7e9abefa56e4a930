"""The versions of libraries that decide outputs: those of requirements.lock, from which `make locks` takes them."""

import re
from collections import Counter

from tools.audit.findings import Check
from tools.audit.trace import Project

REQUIREMENTS = "requirements.lock"
# What `make pins` and `make locks` write; in another form a reader would see a version that no program does.
PINNED = re.compile(r"[\w.-]+==[\w.!+-]+ \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?")
LOCKED = re.compile(r"# Written by scripts/stage_locks\.py from .*|[\w.-]+==[\w.!+-]+")


def check_libraries(project: Project, check: Check) -> None:
    """Name each version in a stage's libraries.lock that requirements.lock does not have."""
    if not (project.root / REQUIREMENTS).is_file():
        check.add(REQUIREMENTS, "missing", "`make setup` installs what it pins; `git checkout` it")
        return
    pins = pins_of(project, check, REQUIREMENTS, PINNED, "make pins")
    for path in sorted(project.root.glob("stages/*/libraries.lock")):
        lock = str(path.relative_to(project.root))
        for name, version in pins_of(project, check, lock, LOCKED, "make locks").items():
            if check.whole(REQUIREMENTS) and version != (pinned := pins.get(name, "no such package")):
                message = f"{version} stands there, {REQUIREMENTS} has {pinned}; `make locks`"
                check.add(f"{lock}: {name}", "mismatch", message)


def pins_of(project: Project, check: Check, file: str, form: re.Pattern[str], writer: str) -> dict[str, str]:
    """The versions that a lock has, by package; none where something is wrong with it, which is named.

    Args:
        project: has the file.
        check: gets the findings.
        file: the lock, from the root.
        form: of its lines.
        writer: the command that writes it.
    """
    if not check.whole(file):
        return {}
    lines = (project.root / file).read_bytes().decode(errors="replace").split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        if not form.fullmatch(line):
            check.add(f"{file}: line {number}", "mismatch", f"`{writer}` writes none such; run it")
    halves = (line.removesuffix(" \\").partition("==") for line in lines if "==" in line)
    pins = [(name, version) for name, _, version in halves]
    for name in (name for name, count in Counter(name for name, _ in pins).items() if count > 1):
        check.add(f"{file}: {name}", "mismatch", f"it stands there twice; `{writer}`")
    return dict(pins) if check.whole(file) else {}
