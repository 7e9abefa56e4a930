"""What a commit brings along that a repetition would take for its own work: little or nothing would be run again.

A stage that DVC finds in its cache it does not run, and a training goes on from its checkpoint. Both are kept out of
git, unless somebody forces them into it.
"""

from collections.abc import Collection
from os.path import normpath
from pathlib import Path

from stages.common.core.errors import UserError
from tools.audit.check_record import covered
from tools.audit.commit_files import commit_files
from tools.audit.dvc_cache import cache_folder, committed_cache
from tools.audit.findings import Check
from tools.audit.repository import git
from tools.audit.trace import Project

CHECKPOINTS, CACHE, ENVIRONMENT = ".checkpoints", ".dvc/cache", ".venv"
OF_DVC = (".dvc/config", ".dvc/.gitignore")  # all that a commit has of DVC's folder; the rest is of one machine


def check_repeatable(project: Project, check: Check) -> None:
    """Name what the last commit brings along; without a commit nothing, which another check says."""
    try:
        tracked = commit_files(project.root, "HEAD")
    except UserError:
        return
    for path in brought_along(project, tracked):
        message = "who repeats the last commit would get this, and not what the stages make; `git rm --cached` it"
        check.add(path, "extra", message)
    cache = committed_cache(project.root)
    top = Path(git(project.root, "rev-parse", "--show-toplevel").strip())
    if cache and cache.resolve().is_relative_to(top) and not cache.resolve().is_relative_to(project.root):
        check.add(
            ".dvc/config", "mismatch", f"the cache {cache} lies in the repository beside the project; move it out"
        )


def brought_along(project: Project, tracked: Collection[str]) -> list[str]:
    """Outputs, folders of checkpoints and of packages, caches and settings of DVC of which a commit has files, sorted.

    Args:
        project: whose outputs and cache they could be.
        tracked: paths of the commit's files, which can be gone through twice.
    """
    cache = cache_folder(project.root).parent.parent
    ways = {cache, cache.resolve()}  # a path such as /proc/self/cwd leads each reader elsewhere
    moved = [way.relative_to(project.root).as_posix() for way in ways if way.is_relative_to(project.root)]
    places = {CHECKPOINTS, CACHE, ENVIRONMENT, *moved, *project.lock.hashes}
    brought = {place for place in places if any(covered(path, [place]) for path in tracked)}
    of_one_machine = {path for path in tracked if path.startswith(".dvc/") and path not in OF_DVC}
    return sorted(brought | {path for path in of_one_machine if not covered(path, places)})


def cache_elsewhere(root: Path) -> list[str]:
    """The setting by which every clone uses a cache outside of it: what others ran, DVC takes from there.

    Args:
        root: of the project.
    """
    cache = committed_cache(root)
    if cache is None or all(way.is_relative_to(root.resolve()) for way in (Path(normpath(cache)), cache.resolve())):
        return []
    return [f"by .dvc/config the cache {cache}"]
