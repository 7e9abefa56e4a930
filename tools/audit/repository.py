"""What git says of the project: commits, experiments and their files."""

import os
import re
import subprocess
from pathlib import Path

from stages.common.core.errors import UserError
from stages.common.core.library_path import LIBRARY_PATH, absolute

EXPERIMENT = re.compile("refs/exps/[0-9a-f]{2}/[0-9a-f]{38,62}/([^/]+)")  # after the commit that it starts from


class NoRepository(UserError):
    """A folder in no repository of git."""


def git(root: Path, *words: str, stdin: str = "", whole: bool = False) -> str:
    """What git says of the objects that it has in the repository of a folder.

    Other objects and parents that git could put in their place (replacements, grafts, a file with the graph of commits)
    are not looked at, nor is another repository that the environment names. No program runs that the folder's own
    settings name: for signatures, to watch files, or to fetch objects that are lacking.

    Args:
        root: a folder of the repository.
        words: behind `git`.
        stdin: what it reads.
        whole: whether to go beyond where the repository says that its history is cut off.
    Raises:
        NoRepository: the folder is in none.
        UserError: it fails.
    """
    off = ("core.commitGraph", "core.fsmonitor", "log.showSignature", "advice.graftFileDeprecated")
    settings = [word for setting in off for word in ("-c", f"{setting}=false")]
    settings += ["-c", f"core.hooksPath={os.devnull}"]
    command = ["git", "--no-replace-objects", *settings, *words]
    own = {key: value for key, value in os.environ.items() if key.startswith("GIT_CONFIG") or key[:4] != "GIT_"}
    own |= {"GIT_GRAFT_FILE": os.devnull, "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}  # else errors are in any language
    own |= {LIBRARY_PATH: absolute(own.get(LIBRARY_PATH, ""))}
    own |= {"GIT_SHALLOW_FILE": os.devnull} if whole else {}
    done = subprocess.run(command, cwd=root, env=own, input=os.fsencode(stdin), capture_output=True, check=False)
    if done.returncode:
        said = os.fsdecode(done.stderr).strip() or "failed"
        if "not a git repository" in said:
            raise NoRepository("git: expected the project in a repository, found none; clone it, or `git init` it")
        if "dubious ownership" in said:
            raise UserError(
                f"git: expected a repository of this user, found another one's; `git config --global --add "
                f"safe.directory {root}` if you trust it"
            )
        if "promisor remote" in said:
            said = "expected a whole clone, found one that was made with --filter; clone without it"
        raise UserError(f"git {' '.join(words)}: {said}")
    return os.fsdecode(done.stdout)


def log(root: Path, *words: str, paths: tuple[str, ...]) -> str:
    """What `git log` says of files."""
    try:
        return git(root, "log", *words, "--", *paths, whole=True)
    except UserError as error:
        if "does not have any commits yet" in str(error):
            return ""
        return git(root, "log", *words, "--", *paths)  # a clone that has the last commits only


def in_repository(root: Path) -> bool:
    """Whether git keeps a history of a folder."""
    try:
        return bool(git(root, "rev-parse", "--git-dir"))
    except NoRepository:
        return False


def commit_of(root: Path, revision: str) -> str:
    """The hash of a commit.

    Raises:
        UserError: there is no such commit, or a branch or tag has the name of another one's hash, or both have it.
    """
    commit = commit_at(root, revision) or next(iter(sorted(commits_called(root, revision))), "")
    if not commit:
        raise UserError(f"{revision}: expected a commit, a branch, a tag or an experiment, found none of that name")
    named = re.fullmatch(r"(?:.*-g)?([0-9a-f]{4,})", revision.lower())  # also as `git describe` writes it
    if named and not commit.startswith(named[1]):
        raise UserError(
            f"{revision}: expected the commit of that hash, found a branch or tag of that name, which leads to "
            f"{commit}; write the hash in full"
        )
    if revision not in ("HEAD", commit) and (others := commits_called(root, revision) - {commit}):
        raise UserError(
            f"{revision}: expected one commit of that name, found branches, tags, experiments or a file in .git of it "
            f"that lead to {', '.join(sorted({commit, *others}))}; write the hash in full"
        )
    return commit


def commit_at(root: Path, revision: str) -> str:
    """The hash of the commit that git knows by a name; blank where there is none.

    Raises:
        UserError: the commit is damaged.
    """
    try:
        return git(root, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    except UserError as error:
        if str(error).endswith(": fatal: Needed a single revision"):  # and nothing of a damaged object before
            return ""
        raise


def experiments(root: Path) -> list[tuple[str, str]]:
    """Name and commit of DVC's experiments, of which two may share a name; what is queued, runs or failed is none."""
    refs = git(root, "for-each-ref", "refs/exps", "--format=%(objectname) %(refname)").split("\n")[:-1]
    found = [(ref.partition(" ")[0], EXPERIMENT.fullmatch(ref.partition(" ")[2])) for ref in refs]
    return [(match[1], commit) for commit, match in found if match]


def commits_called(root: Path, name: str) -> set[str]:
    """The commits of the branch, the tag and the experiments of a name; git takes the tag, and before it a file of
    that name.
    """
    found = {commit_at(root, f"refs/{kind}/{name}") for kind in ("tags", "heads", "remotes")}
    return (found | {commit for called, commit in experiments(root) if called == name}) - {""}
