"""DVC's cache by the names of its objects: DVC shows and restores them without reading them."""

from tools.audit.dvc_cache import MD5, all_objects, hash_files, is_own, listing
from tools.audit.findings import Check
from tools.audit.trace import Project


def check_cache(project: Project, check: Check) -> None:
    """Name objects whose bytes are not those of their name, from which `dvc metrics diff` would show other numbers.

    In a cache that lies outside of the project those of its present outputs, since others may be of other projects.
    """
    root = project.root
    outputs = set(project.lock.hashes.values())
    outputs |= {md5 for out in outputs for md5 in (listing(root, out) or {}).values()}
    objects = {
        path: md5 for md5, path in all_objects(root) if MD5.fullmatch(md5) and (is_own(root, path) or md5 in outputs)
    }
    for path, found in hash_files(list(objects)).items():
        if found != objects[path].removesuffix(".dir"):
            message = f"its bytes have md5 {found}; remove {path}, and `dvc fetch`, or `dvc repro`"
            check.add(f"cache: {objects[path]}", "mismatch", message)
