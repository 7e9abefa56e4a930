"""A clone of the project at a commit, in a temporary folder, with nothing in it that the commit does not have."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configobj import ConfigObj

from stages.common.core.busy import busy
from stages.common.core.errors import UserError, error_list, first_few
from stages.common.core.library_path import LIBRARY_PATH, absolute
from stages.ingest.dicom.pseudonyms import FILE_VARIABLE
from tools.audit.check_code import CODE, LIBRARY, METADATA, SUFFIXES
from tools.audit.check_documents import DOCUMENTS
from tools.audit.check_links import links
from tools.audit.check_record import covered
from tools.audit.dvc_cache import cache_folder
from tools.audit.dvc_lock import leads_out, read_lock
from tools.audit.recipes import encoder_file
from tools.audit.repository import commit_of, git
from tools.temporary import temporary_folder

START = """
import sys
sys.argv[0] = "wrist"
try:
    from tools.wrist import main
    main()
except ImportError as error:
    sys.exit(f"wrist: expected a commit with all code that it imports: {error}")
"""
# git sends a commit that no branch has, too: an experiment, or one that was checked out by its hash.
ANY_COMMIT = "git -c uploadpack.allowAnySHA1InWant=true upload-pack"
# Stands above all .gitattributes of the commit: files are written as the commit has them, without filters.
AS_COMMITTED = "* -text -ident !eol !filter !working-tree-encoding\n"
LINKS = ("120000", "160000")  # git's modes of a link and of another repository


CODE_AS_DATA = (
    "{path}: expected data, of which a clean clone gets a copy, found code ({found}), which would run there; `git "
    "checkout` dvc.lock and params.yaml, or take the code out of the source files"
)


@contextmanager
def clean_clone(root: Path, revision: str) -> Iterator[Path]:
    """The root of the clone, which goes when the block ends.

    Objects are sent as over a network, so that git computes the hash of each again; settings, hooks, byte code and
    untracked files stay behind.

    Raises:
        UserError: there is no such commit, a branch or tag has the name of another one's hash, or the commit has links,
            through which the program would read, write and remove files outside of the clone.
    """
    commit = commit_of(root, revision)
    refuse_links(root, commit)
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    with temporary_folder() as folder:
        clone = folder.resolve()
        git(clone, "init", "-q", f"--object-format={'sha256' if len(commit) == 64 else 'sha1'}")
        (clone / ".git/info").mkdir(exist_ok=True)
        (clone / ".git/info/attributes").write_text(AS_COMMITTED)
        with busy("verify: clones the commit"):
            git(clone, "fetch", "-q", "--update-shallow", "--upload-pack", ANY_COMMIT, str(top), commit)
            git(clone, "checkout", "-q", "--detach", commit)
        yield clone / root.relative_to(top)


def refuse_links(root: Path, commit: str) -> None:
    """Raise a UserError where a commit has links or repositories in it."""
    entries = git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
    links = sorted(entry.partition("\t")[2] for entry in entries if entry.startswith(LINKS))
    if links:
        raise UserError(
            f"{commit}: expected files, found links or repositories ({first_few(links)}), which lead out of the "
            "commit; put the files themselves in their places"
        )


def bring(source: Path, clone: Path, path: str) -> None:
    """Copy a file or folder into the clone; files that the commit has stay as it has them.

    What has an absolute path is read where it is.

    Args:
        source: the root of the project.
        clone: of its clone.
        path: from the root.
    Raises:
        UserError: it would be copied out of the clone, and stay there, or programs there would run it, or something in
            it cannot be copied.
    """
    if Path(path).is_absolute():
        return
    if leads_out(path):
        raise UserError(f"{path}: expected an absolute path or one in the project, found neither; write it in full")
    if covered(path, CODE):
        raise UserError(CODE_AS_DATA.format(path=path, found=path))

    def copy(original: str, target: str) -> str:
        return target if Path(target).exists() else str(shutil.copy2(original, target))

    target = clone / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if (source / path).is_dir():
        try:
            shutil.copytree(source / path, target, copy_function=copy, dirs_exist_ok=True)
        except shutil.Error as error:  # all that it could not copy: original, copy, and why
            if any(os.strerror(errno.ENOSPC) in why for _, _, why in error.args[0]):
                raise UserError(
                    f"{clone}: expected room for a copy of {path}, found a full disk; name a folder with more in TMPDIR"
                ) from None
            failures = [f"{Path(original).relative_to(source)}: {why}" for original, _, why in error.args[0]]
            raise error_list("expected files that can be copied, found these; remove them", failures) from None
    elif (source / path).is_file():
        copy(str(source / path), str(target))
    if found := code_in(clone, path):  # of the copy: links to folders were followed
        raise UserError(CODE_AS_DATA.format(path=path, found=first_few(found)))


def code_in(root: Path, path: str) -> list[str]:
    """What programs could run of a file or folder that dvc.lock calls data.

    Args:
        root: of the clone.
        path: from the root.
    """
    files = (file.relative_to(root) for file in (root / path, *(root / path).rglob("*")))
    return [
        str(file)
        for file in files
        if file.name.lower().endswith((*SUFFIXES, *METADATA, ".pkg")) or LIBRARY.fullmatch(file.name)
    ]


def environment(clone: Path) -> dict[str, str]:
    """The environment of a program in the clone: no other code, no records or checkpoints of the project.

    A commit can have checkpoints, too, from which a training would go on, but none of its files lie in a `.git`.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MLFLOW_TRACKING_URI", "DVC_ROOT") and not key.startswith(("PYTHON", "GIT_"))
    }
    own = {"CHECKPOINT_DIR": str(clone / ".git/checkpoints"), "PYTHONPATH": str(clone), "PYTHONDONTWRITEBYTECODE": "1"}
    if key := inherited.get(FILE_VARIABLE):
        own[FILE_VARIABLE] = str(Path(key).absolute())
    return inherited | own | {LIBRARY_PATH: absolute(inherited.get(LIBRARY_PATH, ""))}


def verify_commit(root: Path, revision: str, words: list[str]) -> int:
    """`wrist audit verify` by the code of a commit, in a clean clone, on the outputs that are here.

    Args:
        root: of the project.
        revision: a commit, a branch or a tag.
        words: further options; paths in them are absolute.
    Returns:
        Its exit code.
    Raises:
        UserError: there is no such commit, or an output is a link that could lead another reader elsewhere.
    """
    with clean_clone(root, revision) as clone:
        lock = read_lock(clone)
        if found := [f"{name}: {message}" for name, message in links(root, lock)]:
            raise error_list("expected files, of which a copy says what each reader sees, found these links", found)
        with busy("verify: copies outputs"):
            inputs_and_outputs = {path for stage in lock.stages.values() for path in (*stage.data, *stage.outs)}
            encoders = {encoder_file(stage) for stage in lock.stages.values()} - {""}
            for path in (*sorted(inputs_and_outputs | encoders), *DOCUMENTS):
                bring(root, clone, path)
        cache = cache_folder(root).parent.parent
        settings = ConfigObj(str(clone / ".dvc/config.local"), encoding="utf-8")  # DVC's own writer has ASCII only
        settings["core"] = {"site_cache_dir": str(clone / ".dvc/site-cache")}
        settings["cache"] = {"dir": str(cache)}
        settings.write()
        command = [sys.executable, "-c", START, "audit", "verify", *words]
        return subprocess.run(command, cwd=clone, env=environment(clone), check=False).returncode
