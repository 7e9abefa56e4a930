"""Which version of the code this is."""

import subprocess
from pathlib import Path


def git_commit() -> str:
    """The commit that is checked out, with `+` when tracked files differ from it; blank outside git."""

    def git(*words: str) -> str:
        try:
            return subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=HERE).stdout.strip()
        except FileNotFoundError:  # no git on this machine
            return ""

    commit = git("rev-parse", "HEAD")
    return commit + ("+" if commit and git("status", "--porcelain", "--untracked-files=no") else "")


HERE = Path(__file__).parent
