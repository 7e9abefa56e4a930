"""What users track with DVC beside the pipeline: data sets added with `dvc add`, and pipelines of their own.

Its content lies in the same cache. A withdrawal names what holds the patient of it, and removes none of it.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tools.audit.commit_files import commit_files, read_objects
from tools.audit.dvc_cache import MD5, listing
from tools.audit.dvc_lock import LOCK
from tools.audit.repository import in_repository, log

UNREAD = {".git", ".venv", ".dvc"}


def users_outputs(root: Path, of_pipeline: Collection[str]) -> dict[str, set[str]]:
    """Paths, by md5, of the outputs that a `.dvc` file or another dvc.lock has, here, in a commit or an experiment.

    Args:
        root: of the project.
        of_pipeline: md5 of the pipeline's own outputs, which another dvc.lock has where it is a copy, or a clone's.
    """
    found = dict[str, set[str]]()
    for name, text in {*texts_here(root), *texts_of_commits(root)}:
        for path, md5 in outputs_in(text):
            if not (PurePosixPath(name).name == LOCK and md5 in of_pipeline):
                found.setdefault(md5, set()).add(str(PurePosixPath(name).parent / path))
    return found


def users_objects(root: Path, outputs: dict[str, set[str]]) -> dict[str, set[str]]:
    """Paths by the md5 of each object in DVC's cache that these outputs are made of."""
    found = {md5: set(paths) for md5, paths in outputs.items()}
    for md5, paths in outputs.items():
        for name, content in ((listing(root, md5) or {}) if md5.endswith(".dir") else {}).items():
            found.setdefault(content, set()).update(f"{path}/{name}" for path in paths)
    return found


def is_users(name: str) -> bool:
    """Whether a file, by its path from the root, says what DVC tracks beside dvc.lock."""
    path = PurePosixPath(name)
    return path.suffix == ".dvc" or (path.name == LOCK and name != LOCK)


def texts_here(root: Path) -> Iterator[tuple[str, str]]:
    """Path and text of these files in the workspace."""
    for folder, below, names in os.walk(root):
        place = Path(folder).relative_to(root)
        below[:] = [name for name in below if place.parts or name not in UNREAD]
        for name in (str(place / name) for name in names):
            if is_users(name) and (root / name).is_file():
                yield name, (root / name).read_text(errors="replace")


def texts_of_commits(root: Path) -> Iterator[tuple[str, str]]:
    """Path and text of these files in every commit and experiment."""
    if not in_repository(root):
        return
    revisions = ("--all", "--glob=refs/exps/*", "--full-history", "--format=%H")
    blobs = dict[str, set[str]]()
    for commit in log(root, *revisions, paths=("*.dvc", f"*/{LOCK}")).split():
        for name, (_, blob) in commit_files(root, commit).items():
            if is_users(name):
                blobs.setdefault(blob, set()).add(name)
    for blob, content in read_objects(root, list(blobs)).items():
        yield from ((name, content.decode(errors="replace")) for name in blobs[blob])


def outputs_in(text: str) -> Iterator[tuple[str, str]]:
    """Path and md5 of each output in a `.dvc` file or a dvc.lock; none where DVC could not read it either."""
    try:
        content: Any = YAML(typ="safe").load(text)
        for entry in (content, *(content.get("stages") or {}).values()):
            for out in entry.get("outs") or []:
                if MD5.fullmatch(str(out.get("md5"))):
                    yield str(PurePosixPath(str(entry.get("wdir") or "")) / str(out["path"])), str(out["md5"])
    except (YAMLError, AttributeError, TypeError, KeyError, ValueError):
        return
