"""Every input and output of dvc.lock by its md5, folders file by file."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from stages.common.data.layout import AUDIT_PAGE, DATA_DOCS, LIVE, MODELS, RAW, REPORTS, SWEEP_PAGE
from tools.audit.check_code import CODE
from tools.audit.check_links import public_name
from tools.audit.check_record import covered, overlap
from tools.audit.dvc_cache import (
    MD5,
    file_md5,
    files_below,
    folder_md5,
    hash_files,
    joined_md5,
    listing,
    object_path,
    size,
)
from tools.audit.findings import Check
from tools.audit.folders import HALF_WRITTEN, PARTIAL
from tools.audit.trace import Project
from tools.audit.yaml_files import inbox_of, params_here

BYTE_CODE = re.compile(r".+\.pyc(\.\d+)?")  # or half-written by Python
# Of the repository, for who looks there.
TEXTS = tuple(map(str, (MODELS / "README.md", REPORTS / "README.md", REPORTS / "example.png")))
BY_COMMANDS = tuple(map(str, (AUDIT_PAGE, DATA_DOCS, LIVE, SWEEP_PAGE)))  # in `reports`, no outputs of stages


def check_files(project: Project, check: Check) -> None:
    """Every input and output of dvc.lock by its md5, folders file by file."""
    hashes_by_path = defaultdict(set)
    for stage in project.lock.stages.values():
        for path, md5 in (stage.deps | stage.outs).items():
            hashes_by_path[path].add(md5)
    alone = {}
    for path, (md5, *others) in sorted((path, sorted(hashes)) for path, hashes in hashes_by_path.items()):
        inside = [out for out in project.lock.hashes if out.startswith(f"{path}/")]
        if others:
            message = f"stages ran on versions {', '.join([md5, *others])}; run `dvc repro`"
            check.add(path, "mismatch", message)
        elif inside:
            check_parent(project, check, path, md5, inside)
        else:
            alone[path] = md5
    check_alone(project, check, alone)


def check_alone(project: Project, check: Check, expected: dict[str, str]) -> None:
    """Files and folders that one stage made, or that were there before; hashed all at once."""
    here = {path: sorted(files_below(project.root, path)) for path, md5 in expected.items() if md5.endswith(".dir")}
    files = {path: {name: project.root / path / name for name in names} for path, names in here.items()}
    single = [project.root / path for path in expected if path not in here]
    files_to_hash = single + [file for inside in files.values() for file in inside.values()]
    hashes = hash_files(files_to_hash)
    check.files += sum(md5 != "" for md5 in hashes.values())
    check.bytes += sum(map(size, files_to_hash))
    for path, md5 in expected.items():
        if path in here:
            check_folder(project, check, path, md5, {name: hashes[file] for name, file in files[path].items()})
        elif not (actual := hashes[project.root / path]):
            check.add(path, "missing", f"expected md5 {md5}")
        elif actual != md5 and check.whole(path):
            check.add(path, "mismatch", difference(project, path, md5, actual))


def is_empty_inbox(project: Project, path: str, files: Collection[str]) -> bool:
    """Whether a folder of source files has none, as in a clone, beside the page that says what belongs there.

    Args:
        project: whose stages read it.
        path: of an input, from the root.
        files: in it, by their paths from it.
    """
    if path != inbox_of(params_here(project.root)) or covered(path, CODE):
        return False
    return set(files) <= {"README.md", ".gitignore"}


def check_ignored(project: Project, check: Check) -> None:
    """What lies in an input or output, and DVC does not see, since a .dvcignore names it.

    Byte code is named by other checks; what a killed stage left half-built no stage reads. Beside source files, which
    ingest takes from any folder, there is neither.
    """
    for path in sorted({path for stage in project.lock.stages.values() for path in (*stage.deps, *stage.outs)}):
        top = project.root / path
        is_made = any(overlap(path, out) for stage in project.lock.stages.values() for out in stage.outs)
        seen = {top / name for name in files_below(project.root, path)}
        for file in sorted(top.rglob("*")):
            below = file.relative_to(top).parts
            leftover = (is_made and any(PARTIAL.fullmatch(part) for part in below)) or (
                path.startswith("stages/") and "__pycache__" in below and BYTE_CODE.fullmatch(file.name)
            )
            if file not in seen and not leftover and (file.is_symlink() or not file.is_dir()):
                is_file = file.is_symlink() or file.is_file()
                reason = ", or the line of .dvcignore that names it" if is_file else ", a pipe or device"
                message = f"DVC does not look at it: remove it{reason}"
                check.add(public_name(project.root, "/".join((path, *below))), "extra", message)


def check_leftovers(project: Project, check: Check) -> None:
    """What killed programs left half-written at the root, and beside and in outputs; DVC and the stages pass over it,
    people do not.

    Below source files it is named by another check.
    """
    stages = project.lock.stages.values()
    made = [out for stage in stages for out in stage.outs]
    inputs = [path for stage in stages for path in stage.deps if not any(overlap(path, out) for out in made)]
    found: list[str] = []
    below = (path for folder in (RAW.parent, MODELS, REPORTS) for path in (project.root / folder).rglob(HALF_WRITTEN))
    for path in sorted({*project.root.glob(HALF_WRITTEN), *below}):
        name = path.relative_to(project.root).as_posix()
        if not covered(name, found) and not covered(name, inputs):
            found.append(name)
            check.add(name, "extra", "a program that was killed left it, or one writes it now; else remove it")


def check_beside(project: Project, check: Check) -> None:
    """What lies in `models` and `reports` and is neither of a stage nor of a command, nor one of the texts there.

    People take it for a result, also where a commit has it: its name may look like that of an output.
    """
    message = "no stage has it: former parameters left it, or somebody put it there; remove or move it"
    stages = project.lock.stages.values()
    texts = (text for text in TEXTS if (project.root / text).is_file())  # in a folder of that name anything could lie
    known = {*BY_COMMANDS, *texts, *(path for stage in stages for path in (*stage.deps, *stage.outs))}
    for folder in (MODELS, REPORTS):
        for path in filter(check.whole, strangers(project.root, folder, known)):
            check.add(path, "extra", message)


def strangers(root: Path, folder: Path, known: set[str]) -> Iterator[str]:
    """What lies in a folder and is not known: files, links, and folders with any of them, where nothing in these is.

    Args:
        root: of the project.
        folder: from the root.
        known: paths of files and folders.
    """
    for entry in sorted(os.scandir(root / folder), key=lambda entry: entry.name):
        path = folder / entry.name
        if covered(str(path), known):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield str(path)
        elif any(name.startswith(f"{path}/") for name in known):
            yield from strangers(root, path, known)
        elif any(not found.is_dir() or found.is_symlink() for found in (root / path).rglob("*")):
            yield str(path)


def check_parent(project: Project, check: Check, path: str, md5: str, inside: list[str]) -> None:
    """A folder that a stage read and whose parts others made: those are checked by themselves.

    Args:
        project: whose files are hashed.
        check: gets the discrepancies.
        path: of the folder, from the root.
        md5: of the folder, in dvc.lock.
        inside: outputs of stages that lie in it.
    """
    for name in files_below(project.root, path):
        if not covered(f"{path}/{name}", inside):
            check.add(f"{path}/{name}", "extra", "no stage wrote it")
    made = joined_md5(project.root, path, {out: project.lock.hashes[out] for out in inside})
    if made not in ("", md5):
        check.add(path, "mismatch", f"a stage read it with md5 {md5}, its parts make {made}; run `dvc repro`")


def check_folder(project: Project, check: Check, path: str, md5: str, actual: dict[str, str]) -> None:
    """A folder against its list in the cache; without that list the folder's own hash says whether, not what.

    Args:
        path, md5: of the folder, as dvc.lock has them.
        actual: md5 of the files that are there, by relative path.
    """
    if folder_md5(actual) != md5 and is_empty_inbox(project, path, actual):
        check.add(path, "unchecked", "the source files are not here, and no remote of DVC has them")
        return
    if not (project.root / path).is_dir():
        check.add(path, "missing", f"expected a folder with md5 {md5}")
        return
    listed = listing(project.root, md5)
    if listed is not None and folder_md5(listed) != md5:
        check.add(f"cache: {md5}", "mismatch", f"the list of {path} in the cache was changed; remove it, `dvc fetch`")
        listed = None
    if listed is None:
        if folder_md5(actual) != md5 and check.whole(path):  # code is in no cache, but in git, which names the file
            check.add(path, "mismatch", f"stages ran with md5 {md5}, found {folder_md5(actual)}; run `dvc repro`")
        return
    for name in sorted(actual.keys() | listed.keys()):
        if name not in listed:
            check.add(f"{path}/{name}", "extra", "no stage wrote it")
        elif name not in actual:
            check.add(f"{path}/{name}", "missing", f"expected md5 {listed[name]}")
        elif actual[name] != listed[name]:
            file = f"{path}/{name}"
            check.add(file, "mismatch", difference(project, file, listed[name], actual[name]))


def difference(project: Project, path: str, expected: str, found: str) -> str:
    """How a file differs from what is recorded, and what to do where DVC, asked for it, would not say so.

    Args:
        project: that has the file.
        path: of the file, from the root.
        expected, found: its md5.
    """
    said = f"expected md5 {expected}, found {found}"
    if not MD5.fullmatch(expected):
        return f"{said}: the expected one is none; `git checkout dvc.lock`"
    cached = object_path(project.root, expected)
    text = (project.root / path).read_bytes().replace(b"\r\n", b"\n")
    if hashlib.md5(text, usedforsecurity=False).hexdigest() == expected:
        return f"{said}: its lines have the ends of Windows; `dvc checkout --force {path}` brings it back"
    if cached.is_file() and file_md5(cached) != expected:  # by a failing disk; DVC believes it
        return f"{said}, and the cache's copy is damaged: remove both, {path} and {cached}, then `dvc repro`"
    return said
