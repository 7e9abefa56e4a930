"""Everything that git tracks against the last commit, by its bytes, and code that Python would run and no commit has.

git's own comparison can be told to look away (assume-unchanged, filters, excludes): here the files' bytes are hashed as
git hashes them and compared with the commit's tree.
"""

import hashlib
import marshal
import os
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import SOURCE_SUFFIXES, all_suffixes
from importlib.metadata import Distribution
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path, PurePosixPath
from types import CodeType

from pathspec import GitIgnoreSpec

from stages.common.core.errors import UserError
from stages.common.data.layout import PINS
from tools.audit.check_history import check_shown
from tools.audit.check_record import PIPELINE
from tools.audit.commit_files import DamagedObject, commit_files, read_objects
from tools.audit.dvc_lock import LOCK
from tools.audit.findings import Check
from tools.audit.folders import PARTIAL
from tools.audit.imports import closure_of
from tools.audit.repository import git
from tools.audit.trace import Project
from tools.audit.yaml_files import lookup

CODE = ("stages", "tools")  # what the pipeline and this audit import
# Folders at the root that may hold code, and no library is called so.
FOLDERS = (
    *CODE,
    "tests",
    "scripts",
    "benchmarks",
    "notebooks",
    "data",
    "models",
    "reports",
    "mlruns",
    "build",
    "__pycache__",
)
READ_AT_THE_ROOT = {  # by programs that nobody told to
    ".dvc/plots": "`dvc plots` would draw by the templates in it",
    "glibc-hwcaps": "programs would load libraries from it, also where it leads to them",
    "GNUmakefile": "make reads it in place of Makefile",
    "makefile": "make reads it in place of Makefile",
    "matplotlibrc": "every figure of the report would follow it",
    "setup.cfg": "`make setup` would follow it beside pyproject.toml",
    "uv.toml": "`make setup` would follow it: it says where packages come from, and whether their hashes count",
}
SUFFIXES = tuple(all_suffixes())
LIBRARY = re.compile(r".+\.so(\.\d[\w.]*)?")  # the name of one that programs load, such as libc.so.6
BINARY = tuple(suffix for suffix in SUFFIXES if suffix not in SOURCE_SUFFIXES)
# Byte code of a source, of any Python and level of optimisation, also half-written.
CACHED = re.compile(r"\w+\.\w+-\w+(\.opt-\w+)?\.pyc(\.\d+)?")
METADATA = (".dist-info", "egg-info")  # `EGG-INFO` counts in a folder that is called x.egg
COMMANDS = {"console_scripts", "gui_scripts"}  # that no library loads by itself
PROJECT = "pyproject.toml"
IGNORED = ".gitignore"
LINK = "120000"  # git's mode
NEVER_DATA = {".git", ".dvc"}  # in which DVC looks for no data, wherever they are
UNSEEN = {*NEVER_DATA, ".venv"}  # at the root: neither a stage nor DVC looks for data there


def check_code(project: Project, check: Check) -> None:
    """What is not as the last commit has it, what no commit has, and what stands before a library."""
    root = project.root
    try:
        tracked = commit_files(root, "HEAD")
    except DamagedObject as error:
        check.add("git", "mismatch", str(error))
        return
    except UserError as error:
        check.add("git", "unchecked", f"no commit to compare code and params with: {error}")
        return
    top = Path(git(root, "rev-parse", "--show-toplevel").strip())
    if repository_of(top) != repository_of(root):
        check.add("git", "mismatch", f"core.worktree says that the repository's files lie in {top}; unset it")
    check_shown(project, check)
    for path in untracked_code(root, tracked):
        check.add(path, "extra", "code, a pin or a rule of DVC's that no commit has; remove or commit it")
    for path in imported_uncommitted(root, tracked):
        check.add(path, "extra", "a module of `tools` imports it, and no commit has it; remove or commit it")
    for path, message in foreign_code(root, tracked):
        check.add(path, "extra", message)
    for path in linked_folders(root, tracked):
        check.add(path, "mismatch", "a link stands where the last commit has a folder; `git checkout` brings it back")
    rules = rules_of_commit(root, tracked)
    for number in (number for number, rule in enumerate(rules, start=1) if not is_plain(rule)):
        check.add(f"{IGNORED}: line {number}", "mismatch", "git and other programs read such a rule in different ways")
    for path in filter(check.whole, unlisted(root, tracked, rules)):
        check.add(path, "extra", "no commit has it, and .gitignore does not list it; commit it, or move it elsewhere")
    has_modes = keeps_modes(root)
    for path, (mode, blob) in tracked.items():
        here = mode_and_blob(root / path, blob)
        if mode == LINK:
            check.add(path, "mismatch", "the last commit has a link here; what it leads to no commit has")
        elif here is None:
            check.add(path, "missing", "the last commit has it; `git checkout` brings it back")
        elif path == LOCK or not check.whole(path):
            continue  # named by another check
        elif here[1] != blob or (here[0] != mode and (has_modes or here[0] == LINK)):
            check.add(path, "mismatch", "it is not as the last commit has it; commit it, or `git checkout` it")


def imported_uncommitted(root: Path, tracked: Iterable[str]) -> list[str]:
    """Modules anywhere in the project that those of `tools` import, and no commit has; stages' are inputs of DVC."""
    tools = {path for path in tracked if path.startswith("tools/") and path.endswith(".py")}
    closure = closure_of(root, (root / path for path in tools if (root / path).is_file()))
    return sorted({str(path.relative_to(root)) for path in closure}.difference(tracked))


def foreign_code(root: Path, tracked: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What programs would run beside the pipeline's own code, committed or not, each with a sentence.

    Args:
        root: of the project.
        tracked: paths of the commit's files.
    """
    for path in further_pipelines(root):
        yield path, "DVC takes stages, metrics and plots from it beside those of dvc.yaml; remove it"
    for path in shadows(root):
        yield path, "it could be loaded in place of a library; move it into `scripts`, or remove it"
    for path in (name for name in READ_AT_THE_ROOT if (root / name).exists()):
        yield path, f"{READ_AT_THE_ROOT[path]}; remove it"
    for path in plugins(root):
        yield path, "libraries would run code that it names as their plugin; remove it"
    for key in run_by_setup(root):
        yield f"{PROJECT}: {key}", "libraries, or `make setup`, would run the code that it names; remove it"
    for path in false_versions(root):
        yield path, "it says which version of a package is installed, and no package is; remove it"
    for path in tracked:
        if path.startswith(tuple(f"{folder}/" for folder in CODE)) and path.endswith(BINARY):
            yield path, "Python would run it, and nobody can read it; remove it"


def keeps_modes(root: Path) -> bool:
    """Whether the file system keeps which files can be run; git notes that it does not as core.fileMode."""
    try:
        return git(root, "config", "--type=bool", "core.fileMode").strip() != "false"
    except UserError:  # it notes nothing
        return True


def repository_of(folder: Path) -> str:
    """Where git keeps the repository of a folder; blank where it lies in none."""
    try:
        return git(folder, "rev-parse", "--absolute-git-dir")
    except UserError:
        return ""


def check_lock_committed(project: Project, check: Check) -> None:
    """dvc.lock against the last commit, unless something in it is named already."""
    try:
        committed = commit_files(project.root, "HEAD").get(LOCK, ("", ""))
    except UserError:
        return  # named by check_code
    here = mode_and_blob(project.root / LOCK, committed[1])
    if check.whole(LOCK) and (here is None or here[1] != committed[1]):
        check.add(LOCK, "mismatch", "it is not as the last commit has it; commit it, or `git checkout` it")


def mode_and_blob(path: Path, like: str) -> tuple[str, str] | None:
    """A file's mode and hash as git writes them; None where there is no file.

    Args:
        path: of a file or link.
        like: a hash of the repository, whose length says which of git's two kinds it is.
    """
    if path.is_symlink():
        mode, content = LINK, os.fsencode(path.readlink())
    elif path.is_file():
        mode, content = "100755" if path.stat().st_mode & 0o100 else "100644", path.read_bytes()
    else:
        return None
    kind = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return mode, kind(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def untracked_code(root: Path, tracked: dict[str, tuple[str, str]]) -> Iterator[str]:
    """What no commit has of the code that Python would import, of what lies beside it, of the pins and of the rules by
    which DVC ignores.
    """
    for folder, below, names in os.walk(root):
        place = Path(folder).relative_to(root)
        below[:] = sorted(name for name in below if not (place == Path() and name in UNSEEN))
        linked = [
            name for name in below if place.parts[:1] and place.parts[0] in CODE and Path(folder, name).is_symlink()
        ]
        for name in (*linked, *sorted(names)):
            path = str(place / name)
            if path not in tracked and (
                name in linked or name == ".dvcignore" or place.is_relative_to(PINS) or belongs_to_code(place, name)
            ):
                yield path


def further_pipelines(root: Path) -> Iterator[str]:
    """Files from which DVC takes stages, metrics and plots, beside dvc.yaml; what lies in another project of DVC it
    does not see.
    """
    for folder, below, names in os.walk(root):
        place = Path(folder).relative_to(root)
        unseen = NEVER_DATA if place.parts else UNSEEN
        below[:] = [name for name in sorted(below) if name not in unseen and not Path(folder, name, ".dvc").is_dir()]
        paths = (str(place / name) for name in sorted(names) if name == PIPELINE or name.endswith(".dvc"))
        yield from (path for path in paths if path != PIPELINE)


def belongs_to_code(place: Path, name: str) -> bool:
    """Whether a file is code that Python would import, or stands beside such code, which could read it.

    A page's template runs what it says, and Jinja takes one beside the code before one that all pages share.

    In `__pycache__` Python looks for what a source compiles to by a name of its own form; whatever else lies there can
    be imported as from any folder.
    """
    if not place.parts or place.parts[0] not in CODE:
        return False
    return "__pycache__" not in place.parts or not CACHED.fullmatch(name)


def shadows(root: Path) -> Iterator[str]:
    """Modules and libraries at the root, and folders with such beside the project's own: there they are looked for.

    Libraries of Python ask for some hundred others that are not installed (pandas for `numexpr`): whatever has such a
    name runs in every stage. A folder needs no `__init__.py` for it: Python joins it with a library such as `google`,
    and `google.pkg` with those that it lists (pkgutil). What `make setup` installs the project by adds a word to
    Python's search path that is no folder, unless somebody makes one of that name, or an archive. Programs that a stage
    starts look for libraries in the folder where they start, since cv2 says so in LD_LIBRARY_PATH, and torch for those
    of CUDA.
    """
    for entry in sorted(root.iterdir()):
        is_own = entry.name in FOLDERS or entry.name.startswith(".")
        if entry.name in sys.path:
            is_found = True
        elif entry.is_dir():
            is_found = not is_own and ((entry.name.isidentifier() and has_code(entry)) or has_libraries(entry))
        else:
            is_code = entry.name.endswith((*SUFFIXES, ".pkg")) and entry.name.partition(".")[0].isidentifier()
            is_found = is_code or bool(LIBRARY.fullmatch(entry.name))
        if is_found:
            yield entry.name


def rules_of_commit(root: Path, tracked: Mapping[str, tuple[str, str]]) -> list[str]:
    """The lines of the commit's .gitignore, by the line ends of git; git itself is told by other files, too."""
    blobs = [tracked[IGNORED][1]] if IGNORED in tracked else []
    return b"".join(read_objects(root, blobs).values()).decode(errors="replace").split("\n")


def is_plain(rule: str) -> bool:
    """Whether a line of .gitignore is a comment, or a rule that all programs read alike."""
    return rule.startswith("#") or (rule == rule.strip() and rule.isprintable() and "\\" not in rule)


def unlisted(root: Path, tracked: Collection[str], rules: list[str]) -> list[str]:
    """What stands at the root and is neither in the commit nor an output, a cache or the like, which .gitignore lists.

    Programs take settings, code and libraries from the folder where they start, by more names than are known here.

    Args:
        root: of the project.
        tracked: paths of the commit's files.
        rules: of its .gitignore.
    """
    listed = GitIgnoreSpec.from_lines(rules)
    known = {".git", *(PurePosixPath(path).parts[0] for path in tracked)}
    return sorted(
        entry.name
        for entry in root.iterdir()
        if entry.name not in known
        and not PARTIAL.fullmatch(entry.name)  # named by another check
        and not listed.match_file(f"{entry.name}/" if entry.is_dir() and not entry.is_symlink() else entry.name)
    )


def has_code(folder: Path) -> bool:
    """Whether Python could import something from a folder; what a link in it leads to is not looked at."""
    return any(path.name.endswith(SUFFIXES) or (path.is_symlink() and path.is_dir()) for path in folder.rglob("*"))


def has_libraries(folder: Path) -> bool:
    """Whether a folder has a library that programs could load."""
    return any(LIBRARY.fullmatch(path.name) for path in folder.rglob("*"))


def plugins(root: Path) -> Iterator[str]:
    """Records of installed packages at the root, where Python looks for those of plugins, too (importlib.metadata)."""
    for entry in sorted(root.iterdir()):
        if entry.name.lower().endswith(METADATA) and (entry / "entry_points.txt").is_file():
            try:
                groups = {point.group for point in Distribution.at(entry).entry_points}  # as Python itself reads them
            except (ValueError, TypeError, AttributeError):
                groups = {""}
            if groups - COMMANDS:
                yield entry.name


def run_by_setup(root: Path) -> list[str]:
    """Keys of pyproject.toml by which an installed project is a library's plugin, or is built by code of its own."""
    try:
        content = tomllib.loads((root / PROJECT).read_text())
    except (OSError, ValueError):  # none, or one that `make setup` cannot read
        return []
    keys = (("project", "entry-points"), ("build-system", "backend-path"), ("tool", "setuptools", "cmdclass"))
    return [".".join(key) for key in keys if lookup(content, ".".join(key))]


def false_versions(root: Path) -> Iterator[str]:
    """Records of installed packages at the root that are not this project's: programs would take versions from them."""
    for entry in sorted(root.iterdir()):
        if entry.name.lower().endswith(METADATA) and not entry.name.startswith("wrist_fracture_segmentation"):
            yield entry.name


def linked_folders(root: Path, tracked: Iterable[str]) -> list[str]:
    """Folders of the last commit in whose place there are links: what lies behind them nobody has committed."""
    folders = {folder for path in tracked for folder in PurePosixPath(path).parents}
    return sorted(str(folder) for folder in folders if folder.parts and (root / folder).is_symlink())


def check_bytecode(project: Project, check: Check) -> None:
    """Byte code that Python would run in place of a source, against the source."""
    for package in CODE:
        for cached in sorted((project.root / package).rglob("__pycache__/*.pyc")):
            name, tag, *level = cached.name.removesuffix(".pyc").split(".")
            source = cached.parent.parent / f"{name}.py"
            if tag != sys.implementation.cache_tag or not source.is_file():
                continue  # of another Python, or run by none
            # Of `python -O` and PYTHONOPTIMIZE, which takes any number for 2 that is larger.
            number = min(int("".join(re.findall(r"\d", "".join(level))) or 0), 2)
            if is_forged(cached.read_bytes(), source, number):
                path = os.path.relpath(cached, project.root)
                check.add(path, "mismatch", f"it is not what {source.name} compiles to; remove it")


def parts(code: CodeType) -> Iterator[tuple[bytes, bytes]]:
    """All that byte code and the functions in it hold, but for the name of the file, and what Python would run of it.

    Python takes two for equal where instructions differ that it has specialised, and that do something else.
    """
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    rest = tuple(None if isinstance(const, CodeType) else const for const in code.co_consts)
    yield marshal.dumps(code.replace(co_filename="", co_consts=rest), 2), getattr(code, "_co_code_adaptive", b"")
    for const in inner:
        yield from parts(const)


def is_forged(content: bytes, source: Path, level: int = 0) -> bool:
    """Whether Python would take byte code for that of a source (PEP 552) that compiles to something else.

    Args:
        content: of the file with the byte code.
        source: from which it should be.
        level: of optimisation, 0 to 2.
    """
    text, facts = source.read_bytes(), source.stat()
    flags = int.from_bytes(content[4:8], "little")
    stamp = b"".join((int(number) % 2**32).to_bytes(4, "little") for number in (facts.st_mtime, facts.st_size))
    # As Python reads the flags: of the first bit alone it takes a hash for what follows, and else a time and a size.
    by_hash = content[8:16] == source_hash(text) if flags == 0b11 else True
    is_taken = not flags & ~0b11 and (by_hash if flags & 0b1 else content[8:16] == stamp)
    if content[:4] != MAGIC_NUMBER or not is_taken:
        return False
    try:
        code = marshal.loads(content[16:])  # reads values, and runs none of them
        compiled = compile(text, str(source), "exec", dont_inherit=True, optimize=level)
        return not isinstance(code, CodeType) or list(parts(code)) != list(
            parts(marshal.loads(marshal.dumps(compiled)))
        )
    except Exception:  # damaged byte code fails in many ways, and a source that does not compile has none
        return True
