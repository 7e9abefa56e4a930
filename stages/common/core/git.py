"""Which version of the code this is."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
# By which git, and DVC with it, would take another repository for the project's, as in a hook of that one
# (`git rev-parse --local-env-vars`).
OTHER_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)


def stay_in_repository() -> None:
    """Have this process, and those that it starts, take the project's folder for their repository."""
    for name in OTHER_REPOSITORY:
        os.environ.pop(name, None)


def git_commit() -> str:
    """The commit that is checked out, with `+` when tracked files differ from it; blank outside git."""

    def git(*words: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", *words]  # no program of the folder's own settings
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE).stdout.strip()
        except FileNotFoundError:  # no git on this machine
            return ""

    commit = git("rev-parse", "HEAD")
    return commit + ("+" if commit and git("status", "--porcelain", "--untracked-files=no") else "")
