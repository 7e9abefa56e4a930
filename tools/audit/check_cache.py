"""DVC's cache by the names of its objects: DVC shows and restores them without reading them."""

from tools.audit.dvc_cache import damaged_objects
from tools.audit.findings import Check
from tools.audit.trace import Project


def check_cache(project: Project, check: Check) -> None:
    """Name objects whose bytes are not those of their name: `dvc metrics diff` would show what they say."""
    for path, found in damaged_objects(project.root, project.lock.hashes.values(), others=True).items():
        message = f"its bytes have md5 {found}; remove {path}, and `dvc fetch`, or `dvc repro`"
        check.add(f"cache: {path.parent.name}{path.name}", "mismatch", message)
