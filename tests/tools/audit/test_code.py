"""Byte code and git's objects, forged where nobody looks."""

import hashlib
import marshal
import os
import py_compile
import shutil
import subprocess
import sys
import zlib
from dis import get_instructions
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import cast

import pytest

from stages.common.core.errors import UserError
from stages.train.checkpoint import checkpoint_path
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tools.audit.check_code import (
    check_bytecode,
    check_code,
    false_versions,
    foreign_code,
    is_forged,
    linked_folders,
    plugins,
    shadows,
)
from tools.audit.check_history import check_objects
from tools.audit.clean_clone import bring, clean_clone, environment
from tools.audit.commit_files import DamagedObject, commit_files, committed_texts, entries
from tools.audit.dvc_lock import history
from tools.audit.findings import Check
from tools.audit.imports import compiles
from tools.audit.repository import commit_of
from tools.audit.trace import Project

SIGN = """#!/bin/sh
cat > /dev/null
printf -- '-----BEGIN PGP SIGNATURE-----\\nx\\n-----END PGP SIGNATURE-----\\n'
echo '[GNUPG:] SIG_CREATED ' >&2
"""
EVIL = """#!/bin/sh
touch "$(dirname "$0")/ran"
"""
MODES = py_compile.PycInvalidationMode


def test_a_remote_that_renamed_its_branch_leaves_no_damage(tmp_path: Path) -> None:
    """git keeps the name of the branch that the remote had, and fsck calls that an error."""
    project = committed(tmp_path, a="good")
    run(tmp_path, "git", "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
    check_objects(project, check := Check())
    assert [(finding.name, finding.kind) for finding in check.findings] == [("git", "unchecked")]
    assert "refs/remotes/origin/HEAD leads to a branch that is gone; `git remote set-head" in check.findings[0].message


def test_a_graph_of_commits_that_is_not_that_of_the_objects_is_named(tmp_path: Path) -> None:
    """`git log` and `git diff` believe it; this audit does not read it."""
    run(tmp_path, "git", "init", "-q")
    for text in ("honest", "forged"):
        (tmp_path / "params.yaml").write_text(text)
        run(tmp_path, "git", "add", "params.yaml")
        run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", text)
    run(tmp_path, "git", "commit-graph", "write", "--reachable")
    project = cast("Project", SimpleNamespace(root=tmp_path))
    check_objects(project, check := Check())
    assert not check.findings
    first, second = (
        bytes.fromhex(run(tmp_path, "git", "rev-parse", f"{name}^{{tree}}").strip()) for name in ("HEAD~1", "HEAD")
    )
    graph = tmp_path / ".git/objects/info/commit-graph"
    content = graph.read_bytes()[:-20].replace(first, second)
    graph.chmod(0o644)
    graph.write_bytes(content + hashlib.sha1(content, usedforsecurity=False).digest())
    assert not run(tmp_path, "git", "diff", "HEAD~1", "HEAD"), "the attack works"
    check_objects(project, check := Check())
    assert [(finding.name, finding.kind) for finding in check.findings] == [("git", "mismatch")]


@pytest.mark.parametrize("mode", MODES)
def test_byte_code_of_another_source_that_python_would_run_is_forged(mode: MODES, tmp_path: Path) -> None:
    source, cached = tmp_path / "a.py", Path(cache_from_source(str(tmp_path / "a.py")))
    source.write_text("GOOD = 1\n")
    py_compile.compile(str(source), invalidation_mode=mode)
    assert not is_forged(cached.read_bytes(), source)
    honest = cached.read_bytes()
    stamp = source.stat()
    source.write_text("EVIL = 1\n")
    py_compile.compile(str(source), invalidation_mode=mode)
    evil = cached.read_bytes()
    source.write_text("GOOD = 1\n")
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert is_forged(honest[:16] + evil[16:], source)
    assert is_forged(honest[:16] + b"no code", source)


def test_byte_code_is_forged_by_what_python_makes_of_its_flags(tmp_path: Path) -> None:
    """Python takes 2 for 0, and byte code of other flags for none."""
    source = tmp_path / "module.py"
    source.write_text("value = 1\n")
    content = bytearray(Path(py_compile.compile(str(source)) or "").read_bytes())
    forged = compile("value = 2\n", str(source), "exec")
    content[16:] = marshal.dumps(forged)
    for flags in range(6):
        content[4:8] = flags.to_bytes(4, "little")
        Path(cache_from_source(str(source))).write_bytes(content)
        said = run(tmp_path, sys.executable, "-c", "import module; print(module.value)").strip()
        assert is_forged(bytes(content), source) == (said == "2"), flags


def test_byte_code_that_python_calls_equal_and_runs_otherwise_is_forged(tmp_path: Path) -> None:
    """An instruction of a function is one that Python would only write while it runs: every comparison holds."""
    source = tmp_path / "module.py"
    source.write_text("def same(a, b):\n    if a == b:\n        return 1\n    return 2\n")
    cached = Path(py_compile.compile(str(source)) or "")
    honest = cached.read_bytes()
    assert not is_forged(honest, source)
    [function] = [const for const in marshal.loads(honest[16:]).co_consts if isinstance(const, CodeType)]
    start = honest.index(function.co_code)
    comparison = start + next(item.offset for item in get_instructions(function) if item.opname == "COMPARE_OP")
    for opcode in range(256):
        forged = honest[:comparison] + bytes([opcode]) + honest[comparison + 1 :]
        assert is_forged(forged, source) == (forged != honest), opcode


def test_byte_code_of_a_source_that_does_not_compile_is_forged(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("value = 1\n")
    cached = Path(py_compile.compile(str(source), invalidation_mode=MODES.UNCHECKED_HASH) or "")
    source.write_text("return 1\n")
    assert is_forged(cached.read_bytes(), source)
    assert not compiles(source.read_bytes())


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_byte_code_of_each_level_of_optimisation_is_looked_at(level: int, tmp_path: Path) -> None:
    """PYTHONOPTIMIZE chooses among them; what is larger than 2 is 2, with a name of its own."""
    project, source = cast("Project", SimpleNamespace(root=tmp_path)), tmp_path / "stages/a.py"
    source.parent.mkdir()
    source.write_text('"""Text."""\nassert True\n')
    made = Path(py_compile.compile(str(source), optimize=min(level, 2)) or "")
    cached = made.rename(made.with_name(made.name.replace("opt-2", f"opt-{level}")))
    check = Check()
    check_bytecode(project, check)
    assert check.findings == []
    cached.write_bytes(cached.read_bytes()[:16] + b"no code")
    check_bytecode(project, check)
    assert [finding.name for finding in check.findings] == [str(cached.relative_to(tmp_path))]


def test_stale_byte_code_which_python_compiles_anew_is_none(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("A = 1\n")
    content = Path(py_compile.compile(str(source))).read_bytes()
    source.write_text("A = 22\n")
    assert not is_forged(content, source)


@pytest.mark.parametrize("seconds", [-(10**9), 0, 2**32 + 5])
def test_byte_code_of_a_source_of_any_time_is_looked_at(seconds: int, tmp_path: Path) -> None:
    """A wrong clock wrote it before 1970 or after 2106: Python keeps the last 32 bits of its time."""
    source = tmp_path / "a.py"
    source.write_text("A = 1\n")
    os.utime(source, (seconds, seconds))
    honest = Path(py_compile.compile(str(source))).read_bytes()
    assert not is_forged(honest, source)
    assert is_forged(honest[:16] + b"no code", source)


def test_an_object_of_git_that_is_not_what_its_name_says_is_named(tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "-q")
    (tmp_path / "a").write_text("good")
    run(tmp_path, "git", "add", "a")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    project, check = cast("Project", SimpleNamespace(root=tmp_path)), Check()
    check_objects(project, check)
    assert check.findings == []
    blob = run(tmp_path, "git", "rev-parse", "HEAD:a").strip()
    file = tmp_path / ".git/objects" / blob[:2] / blob[2:]
    file.unlink()
    file.write_bytes(zlib.compress(b"blob 4\0evil"))
    assert run(tmp_path, "git", "show", "HEAD:a") == "evil"
    check_objects(project, check)
    assert [finding.name for finding in check.findings] == ["git"]


def test_a_link_in_place_of_a_folder_of_the_commit_is_named(tmp_path: Path) -> None:
    """What Python imports through it no walk over the project's folders meets."""
    (tmp_path / "elsewhere/train").mkdir(parents=True)
    (tmp_path / "stages").symlink_to("elsewhere")
    assert linked_folders(tmp_path, ["stages/train/loop.py", "elsewhere/train/loop.py"]) == ["stages"]


def test_records_at_the_root_that_make_code_a_librarys_plugin_are_named(tmp_path: Path) -> None:
    for name in ("evil-1.0.dist-info", "Evil.EGG-INFO", "EGG-INFO", "docs"):  # the third in a folder called x.egg
        (tmp_path / name).mkdir()
        (tmp_path / name / "entry_points.txt").write_text("[mlflow.request_header_provider]\nx=evil:X\n")
    (tmp_path / "own.egg-info").mkdir()  # as a build leaves it
    (tmp_path / "own.egg-info/entry_points.txt").write_text("[console_scripts]\nwrist = tools.wrist:main\n")
    assert list(plugins(tmp_path)) == ["EGG-INFO", "Evil.EGG-INFO", "evil-1.0.dist-info"]


@pytest.mark.parametrize("ends", ["\n", "\r", "\f", "\x1c", "\x85", "\u2028"], ids=repr)
def test_a_plugin_is_named_wherever_python_sees_a_new_line(ends: str, tmp_path: Path) -> None:
    text = ends.join(["[console_scripts]", "a=b:c", "[pydantic]", "x=scripts.evil:X", ""])
    (tmp_path / "evil-1.0.dist-info").mkdir()
    (tmp_path / "evil-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (tmp_path / "evil-1.0.dist-info/entry_points.txt").write_text(text)
    ask = "from importlib.metadata import entry_points; print([p.value for p in entry_points(group='pydantic')])"
    assert "scripts.evil:X" in run(tmp_path, sys.executable, "-c", ask)
    assert list(plugins(tmp_path)) == ["evil-1.0.dist-info"]


def test_a_plugin_of_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "evil.egg-info").mkdir()
    (tmp_path / "evil.egg-info/entry_points.txt").write_bytes(b"[a]\nno equals sign\xff\n")
    assert list(plugins(tmp_path)) == ["evil.egg-info"]


def test_a_record_of_another_package_is_no_version_of_it(tmp_path: Path) -> None:
    """`.gitignore` lists them, and importlib.metadata takes the one at the root before that of the library."""
    for name in ("dvc.egg-info", "wrist_fracture_segmentation.egg-info"):
        (tmp_path / name).mkdir()
    assert list(false_versions(tmp_path)) == ["dvc.egg-info"]


def committed(folder: Path, **files: str) -> Project:
    """A repository with one commit."""
    run(folder, "git", "init", "-q")
    for name, text in files.items():
        (folder / name).write_text(text)
    commit(folder)
    return cast("Project", SimpleNamespace(root=folder))


def commit(folder: Path) -> str:
    """Commit all files and return the hash."""
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    return run(folder, "git", "rev-parse", "HEAD").strip()


@pytest.mark.parametrize(
    "tree",
    [
        [b"100644 a", b"100644 a"],
        [b"100644 b", b"100644 a"],
        [b"100644 a", b"40000 a"],
        [b"100644 a/b"],
        [b"100644 .git"],
        [b"100644 "],
    ],
)
def test_a_folder_that_git_would_not_write_is_damaged(tree: list[bytes]) -> None:
    """Of two files of one name `git show` prints the first, and a program that reads all takes the last."""
    oid = bytes(20)
    with pytest.raises(DamagedObject, match="each name once and in order"):
        entries(b"".join(entry + b"\0" + oid for entry in tree), 20)
    for mode in (b"040000", b"40755", b"100664"):  # git takes the first two for folders
        with pytest.raises(DamagedObject, match="modes that it writes"):
            entries(mode + b" a\0" + oid, 20)
    sound = [b"100644 a", b"100644 a.b", b"40000 a", b"100644 a0"]  # a folder is sorted as `a/`
    assert len(entries(b"".join(entry + b"\0" + oid for entry in [sound[0]]), 20)) == 1
    assert len(entries(b"".join(entry + b"\0" + oid for entry in sound[1:]), 20)) == 3


def test_modes_count_where_the_file_system_keeps_them(tmp_path: Path) -> None:
    """On one that does not, as of many USB sticks, every file may be run, and git says that nothing was changed."""
    project = committed(tmp_path, a="good")
    (tmp_path / "a").chmod(0o755)
    assert named(project) == ["a"]
    run(tmp_path, "git", "config", "core.fileMode", "false")
    assert named(project) == []
    (tmp_path / "a").write_text("evil")
    assert named(project) == ["a"]


def test_names_of_commits_are_also_those_of_experiments(tmp_path: Path) -> None:
    """A branch of the same name could lead elsewhere."""
    committed(tmp_path, a="1")
    first = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    run(tmp_path, "git", "update-ref", f"refs/exps/ab/{'c' * 38}/coarse", first)
    (tmp_path / "a").write_text("2")
    second = commit(tmp_path)
    assert (commit_of(tmp_path, "coarse"), commit_of(tmp_path, "HEAD")) == (first, second)
    run(tmp_path, "git", "update-ref", f"refs/exps/ff/{'c' * 38}/coarse", second)
    with pytest.raises(UserError, match="coarse: expected one commit of that name"):
        commit_of(tmp_path, "coarse")
    run(tmp_path, "git", "update-ref", "-d", f"refs/exps/ff/{'c' * 38}/coarse")
    with pytest.raises(UserError, match=r"^fine: expected a commit, a branch, a tag or an experiment, found none of"):
        commit_of(tmp_path, "fine")
    run(tmp_path, "git", "branch", "coarse")
    with pytest.raises(UserError, match="coarse: expected one commit of that name"):
        commit_of(tmp_path, "coarse")


def test_a_project_without_git_has_no_commit_to_compare_with(tmp_path: Path) -> None:
    project = cast("Project", SimpleNamespace(root=tmp_path))
    check_code(project, check := Check())
    check_objects(project, check)
    assert [(finding.kind, finding.name) for finding in check.findings] == [("unchecked", "git")]
    assert "expected the project in a repository, found none" in check.findings[0].message


def named(project: Project) -> list[str]:
    check = Check()
    check_code(project, check)
    return [finding.name for finding in check.findings]


def test_a_folder_that_python_joins_with_a_librarys_namespace_is_named(tmp_path: Path) -> None:
    """`ruamel` and `google` have no __init__.py: a folder of that name at the root comes before the library's."""
    (tmp_path / "ruamel/yaml").mkdir(parents=True)
    (tmp_path / "ruamel/yaml/__init__.py").write_text("EVIL = 1\n")
    (tmp_path / "google").symlink_to("ruamel")
    (tmp_path / "azure").mkdir()
    (tmp_path / "azure/storage").symlink_to("../ruamel")
    for harmless in ("numpy", "docs", "mpl_toolkits"):  # without code
        (tmp_path / harmless).mkdir()
    found = run(tmp_path, sys.executable, "-c", "import ruamel.yaml as module; print(module.__file__)")
    assert found.strip() == str(tmp_path / "ruamel/yaml/__init__.py")
    assert list(shadows(tmp_path)) == ["azure", "google", "ruamel"]


def test_a_module_of_a_name_that_libraries_ask_for_in_vain_is_named(tmp_path: Path) -> None:
    """pandas imports numexpr where it is installed, and here it is not."""
    (tmp_path / "numexpr.py").write_text("print('evil')\n__version__ = '99'\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/mine.py").write_text("")
    assert "evil" in run(tmp_path, sys.executable, "-c", "import pandas")
    assert list(shadows(tmp_path)) == ["numexpr.py"]


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_what_is_called_as_a_word_of_pythons_search_path_is_named(kind: str, tmp_path: Path) -> None:
    """The finder of a project that is installed in place adds one, and Python looks for a folder of that name."""
    word = next(word for word in sys.path if word and not word.startswith("/"))
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/numexpr.py").write_text("print('evil')\n__version__ = '99'\n")
    if kind == "folder":
        (tmp_path / "evil").rename(tmp_path / word)
    else:
        shutil.make_archive(str(tmp_path / "evil"), "zip", tmp_path / "evil")
        (tmp_path / "evil.zip").rename(tmp_path / word)
        shutil.rmtree(tmp_path / "evil")
    assert "evil" in run(tmp_path, sys.executable, "-c", "import pandas")
    assert list(shadows(tmp_path)) == [word]


def test_libraries_at_the_root_that_programs_would_load_are_named_and_the_audits_git_loads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cv2 leaves an empty folder in LD_LIBRARY_PATH, by which programs look for libraries where they start."""
    said = run(tmp_path, sys.executable, "-c", "import cv2, os; print(os.environ['LD_LIBRARY_PATH'].split(':'))")
    assert "''" in said  # the attack works
    project = committed(tmp_path, **{".gitignore": "notes.*\n.hidden/\n/data/\n"})
    for name in ("libc.so.6", "glibc-hwcaps/x86-64-v3/libz.so.1", "nvidia/cublas/lib/libcublas.so.13", "evil.pkg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for harmless in ("notes.so.txt", ".hidden/a.so", "data/a.so"):
        (tmp_path / harmless).parent.mkdir(exist_ok=True)
        (tmp_path / harmless).write_text("")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":lib:")
    monkeypatch.chdir(tmp_path)
    assert sorted(named(project)) == ["evil.pkg", "glibc-hwcaps", "libc.so.6", "nvidia"]
    assert environment(tmp_path)["LD_LIBRARY_PATH"] == os.devnull
    monkeypatch.setenv("LD_LIBRARY_PATH", ":/opt/lib:lib:")
    assert environment(tmp_path)["LD_LIBRARY_PATH"] == "/opt/lib"
    monkeypatch.delenv("LD_LIBRARY_PATH")
    show = "import cv2, os; print(all(folder[:1] == '/' for folder in os.environ['LD_LIBRARY_PATH'].split(':')))"
    for start in (
        "from tools import wrist; wrist.run_command = lambda *_: None; wrist.main()",
        "import stages; stages.run_command = lambda *_: None; stages.run('ingest')",
    ):
        assert run(ROOT, sys.executable, "-c", f"{start}; {show}") == "True\n"


def test_a_link_to_a_folder_in_which_programs_look_for_libraries_is_named(tmp_path: Path) -> None:
    """Of each folder programs first look into what is for their kind of processor; torch for CUDA, at the root."""
    project = committed(tmp_path, a="good")
    (tmp_path / "glibc-hwcaps").mkdir()
    (tmp_path / "glibc-hwcaps/x86-64-v3").symlink_to("/elsewhere")
    assert named(project) == ["glibc-hwcaps"]


def test_whatever_else_stands_at_the_root_is_named_unless_the_commit_says_to_ignore_it(tmp_path: Path) -> None:
    """Rules of git that no commit has, and what was added and not committed, hide nothing."""
    rules = "/predictions/\n# a comment\u2028/notes*\u2028\n/mlflow.db*\n__pycache__/\n"
    project = committed(tmp_path, **{".gitignore": rules, "a": "good"})
    for name in (
        "predictions/a.png",
        "mlflow.db-wal",
        "__pycache__/a.pyc",
        "films/a.png",
        ".env",
        "notes.txt",
        "none/a",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "none/a").unlink()
    (tmp_path / ".git/info/exclude").write_text("films\n.env\n")
    run(tmp_path, "git", "add", "notes.txt")  # and not committed
    assert named(project) == [".env", "films", "none", "notes.txt"]
    (tmp_path / ".gitignore").write_text("/notes*\t\n/films \n!/a\\ b\n" + rules)
    commit(tmp_path)
    expected = [*(f".gitignore: line {number}" for number in (1, 2, 3)), ".env", "none"]
    assert [name for name in named(project) if name != "notes.txt"] == expected  # git and pathspec differ on them
    (tmp_path / ".gitignore").write_text(rules)
    commit(tmp_path)
    (tmp_path / "predictions").rename(tmp_path / "elsewhere")
    (tmp_path / "predictions").symlink_to("elsewhere")
    assert named(project) == [".env", "elsewhere", "films", "none", "predictions"]


def test_a_list_of_folders_at_the_root_joins_them_with_a_library(tmp_path: Path) -> None:
    """pkgutil.extend_path reads it, by which databricks's packages are joined, and MLflow asks for those."""
    (tmp_path / "scripts/evil").mkdir(parents=True)
    (tmp_path / "scripts/evil/evil.py").write_text("")
    (tmp_path / "databricks.pkg").write_text("scripts/evil\n")
    ask = "import databricks.evil as module; print(module.__file__)"
    assert "scripts/evil/evil.py" in run(tmp_path, sys.executable, "-c", ask)
    assert list(shadows(tmp_path)) == ["databricks.pkg"]


@pytest.mark.parametrize("name", ["GNUmakefile", "matplotlibrc", "setup.cfg", "uv.toml", ".dvc/plots/linear.json"])
def test_settings_at_the_root_that_a_program_prefers_are_named(name: str, tmp_path: Path) -> None:
    project = committed(tmp_path, Makefile="setup:\n")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("axes.edgecolor: red\n")
    assert named(project) == [name.removesuffix("/linear.json")]


def test_figures_follow_settings_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("axes.edgecolor: red\n")
    ask = "import matplotlib; print(matplotlib.rcParams['axes.edgecolor'])"
    assert run(tmp_path, sys.executable, "-c", ask).strip() == "red"


def test_a_module_among_byte_code_and_files_beside_code_are_named(tmp_path: Path) -> None:
    """A committed `from stages.train.__pycache__.evil import X` would run what no commit has; DVC does not see it. A
    template beside that of a page is taken before the shared one of its name, and runs what it says.
    """
    (tmp_path / "tools/audit").mkdir(parents=True)
    project = committed(tmp_path, **{"tools/a.py": ""})
    cached = tmp_path / "stages/train/__pycache__"
    cached.mkdir(parents=True)
    for name in (
        "evil.py",
        "evil.abi3.so",
        "evil.cpython-311-x86_64-linux-gnu.so",
        "loop.cpython-311.pyc",
        "loop.cpython-311.opt-1.pyc",
        "loop.cpython-311.pyc.13981",
    ):
        (cached / name).write_text("")
    (tmp_path / "stages/train/weights.json").write_text("{}")
    (tmp_path / "tools/audit/head.html").write_text("{{ cycler.__init__.__globals__.os.remove('/tmp/x') }}")
    assert named(project) == [
        "stages/train/weights.json", "stages/train/__pycache__/evil.abi3.so",
        "stages/train/__pycache__/evil.cpython-311-x86_64-linux-gnu.so", "stages/train/__pycache__/evil.py",
        "tools/audit/head.html",
    ]  # fmt: skip


def test_a_link_in_the_commit_is_named_since_nobody_has_committed_what_it_leads_to(tmp_path: Path) -> None:
    project = committed(tmp_path, a="good")
    assert named(project) == []
    (tmp_path / "b").symlink_to("/elsewhere/evil.py")
    commit(tmp_path)
    assert named(project) == ["b"]


def test_a_pin_that_no_commit_has_is_named(tmp_path: Path) -> None:
    """A table of withdrawn patients takes films out: who audits must see that in git."""
    project = committed(tmp_path, a="good")
    (tmp_path / "data/pins").mkdir(parents=True)
    (tmp_path / "data/pins/withdrawn.csv").write_text("patient_id,withdrawn,key_id\nworst,2026-01-01,\n")
    (tmp_path / "data/raw.csv").write_text("")
    assert named(project) == ["data/pins/withdrawn.csv"]


def test_a_repository_that_the_environment_names_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    project, _ = committed(tmp_path / "own", a="good"), committed(tmp_path / "other", a="evil")
    (tmp_path / "own/a").write_text("evil")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert named(project) == ["a"]


@pytest.mark.parametrize("forged", ["HEAD:stages/a.py", "HEAD:stages", "HEAD^{tree}", "HEAD"])
def test_an_object_that_another_lies_in_place_of_is_no_part_of_the_commit(forged: str, tmp_path: Path) -> None:
    """`ls-tree` and `show` of git take it for the object, and so would who knows the commit by its hash."""
    (tmp_path / "stages").mkdir()
    project = committed(tmp_path, **{"stages/a.py": "good"})
    honest = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    names = [run(tmp_path, "git", "rev-parse", forged).strip()]
    (tmp_path / "stages/a.py").write_text("evil")
    commit(tmp_path)
    names.append(run(tmp_path, "git", "rev-parse", forged).strip())
    run(tmp_path, "git", "update-ref", "HEAD", honest)
    there, other = (tmp_path / ".git/objects" / name[:2] / name[2:] for name in names)
    there.unlink()
    shutil.copy(other, there)
    assert named(project) == ["stages/a.py" if forged == "HEAD:stages/a.py" else "git"]
    with pytest.raises(UserError, match=r"expected the object|hash mismatch"):
        committed_texts(tmp_path, honest, ["stages/a.py"])


def test_a_project_in_a_folder_of_a_repository_has_the_files_that_git_names(tmp_path: Path) -> None:
    for name in ("a", "project/b/c", "project2/d", "z/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    committed(tmp_path)
    for folder in (tmp_path, tmp_path / "project", tmp_path / "project/b"):
        listed = run(folder, "git", "ls-tree", "-r", "--name-only", "HEAD")
        assert sorted(commit_files(folder, "HEAD")) == listed.split()


def test_a_project_in_a_folder_of_a_repository_has_the_history_of_its_own_record(tmp_path: Path) -> None:
    """Not of a `dvc.lock` at the top, by which no output of the project was committed, and no version had a patient."""
    (tmp_path / "project").mkdir()
    committed(tmp_path, **{"dvc.lock": "another's", "project/dvc.lock": "own"})
    for folder, text in ((tmp_path, "another's"), (tmp_path / "project", "own")):
        assert [found for _, found in history(folder)] == [found for _, found in history(folder, True)] == [text]


def test_a_repository_that_takes_the_project_for_a_folder_of_another_tree_is_named(tmp_path: Path) -> None:
    """git then compares with that folder of the commit: a second, changed copy of the project."""
    root = tmp_path / "project"
    root.mkdir()
    project = committed(root, a="good")
    (root / "project").mkdir()
    (root / "project/a").write_text("evil")
    commit(root)
    (root / "a").write_text("evil")
    run(root, "git", "config", "core.worktree", str(tmp_path))
    assert run(root, "git", "ls-tree", "-r", "--name-only", "HEAD").split() == ["a"]
    assert "git" in named(project)


def test_grafted_parents_are_not_part_of_the_history(tmp_path: Path) -> None:
    committed(tmp_path, **{"dvc.lock": "first"})
    first = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    run(tmp_path, "git", "checkout", "-q", "--orphan", "other")
    (tmp_path / "dvc.lock").write_text("second")
    second = commit(tmp_path)
    (tmp_path / ".git/info/grafts").write_text(f"{second} {first}\n")
    said = run(tmp_path, "git", "-c", "advice.graftFileDeprecated=false", "log", "--format=%H")
    assert said.split() == [second, first]
    assert [commit for commit, _ in history(tmp_path)] == [second]


def commit_two_locks(root: Path) -> None:
    """A repository in which dvc.lock is `first`, and then `second`."""
    root.mkdir()
    committed(root, **{"dvc.lock": "first"})
    (root / "dvc.lock").write_text("second")
    commit(root)


def test_a_history_that_is_said_to_be_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A forged `.git/shallow` would hide older commits; a real clone of the last commit has no others."""
    root, clone = tmp_path / "whole", tmp_path / "clone"
    commit_two_locks(root)
    run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{root}", str(clone))
    (root / ".git/shallow").write_text(run(root, "git", "rev-parse", "HEAD"))
    assert [text for _, text in history(root)] == ["second", "first"]
    assert [text for _, text in history(clone)] == ["second"]
    with clean_clone(clone, "HEAD") as again:
        assert [text for _, text in history(again)] == ["second"]


def test_a_clone_without_all_objects_is_one_sentence(tmp_path: Path) -> None:
    root, clone = tmp_path / "whole", tmp_path / "clone"
    commit_two_locks(root)
    run(root, "git", "config", "uploadpack.allowFilter", "true")
    run(tmp_path, "git", "clone", "-q", "--filter=blob:none", f"file://{root}", str(clone))
    with pytest.raises(UserError, match=r"^git cat-file --batch: expected a whole clone, found .* without it$"):
        list(history(clone))


def test_what_git_refuses_is_one_line(tmp_path: Path) -> None:
    """git would add four lines of advice on the file of grafted parents, which it is told not to read."""
    committed(tmp_path, a="good")
    with pytest.raises(UserError, match=r"^HEAD\.\.HEAD: expected a commit, .*$") as refusal:
        commit_of(tmp_path, "HEAD..HEAD")
    assert "\n" not in str(refusal.value)


def test_the_history_is_read_whatever_its_letters_and_ends_of_lines_are(tmp_path: Path) -> None:
    """git counts bytes. A licence with an umlaut stands in dvc.lock among the parameters."""
    texts = ["licence: für alle\r\n", "\ufeffstages: {}\n", "stages: {}\n"]
    committed(tmp_path, **{"dvc.lock": ""})
    for text in texts:
        (tmp_path / "dvc.lock").write_bytes(text.encode())
        commit(tmp_path)
    assert [text for _, text in history(tmp_path)] == [*reversed(texts), ""]


def test_a_file_of_a_commit_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.md")
    (tmp_path / name).touch()
    committed(tmp_path, **{"b.md": ""})
    assert set(commit_files(tmp_path, "HEAD")) == {"b.md", name}


def test_the_history_is_read_without_the_repositorys_own_program_for_signatures(tmp_path: Path) -> None:
    """git's log.showSignature would run it in the middle of an audit."""
    committed(tmp_path, **{"dvc.lock": "first", "sign": SIGN, "evil": EVIL})
    for name in ("sign", "evil"):
        (tmp_path / name).chmod(0o755)
    run(tmp_path, "git", "config", "gpg.program", str(tmp_path / "sign"))
    own = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run(tmp_path, "git", *own, "commit", "-q", "--amend", "-S", "-m", "x")
    run(tmp_path, "git", "config", "gpg.program", str(tmp_path / "evil"))
    run(tmp_path, "git", "config", "log.showSignature", "true")
    run(tmp_path, "git", "log")
    assert (tmp_path / "ran").is_file()  # the attack works
    (tmp_path / "ran").unlink()
    assert [text for _, text in history(tmp_path)] == ["first"]
    assert not (tmp_path / "ran").exists()


def test_no_program_runs_that_the_repository_names_for_itself(tmp_path: Path) -> None:
    """git fsck asks a monitor of files; a repository that lacks objects fetches them through a program of its own."""
    project = committed(tmp_path, a="good", evil=EVIL)
    (tmp_path / "evil").chmod(0o755)
    run(tmp_path, "git", "config", "core.fsmonitor", str(tmp_path / "evil"))
    run(tmp_path, "git", "fsck")
    assert (tmp_path / "ran").is_file()  # the attack works
    (tmp_path / "ran").unlink()
    check_objects(project, Check())
    assert not (tmp_path / "ran").exists()
    promise = {"core.sshCommand": str(tmp_path / "evil"), "extensions.partialClone": "origin"}
    promise |= {"core.repositoryFormatVersion": "1", "remote.origin.promisor": "true", "remote.origin.url": "ssh://h/x"}
    for key, value in promise.items():
        run(tmp_path, "git", "config", key, value)
    tree = run(tmp_path, "git", "rev-parse", "HEAD^{tree}").strip()
    (tmp_path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    run(tmp_path, "git", "ls-tree", "HEAD", code=128)
    assert (tmp_path / "ran").is_file()
    (tmp_path / "ran").unlink()
    check = Check()
    check_code(project, check)
    check_objects(project, check)
    with pytest.raises(UserError), clean_clone(tmp_path, "HEAD"):
        pass
    assert [(finding.name, finding.kind) for finding in check.findings] == [("git", "mismatch")]
    assert not (tmp_path / "ran").exists()


def test_a_clone_has_the_bytes_of_the_commit_whatever_its_attributes_say(tmp_path: Path) -> None:
    """iconv turns the quotation mark of full width into one that ends the text."""
    harmless = "TEXT = '\uff07; evil() #'\n"
    attributes = "a.py working-tree-encoding=ASCII//TRANSLIT\nb.py ident\nc.py eol=crlf\n"
    committed(tmp_path, **{"a.py": harmless, "b.py": "$Id$\n", "c.py": "1\n"})
    (tmp_path / ".gitattributes").write_text(attributes)
    run(tmp_path, "git", "add", ".gitattributes")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    with clean_clone(tmp_path, "HEAD") as clone:
        assert [(clone / name).read_text() for name in ("a.py", "b.py")] == [harmless, "$Id$\n"]
        assert (clone / "c.py").read_bytes() == b"1\n"


def test_a_training_in_a_clone_goes_on_from_no_checkpoint_of_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name follows from params, data and code: a forger writes the last epoch's weights under it."""
    committed(tmp_path, a="good")
    for folder in (".checkpoints", ".git/checkpoints"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.safetensors").write_text("forged")
        run(tmp_path, "git", "add", "-f", folder)
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    with clean_clone(tmp_path, "HEAD") as clone:
        assert (clone / ".checkpoints/x.safetensors").exists()  # the attack works
        monkeypatch.setenv("CHECKPOINT_DIR", environment(clone)["CHECKPOINT_DIR"])
        assert not checkpoint_path("x").exists()
        assert checkpoint_path("x").is_relative_to(clone)


def test_a_commit_with_links_is_not_cloned_since_what_runs_in_it_would_leave_the_clone(tmp_path: Path) -> None:
    committed(tmp_path, a="good")
    (tmp_path / "data").symlink_to("/elsewhere")
    commit(tmp_path)
    with pytest.raises(UserError, match=r"links or repositories \(data\)"), clean_clone(tmp_path, "HEAD"):
        pass


def test_what_a_clone_is_given_stays_in_it(tmp_path: Path) -> None:
    """Films of patients would else be left in the folder of temporary files."""
    project, clone = tmp_path / "a/b/project", tmp_path / "clone/project"
    for folder in (project, clone, tmp_path / "a/films"):
        folder.mkdir(parents=True)
    (tmp_path / "a/films/a.png").write_text("a film")
    with pytest.raises(UserError, match=r"\.\./\.\./films: expected an absolute path or one in the project"):
        bring(project, clone, "../../films")
    bring(project, clone, str(tmp_path / "a/films"))  # read where it is
    assert [path.name for path in tmp_path.rglob("*.png")] == ["a.png"]


@pytest.mark.parametrize(
    "path", ["sitecustomize.py", "tools/audit/__pycache__/verify.cpython-311.pyc", "tools", "films/x.so", "films"]
)
def test_a_clone_is_given_no_code_that_dvc_lock_calls_data(path: str, tmp_path: Path) -> None:
    """Python would run it in place of the commit's, and the audit by the commit's own code would find all as it is."""
    project, clone = tmp_path / "project", tmp_path / "clone"
    (project / path).parent.mkdir(parents=True)
    clone.mkdir()
    if path in ("tools", "films"):
        (project / path / "deep").mkdir(parents=True)
        (project / path / "deep/a.py").touch()
    else:
        (project / path).touch()
    with pytest.raises(UserError, match=r"expected data, of which a clean clone gets a copy, found code \("):
        bring(project, clone, path)


def test_a_clone_is_given_no_code_behind_a_link(tmp_path: Path) -> None:
    """A folder joins those of a library's namespace."""
    (tmp_path / "away").mkdir()
    (tmp_path / "away/__init__.py").touch()
    (tmp_path / "project/ruamel").mkdir(parents=True)
    (tmp_path / "project/ruamel/yaml").symlink_to(tmp_path / "away")
    with pytest.raises(UserError, match=r"found code \(ruamel/yaml/__init__.py\)"):
        bring(tmp_path / "project", tmp_path / "clone", "ruamel")


def test_what_cannot_be_copied_into_a_clone_is_named(tmp_path: Path) -> None:
    """A pipe or a link to nothing in an output."""
    (tmp_path / "project/out").mkdir(parents=True)
    os.mkfifo(tmp_path / "project/out/pipe")
    (tmp_path / "project/out/link").symlink_to("nothing")
    with pytest.raises(
        UserError, match=r"(?s)found these; remove them \(2\):.*- out/(pipe|link): .*- out/(pipe|link): "
    ):
        bring(tmp_path / "project", tmp_path / "clone", "out")


def test_a_tag_that_looks_like_another_commits_hash_is_not_taken_for_it(tmp_path: Path) -> None:
    committed(tmp_path, a="good")
    honest = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    (tmp_path / "a").write_text("evil")
    commit(tmp_path)
    run(tmp_path, "git", "tag", honest[:7])
    with pytest.raises(UserError, match="found a branch or tag of that name"), clean_clone(tmp_path, honest[:7]):
        pass
    other = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    for name in (honest[:8].upper(), f"v1-1-g{honest[:9]}"):  # as git reads them where no tag is called so
        assert commit_of(tmp_path, name) == honest
        run(tmp_path, "git", "tag", name, other)
        with pytest.raises(UserError, match="found a branch or tag of that name"):
            commit_of(tmp_path, name)
    with clean_clone(tmp_path, honest) as clone:
        assert (clone / "a").read_text() == "good"


@pytest.mark.parametrize("place", ["tag", "file"])
def test_a_name_that_a_branch_shares_with_another_commit_is_not_taken(place: str, tmp_path: Path) -> None:
    """git takes a tag for it, and before that a file of the name beside HEAD."""
    committed(tmp_path, a="good")
    run(tmp_path, "git", "branch", "release")
    assert commit_of(tmp_path, "release") == commit_of(tmp_path, "HEAD")
    (tmp_path / "a").write_text("evil")
    evil = commit(tmp_path)
    if place == "tag":
        run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "tag", "-am", "x", "release")
    else:
        (tmp_path / ".git/release").write_text(f"{evil}\n")
    assert evil in run(tmp_path, "git", "rev-parse", "release^{commit}")  # the attack works
    with pytest.raises(UserError, match="expected one commit of that name"):
        commit_of(tmp_path, "release")
    assert commit_of(tmp_path, "refs/heads/release") == commit_of(tmp_path, f"{evil}~1")


def test_a_clean_clone_runs_no_hook_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(tmp_path, a="good")
    hook = tmp_path / "hooks/post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text(f"[core]\n    hooksPath = {hook.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with clean_clone(tmp_path, "HEAD") as clone:
        assert (clone / "a").is_file()


def test_a_repository_of_another_user_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"fatal: detected dubious ownership in repository at '/x'\nTo add an exception ...\n"
    refused = subprocess.CompletedProcess([], 128, b"", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(UserError, match=rf"^git: expected a repository of this user, .*safe.directory {tmp_path}` if"):
        commit_of(tmp_path, "HEAD")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('[project.entry-points.pydantic]\nunits = "scripts.units"\n', ["pyproject.toml: project.entry-points"]),
        ('[build-system]\nbackend-path = ["scripts"]\n', ["pyproject.toml: build-system.backend-path"]),
        ('[project.scripts]\nwrist = "tools.wrist:main"\n', []),
        ("[project", []),
    ],
)
def test_code_that_libraries_or_the_set_up_would_run_for_pyproject_is_named(
    text: str, keys: list[str], tmp_path: Path
) -> None:
    """Once it is installed, pydantic loads its plugins in each stage."""
    (tmp_path / "pyproject.toml").write_text(text)
    assert [name for name, _ in foreign_code(tmp_path, [])] == keys


def test_a_module_that_tools_import_and_no_commit_has_is_named(tmp_path: Path) -> None:
    """Untracked scripts are a user's own, unless the commit runs them."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "scripts").mkdir()
    project = committed(tmp_path, **{"tools/a.py": "from scripts.units import x\n", "tools/__init__.py": ""})
    for name in ("units.py", "own.py"):
        (tmp_path / "scripts" / name).write_text("x = 1\n")
    assert named(project) == ["scripts/units.py"]


def test_what_makes_git_show_other_objects_is_named(tmp_path: Path) -> None:
    """`git show HEAD:params.yaml` would show another text than this audit compares."""
    project = committed(tmp_path, a="good")
    (tmp_path / "a").write_text("better")
    commit(tmp_path)
    run(tmp_path, "git", "replace", "HEAD:a", "HEAD~1:a")
    (tmp_path / ".git/info/grafts").write_text(run(tmp_path, "git", "rev-parse", "HEAD"))
    blob = run(tmp_path, "git", "--no-replace-objects", "rev-parse", "HEAD:a").strip()
    assert named(project) == [f"git: refs/replace/{blob}", "git: info/grafts"]


@pytest.mark.parametrize("place", ["refs/heads/{}", "refs/tags/{}", "{}", "refs/{}", "refs/remotes/{}/HEAD"])
def test_a_branch_that_is_called_as_another_commit_is_named(place: str, tmp_path: Path) -> None:
    """verify and trace print twelve digits, and `git show` of them would show another commit."""
    project = committed(tmp_path, a="good")
    (tmp_path / "a").write_text("better")
    commit(tmp_path)
    first, last = (run(tmp_path, "git", "rev-parse", name).strip() for name in ("HEAD~1", "HEAD"))
    run(tmp_path, "git", "tag", "2026", first)  # too short to be an address that anybody prints
    run(tmp_path, "git", "tag", last, last)
    assert named(project) == []
    name = place.format(last[:12])
    forged = tmp_path / ".git" / name
    forged.parent.mkdir(parents=True, exist_ok=True)
    forged.write_text(f"{first}\n")
    found = run(tmp_path, "git", "-c", "core.warnAmbiguousRefs=false", "rev-parse", last[:12])
    assert found.strip() == first, "the attack works"
    assert named(project) == [f"git: {name}"]


def test_a_link_to_a_packed_branch_that_is_called_as_another_commit_is_named(tmp_path: Path) -> None:
    """git reads where the link leads to; no file is there."""
    project = committed(tmp_path, a="good")
    run(tmp_path, "git", "branch", "old")
    run(tmp_path, "git", "pack-refs", "--all")
    (tmp_path / "a").write_text("better")
    last = commit(tmp_path)
    (tmp_path / ".git" / last[:12]).symlink_to("refs/heads/old")
    found = run(tmp_path, "git", "-c", "core.warnAmbiguousRefs=false", "rev-parse", last[:12])
    assert found == run(tmp_path, "git", "rev-parse", "old"), "the attack works"
    assert named(project) == [f"git: {last[:12]}"]


def test_a_tag_of_which_git_keeps_another_commit_is_named(tmp_path: Path) -> None:
    """`git describe` believes what stands below a tag in the file of packed names."""
    project = committed(tmp_path, a="good")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "tag", "-am", "x", "v1")
    run(tmp_path, "git", "tag", "light")
    (tmp_path / "a").write_text("better")
    commit(tmp_path)
    run(tmp_path, "git", "pack-refs", "--all")
    assert named(project) == []
    first, last = (run(tmp_path, "git", "rev-parse", name).strip() for name in ("HEAD~1", "HEAD"))
    packed = tmp_path / ".git/packed-refs"
    honest = packed.read_text()
    packed.write_text(honest.replace(f"^{first}", f"^{last}"))
    assert run(tmp_path, "git", "describe").strip() == "v1", "the attack works"
    assert named(project) == ["git: refs/tags/v1"]
    packed.write_text(honest.replace(f"^{first}\n", ""))
    assert named(project) == ["git: refs/tags/v1"]
    run(tmp_path, "git", "update-ref", "refs/tags/v1", first)  # the packed line no longer counts
    assert named(project) == []


@pytest.mark.parametrize("order", ["twice", "another"])
def test_a_tag_that_is_packed_twice_or_out_of_order_is_named(order: str, tmp_path: Path) -> None:
    """`git show` finds one line by halving the file, and `git describe` reads all of them."""
    project = committed(tmp_path, a="good")
    run(tmp_path, "git", "tag", "v1")
    run(tmp_path, "git", "pack-refs", "--all")
    assert named(project) == []
    (tmp_path / "a").write_text("better")
    last = commit(tmp_path)
    packed = tmp_path / ".git/packed-refs"
    heading, *lines = packed.read_text().splitlines(keepends=True)
    added = [*lines, f"{last} refs/tags/v1\n"] if order == "twice" else lines[::-1]
    packed.write_text("".join([heading, *added]))
    assert named(project) == ["git: refs/tags/v1" if order == "twice" else "git: refs/heads/master"]


def test_a_repository_that_is_another_one_for_each_reader_is_named(tmp_path: Path) -> None:
    project = committed(tmp_path, a="good")
    (tmp_path / ".git").rename(tmp_path / "repository")
    for way, expected in {"repository": [], "/proc/self/cwd/repository": ["git: .git"]}.items():
        (tmp_path / ".git").write_text(f"gitdir: {way}\n")
        assert [name for name in named(project) if name.startswith("git:")] == expected


def test_a_repository_in_a_folder_of_the_commit_is_named(tmp_path: Path) -> None:
    """There `git log` shows another history, and `git status` at the root says nothing of it."""
    (tmp_path / "docs").mkdir()
    project = committed(tmp_path, **{"docs/a": "good"})
    assert named(project) == []
    shutil.copytree(tmp_path / ".git", tmp_path / "docs/.git")
    assert named(project) == ["docs: a repository"]
    shutil.rmtree(tmp_path / "docs/.git")
    shutil.copytree(tmp_path / ".git", tmp_path / "docs", dirs_exist_ok=True)  # as a bare one
    assert named(project) == ["docs: a repository"]


def test_a_cut_that_hides_commits_that_are_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    project = committed(tmp_path / "whole", a="good")
    (project.root / "a").write_text("better")
    last = commit(project.root)
    run(tmp_path, "git", "clone", "-q", "--depth=1", f"file://{project.root}", "cut")
    assert named(cast("Project", SimpleNamespace(root=tmp_path / "cut"))) == [], "a clone without the first commit"
    (project.root / ".git/shallow").write_text(f"{last}\n")
    assert run(project.root, "git", "log", "--format=%H").split() == [last], "the attack works"
    assert named(project) == ["git: shallow"]
