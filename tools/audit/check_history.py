"""What makes git show other commits and objects than it has, and git's own objects by their hashes."""

import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from stages.common.core.errors import UserError
from tools.audit.check_links import way_of
from tools.audit.findings import Check
from tools.audit.repository import NoRepository, commit_at, git
from tools.audit.trace import Project

BARE = ("HEAD", "objects", "refs")  # by which git knows a repository in a folder of any name
# Names that git finds by digits alone, as many of a hash as programs print.
TAKEN = re.compile("refs/(?:tags/|heads/|remotes/)?([0-9a-f]{7,40})(?:/HEAD)?")
GONE = re.compile(r"error: (refs/remotes/\S+/HEAD): invalid sha1 pointer 0+$")  # a remote renamed its branch


def check_shown(project: Project, check: Check) -> None:
    """What makes git show other objects, or other parents of commits, than it has; this audit shows those it has."""
    root = project.root
    if not all(map(way_of, ways_to_git(root))):
        message = "its way leads through /proc, by which git shows each reader another repository; move it to `.git`"
        check.add("git: .git", "extra", message)
    for folder in other_repositories(root):
        message = f"git shows it, and another history than here, to who stands in {folder}; remove it"
        check.add(f"{folder}: a repository", "extra", message)
    names = git(root, "for-each-ref", "refs/replace", "--format=%(refname)").split()
    grafts = path_in_git(root, "info/grafts")
    names += ["info/grafts"] if grafts.is_file() and grafts.read_bytes().strip() else []
    for name in (*names, *called_as_others(root), *false_names(root)):
        check.add(
            f"git: {name}", "extra", "plain git shows another object in its place, and this audit does not; remove it"
        )
    if cut := cut_off(root):
        message = f"by it plain git shows no commit before {cut[0][:12]}, and they are here; remove it"
        check.add("git: shallow", "extra", message)


def path_in_git(root: Path, name: str) -> Path:
    """Where git has a file for all working trees of a repository."""
    return root / git(root, "rev-parse", "--git-common-dir").removesuffix("\n") / name


def ways_to_git(root: Path) -> list[Path]:
    """The places that lead git to its folder: `.git`, where a file there leads, and that which working trees share."""
    top = Path(git(root, "rev-parse", "--show-toplevel").removesuffix("\n")) / ".git"
    if not top.is_file():
        return [top]
    own = top.parent / top.read_text(errors="surrogateescape").removeprefix("gitdir: ").removesuffix("\n")
    shared = own / "commondir"
    further = [own / shared.read_text(errors="surrogateescape").removesuffix("\n")] if shared.is_file() else []
    return [top, own, *further]


def other_repositories(root: Path) -> list[str]:
    """Folders of the last commit, below the project, that have a repository of their own; submodules are none."""
    lines = git(root, "ls-tree", "-r", "-d", "-z", "HEAD").split("\0")[:-1]
    folders = [line.partition("\t")[2] for line in lines if line.split(" ")[1] == "tree"]
    return [
        folder
        for folder in folders
        if os.path.lexists(root / folder / ".git") or all(map(os.path.lexists, (root / folder / name for name in BARE)))
    ]


def called_as_others(root: Path) -> list[str]:
    """Names and files in .git that git takes for the first digits of another object (gitrevisions, "refname")."""
    named = {name: name for name in git(root, "for-each-ref", "--format=%(refname)").split()}
    for folder in {git(root, "rev-parse", word).strip() for word in ("--git-dir", "--git-common-dir")}:
        named |= {path.name: f"refs/{path.name}" for path in (root / folder).iterdir() if not path.is_dir()}
    found = []
    for name, match in sorted((name, TAKEN.fullmatch(ref)) for name, ref in named.items()):
        if match:
            objects = git(root, "rev-parse", f"--disambiguate={match[1]}").split()
            if objects and commit_at(root, name) not in objects:
                found.append(name)
    return found


def false_names(root: Path) -> list[str]:
    """Names that git's file of packed names has twice, in another order than it says, or, as the line below a tag says
    behind ^, for another object than that to which the tag leads. Commands of git believe one line or the other.
    """
    packed = path_in_git(root, "packed-refs")
    text = packed.read_text(errors="surrogateescape") if packed.is_file() else ""
    lines: list[tuple[str, str]] = []  # each of a hash and a name, and what the next one says
    for line in text.split("\n"):
        if line[:1] == "^" and lines:
            lines[-1] = (lines[-1][0], line[1:])
        elif line[:1] not in ("", "#"):
            lines.append((line, ""))
    names = [line.partition(" ")[2] for line, _ in lines]
    found = {name for name, number in Counter(names).items() if number > 1}
    heading = text.partition("\n")[0].split(" ")
    if "sorted" in heading:
        found |= {later for name, later in pairwise(names) if os.fsencode(later) < os.fsencode(name)}
    current = set(git(root, "for-each-ref", "--format=%(objectname) %(refname)").split("\n"))
    said = [(line, behind) for line, behind in lines if line in current and (behind or "fully-peeled" in heading)]
    asked = "".join(f"{line.split(' ')[0]}^{{}}\n" for line, _ in said)
    answers = git(root, "cat-file", "--batch-check=%(objectname)", stdin=asked).split("\n")[:-1]
    for (line, behind), answer in zip(said, answers, strict=True):
        if behind != ("" if line.startswith(answer) else answer):
            found.add(line.partition(" ")[2])
    return sorted(found)


def cut_off(root: Path) -> list[str]:
    """Commits at which git ends a history that is here, as it does in clones that have the last commits only."""
    file = path_in_git(root, "shallow")
    ends = [end for end in (file.read_text().split() if file.is_file() else ()) if is_here(root, end)]
    heads = {end: git(root, "cat-file", "commit", end).partition("\n\n")[0] for end in ends}
    parents = {end: re.findall(r"^parent (\w+)$", head, re.MULTILINE) for end, head in heads.items()}
    return [end for end in ends if any(is_here(root, parent) for parent in parents[end])]


def is_here(root: Path, commit: str) -> bool:
    """Whether git has a commit."""
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except UserError:
        return False
    return True


def check_objects(project: Project, check: Check) -> None:
    """git's own objects by their hashes, without which a commit's name says nothing, and what git keeps of them to be
    fast: by a false graph of commits, which this audit does not read, git shows others another history.
    """
    try:
        git(project.root, "-c", "core.commitGraph=true", "fsck", "--no-dangling", "--no-progress")
    except NoRepository:
        return  # named by check_code
    except UserError as error:
        said = str(error).splitlines()
        gone = [match[1] for line in said if (match := GONE.search(line))]
        if len(gone) == len(said):
            fix = "`git remote set-head NAME --auto` for that remote, and verify again"
            check.add("git", "unchecked", f"its objects, since {gone[0]} leads to a branch that is gone; {fix}")
        else:
            check.add("git", "mismatch", f"its objects are damaged: {said[-1]}")
