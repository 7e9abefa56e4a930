"""DVC's cache, wherever it was told to keep it: found by audits, and emptied by withdrawals."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from ruamel.yaml import YAML

from stages.common.core.errors import UserError
from stages.common.core.process import process_name
from stages.ingest.withdrawn import film_pseudonym, read_withdrawn
from tests.helpers.files import tree_hash
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, run
from tests.helpers.projects import copy_project, use_own_site_cache
from tools.audit.actions import withdraw_patient
from tools.audit.check_files import check_files
from tools.audit.dvc_cache import cache_folder, content_md5, folder_md5, hash_folder, listing, object_path
from tools.audit.dvc_lock import declared_outs, read_lock
from tools.audit.elsewhere import elsewhere
from tools.audit.findings import Check
from tools.audit.patient_files import patient_files
from tools.audit.remotes import remove_from_remotes
from tools.audit.rerun import rerun
from tools.audit.trace import Project
from tools.audit.withdraw import withdraw
from tools.audit.words import Words

UNLINK = Path.unlink
FILM, OTHER = b"pixels of a film that goes", b"pixels of a film that stays"
GONE, STAYS = "0123456789abcdef", "fedcba9876543210"  # pseudonyms
# The file of a setting, its value, and the folder that DVC then takes; {tmp} is the test's own folder.
PLACES = {
    "default": ("", "", "project/.dvc/cache"),
    "system": ("system/config", "{tmp}/elsewhere", "elsewhere"),
    "global": ("global/config", "{tmp}/elsewhere", "elsewhere"),
    "relative": ("project/.dvc/config", "../../beside", "beside"),
    "home": ("project/.dvc/config.local", "~/cache", "home/cache"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_project(tmp_path, monkeypatch)


def make_project(place: Path, patch: pytest.MonkeyPatch) -> Path:
    """Two films of two patients behind one stage, before it has run, with a user's and a system's own configuration.

    It is the folder `project` of a place, and the current one.
    """
    folder, home = place / "project", place / "home"
    patch.setenv("HOME", str(home))
    for level in ("global", "system"):
        patch.setenv(f"DVC_{level.upper()}_CONFIG_DIR", str(place / level))
    folder.mkdir()
    patch.chdir(folder)
    run(folder, "git", "init", "-q")
    Repo.init()
    Path("inbox/films/images").mkdir(parents=True)
    Path("inbox/films/images/w1.png").write_bytes(FILM)
    Path("inbox/films/images/w2.png").write_bytes(OTHER)
    Path("inbox/films/manifest.csv").write_text(
        f"image_id,patient_id,sha256,source_file\nw1,{GONE},1,a\nw2,{STAYS},2,b\n"
    )
    Path("params.yaml").write_text("{}")
    Path("dvc.yaml").write_text(
        "stages: {ingest: {cmd: cp -r inbox/films data/raw, deps: [inbox/films], outs: [data/raw]}}"
    )
    Path("data").mkdir()
    return folder


def configure(tmp_path: Path, place: str, **options: str) -> None:
    """Move the cache, and set other options of it."""
    file, value, _ = PLACES[place]
    options |= {"dir": value.format(tmp=tmp_path)} if value else {}
    path = tmp_path / (file or "project/.dvc/config")
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as config:
        config.write("[cache]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))


def reproduce(project: Path) -> None:
    with Repo(str(project)) as repo:
        repo.reproduce()


def commit(project: Path) -> None:
    run(project, "git", "add", "-A", "--", ":!inbox")
    run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "films")


def held(folder: Path, content: bytes) -> list[Path]:
    """The files below a folder through which a content can be read."""
    files = (path for path in folder.rglob("*") if path.is_file() and "inbox" not in path.parts)
    return [path for path in files if path.read_bytes() == content]


@pytest.mark.parametrize("place", PLACES)
def test_the_cache_is_where_dvc_says(place: str, project: Path, tmp_path: Path) -> None:
    configure(tmp_path, place)
    with Repo() as repo:
        assert cache_folder(project) == Path(repo.cache.local.path) == tmp_path / PLACES[place][2] / "files/md5"


def test_a_configuration_that_dvc_refuses_is_one_sentence(project: Path, tmp_path: Path) -> None:
    configure(tmp_path, "global", type="magic")
    with pytest.raises(UserError, match=r"DVC's configuration cannot be read: .*magic"):
        cache_folder(project)


def test_files_lists_and_hashes_are_those_of_dvc(project: Path) -> None:
    """With names beyond ASCII, folders in folders, links, and a .dvcignore that is not the root's."""
    (project / "inbox/films/Röntgen ß/深").mkdir(parents=True)
    (project / "inbox/films/Röntgen ß/深/~ film.png").write_bytes(FILM)
    (project / "inbox/films/link.png").symlink_to("images/w1.png")
    (project / "inbox/.dvcignore").write_text("*.tmp\n/films/*/deep\n")
    for name in ("a.tmp", "deep/b.png", "深/c.tmp", "深/deep/d.png"):
        path = project / "inbox/films/Röntgen ß" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    reproduce(project)
    md5 = read_lock(project).stages["ingest"].deps["inbox/films"]
    assert folder_md5(hash_folder(project, "inbox/films")) == md5
    assert sum(name.endswith(".tmp") for name in hash_folder(project, "inbox/films")) == 0
    md5 = read_lock(project).hashes["data/raw"]
    with Repo() as repo:
        tree = Tree.load(repo.cache.local, HashInfo("md5", md5))
    assert listing(project, md5) == {"/".join(key): of.value for key, (_, of) in tree.as_dict().items()}
    assert listing(project, md5) == hash_folder(project, "data/raw")


def test_a_difference_says_what_dvc_would_not(project: Path) -> None:
    """DVC restores a damaged copy of its cache, and calls it up to date; a table saved on Windows it wants forced."""
    reproduce(project)
    commit(project)
    table, found = project / "data/raw/manifest.csv", Project(project)
    content = table.read_bytes()
    md5 = found.md5("data/raw/manifest.csv")
    cached = object_path(project, md5)
    messages = []
    for spoilt in (content[:-3], content.replace(b"\n", b"\r\n")):
        table.write_bytes(spoilt)
        check = Check()
        check_files(found, check)
        messages += [finding.message for finding in check.findings]
    cached.unlink()  # it is read-only
    cached.write_bytes(content[:-3])
    cached.chmod(0o444)
    table.unlink()
    with Repo() as repo:
        repo.checkout()
        assert not repo.status()
    assert table.read_bytes() == content[:-3]
    check = Check()
    check_files(found, check)
    messages += [finding.message for finding in check.findings]
    digest = hashlib.md5(content[:-3], usedforsecurity=False).hexdigest()
    assert messages[0] == f"expected md5 {md5}, found {digest}"
    assert "ends of Windows; `dvc checkout --force data/raw/manifest.csv`" in messages[1]
    assert messages[2] == (
        f"expected md5 {md5}, found {digest}, and the cache's copy is damaged: remove both, data/raw/manifest.csv and "
        f"{cached}, then `dvc repro`"
    )
    table.unlink()
    cached.unlink()
    reproduce(project)
    assert table.read_bytes() == content


def test_a_file_whose_size_and_time_are_unchanged_is_read_all_the_same(project: Path) -> None:
    reproduce(project)
    path = project / "data/raw/images/w1.png"
    with Repo() as repo:
        assert repo.status() == {}
    before, expected = path.stat(), listing(project, read_lock(project).hashes["data/raw"])
    with path.open("r+b") as file:
        file.write(FILM.swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with Repo() as repo:
        assert repo.status() == {}, "DVC does not see it"
    changed = hash_folder(project, "data/raw")
    assert {name for name in changed if changed[name] != expected[name]} == {"images/w1.png"}


@pytest.mark.parametrize(("version", "kind"), [("same", "mismatch"), ("0.1", "unchecked")])
def test_a_stage_that_writes_other_bytes_is_not_accused_where_its_libraries_differ(
    version: str, kind: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", environment()["PATH"])
    command = "exec python -m stages.ingest"
    (project / "dvc.yaml").write_text(
        f"stages: {{ingest: {{cmd: {command}, deps: [stages/ingest], outs: [data/raw]}}}}"
    )
    numpy = metadata.version("numpy") if version == "same" else version
    (project / "stages/ingest").mkdir(parents=True)
    (project / "stages/ingest/__main__.py").write_text(
        "import time, pathlib\nout = pathlib.Path('data/raw')\nout.mkdir(parents=True)\n"
        "(out / 'nanoseconds.txt').write_text(str(time.time_ns()))\n"
    )
    (project / "stages/ingest/libraries.lock").write_text(f"# Made by a script\nnumpy=={numpy}\n")
    reproduce(project)
    commit(project)
    check = Check()
    rerun(Project(project), list(Project(project).lock.stages.values()), check, lambda text: None)
    (finding,) = check.findings
    assert finding.kind == kind
    assert ("numpy" in finding.message) == (kind == "unchecked")


def test_stages_are_named_as_dvc_names_them(project: Path) -> None:
    """Those of the pipeline itself, with more seeds and folds than it has now."""
    params = read_yaml(ROOT / "params.yaml")
    params["train"]["seeds"], params["evaluate"]["folds"] = [3, 1, 10], [1, 2]
    with (project / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    (project / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    with Repo() as repo:
        expected = {stage.addressing: {out.def_path for out in stage.outs} for stage in repo.index.stages}
    assert declared_outs(read_yaml(project / "dvc.yaml"), params) == expected
    assert len(expected) == 5 + 2 * 12


@pytest.mark.parametrize("place", PLACES)
def test_a_withdrawal_reaches_the_cache_that_was_moved(place: str, project: Path, tmp_path: Path) -> None:
    reproduce(project)  # into the default cache
    configure(tmp_path, place)
    shutil.rmtree(project / "data/raw")
    reproduce(project)  # into the one of the configuration
    commit(project)
    assert len(held(tmp_path, FILM)) == (2 if place == "default" else 3)
    withdraw(Project(project), GONE, date(2026, 1, 2))
    assert held(tmp_path, FILM) == []
    assert held(tmp_path, OTHER) != []


@pytest.mark.parametrize(("link", "copies"), [("symlink", 0), ("hardlink", 0), ("copy", 1)])
def test_a_shared_cache_leaves_no_link_to_the_film(link: str, copies: int, project: Path, tmp_path: Path) -> None:
    """Also in another workspace; what films have in common, and copies that belong to others, stay."""
    for image in ("w1", "w2"):
        (project / f"inbox/films/masks/{image}.png").parent.mkdir(exist_ok=True)
        (project / f"inbox/films/masks/{image}.png").write_bytes(b"nothing marked")
    configure(tmp_path, "global", type=link)
    reproduce(project)
    commit(project)
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("raw"))
    with Repo(str(other)) as repo:
        repo.checkout()
    assert held(other, FILM) == [other / "data/raw/images/w1.png"]
    withdraw(Project(project), GONE, date(2026, 1, 2))
    assert held(project, FILM) == held(tmp_path / "elsewhere", FILM) == []
    assert not list((project / "data/raw").rglob("w1.*"))
    assert len(held(other, FILM)) == copies
    for workspace in (project, other):
        assert (workspace / "data/raw/images/w2.png").read_bytes() == OTHER
        assert (workspace / "data/raw/masks/w2.png").read_bytes() == b"nothing marked"


def test_an_experiment_that_was_killed_keeps_no_film(project: Path) -> None:
    reproduce(project)
    commit(project)
    shutil.copytree(project, project / ".dvc/tmp/exps/killed", ignore=shutil.ignore_patterns(".dvc"))
    withdraw(Project(project), GONE, date(2026, 1, 2))
    assert held(project, FILM) == []
    assert len(held(project, OTHER)) == 3


def refuse_to_remove(kept: Path, patch: pytest.MonkeyPatch) -> None:
    """Make one file stay, whoever removes it, as on a disk where it must not change; no other one any more."""

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == kept:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        UNLINK(path, missing_ok)

    patch.setattr(Path, "unlink", unlink)


def test_a_file_that_cannot_be_removed_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reproduce(project)
    commit(project)
    (kept,) = held(project / ".dvc", FILM)
    refuse_to_remove(kept, monkeypatch)
    with pytest.raises(UserError, match=rf"still there.*\n  - {kept}: Permission denied"):
        withdraw(Project(project), GONE, date(2026, 1, 2))
    assert held(project, FILM) == [kept], "all others are gone"
    monkeypatch.undo()
    withdraw(Project(project), GONE, date(2026, 1, 2))
    assert held(project, FILM) == []


def test_a_remote_that_cannot_be_reached_is_named_and_others_are_done(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_MAX_ATTEMPTS"):
        monkeypatch.setenv(name, "1")
    reproduce(project)
    commit(project)
    with (project / ".dvc/config").open("a") as config:
        config.write("['remote \"a\"']\nurl = s3://bucket/x\nendpointurl = http://127.0.0.1:9\n")
        config.write(f"['remote \"b\"']\nurl = {tmp_path}/store\n")
    with Repo() as repo:
        repo.push(remote="b")
    assert len(held(tmp_path / "store", FILM)) == 1
    md5 = hash_folder(project, "data/raw")["images/w1.png"]
    with pytest.raises(UserError, match=r"(?s)may still be there.*- remote a: .*127\.0\.0\.1"):
        remove_from_remotes(project, [md5], Words(()))
    assert held(tmp_path / "store", FILM) == []
    assert len(held(tmp_path / "store", OTHER)) == 1


def test_a_remote_that_is_away_is_not_taken_for_an_empty_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is not mounted. What is here stays until it is back: it says what the remote has."""
    reproduce(project)
    commit(project)
    store = tmp_path / "store"
    with (project / ".dvc/config").open("a") as config:
        config.write(f"['remote \"disk\"']\nurl = {store}\n")
    with Repo() as repo:
        repo.push(remote="disk")
    (project / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\nw1,{GONE},1,a\n")
    (project / "inbox/films/images/w2.png").unlink()
    reproduce(project)  # a version that the remote lacks
    store.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(UserError, match=r"and removed nothing; make .*\n  - remote disk: .*it is away"):
            withdraw(Project(project), GONE, date(2026, 1, 2))
        assert held(project, FILM) != []
    (tmp_path / "away").rename(store)
    closed = next(store.glob("files/md5/*"))  # of another user, with a umask of 077
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != closed)  # tests run as root, who may read it
        with pytest.raises(UserError, match=rf"removed nothing; .*\n  - remote disk: .*{closed.name} cannot be looked"):
            withdraw(Project(project), GONE, date(2026, 1, 2))
    _, counts = withdraw(Project(project), GONE, date(2026, 1, 2))
    assert counts == {"disk": 3}  # the film, the manifest and the list
    assert held(tmp_path, FILM) == []
    assert not any(GONE.encode() in path.read_bytes() for path in store.rglob("*") if path.is_file())


def test_a_clone_that_pulled_the_last_version_only_removes_all_that_remotes_have(ward: Path, tmp_path: Path) -> None:
    """Lists, tables and pages of the earlier ones are brought from there: pictures are known by their names."""
    store = tmp_path / "store"
    with (ward / ".dvc/config").open("a") as config:
        config.write(f"[core]\nremote = store\n['remote \"store\"']\nurl = {store}\n")
    (ward / "shade").write_bytes(b"another")
    reproduce(ward)
    commit(ward)
    with Repo(str(ward)) as repo:
        repo.push(all_commits=True)
    shutil.rmtree(ward / ".dvc/cache")
    for out in ("data", "reports"):
        shutil.rmtree(ward / out, ignore_errors=True)
    listing.cache_clear()
    with Repo(str(ward)) as repo:
        repo.pull(["data/raw"])
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(store) == {}
    assert names_or_shows(ward) == {}


def test_what_a_remote_has_of_versions_that_a_clone_does_not_know_is_counted(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run without a commit that was pushed, and what a killed push left; the merged side of a history is known."""
    store = tmp_path / "store"
    with (ward / ".dvc/config").open("a") as config:
        config.write(f"[core]\nremote = store\n['remote \"store\"']\nurl = {store}\n")
    reproduce(ward)
    commit(ward)
    branch = run(ward, "git", "branch", "--show-current").strip()
    run(ward, "git", "checkout", "-qb", "side")
    for shade in (b"of the side", b"without a commit"):
        (ward / "shade").write_bytes(shade)
        reproduce(ward)
        if shade == b"of the side":
            commit(ward)
        with Repo(str(ward)) as repo:
            repo.push(all_commits=True)
            repo.push()
    run(ward, "git", "checkout", "-qf", branch)
    run(ward, "git", "-c", "user.name=t", "-c", "user.email=t@x.org", "merge", "-qs", "ours", "-m", "x", "side")
    run(ward, "git", "branch", "-qD", "side")
    half = store / "files/md5/ab/.x.tmp"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(FILM)
    run(tmp_path, "git", "clone", "-q", str(ward), "clone")
    clone = tmp_path / "clone"
    with Repo(str(clone)) as repo:
        repo.pull()
    monkeypatch.chdir(clone)
    assert withdraw_patient("scan", dry_run=False) == 0
    # Both pictures, their list and the page of the run, and the half file.
    assert "of no version that is known here, and not known whose: 5 files" in capsys.readouterr().out
    left = [(store / name).read_bytes() for name in names_or_shows(store)]
    assert len(left) == 4
    assert all(b"without a commit" in content or content == FILM or content.startswith(b"[") for content in left)


def test_no_secret_of_a_remotes_address_is_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reproduce(project)
    commit(project)
    with (project / ".dvc/config").open("a") as config:
        config.write("['remote \"a\"']\nurl = https://jane:pa/ss@example.org/x?token=hidden\n")

    def fail(cloud: object, name: str) -> object:
        raise OSError("https://jane:pa/ss@example.org/x?token=hidden does not answer")

    monkeypatch.setattr("dvc.data_cloud.DataCloud.get_remote_odb", fail)
    with pytest.raises(UserError, match=r"remote a: https://example\.org/x does not answer"):
        remove_from_remotes(project, ["0" * 32], Words(()))


PIPELINE = {
    "ingest": {"cmd": "cp -r inbox/films data/raw", "deps": ["inbox/films"], "outs": ["data/raw"]},
    "preprocess": {
        "cmd": "cp -rL data/raw/images data/preprocessed; for f in data/preprocessed/*; do cat shade >> $f; done;"
        " cp data/raw/manifest.csv data/preprocessed/index.csv",
        "deps": ["data/raw", "shade"], "outs": ["data/preprocessed"],
    },
    "report": {
        "cmd": "mkdir -p reports; (ls data/raw/images; cat shade data/raw/images/*) > reports/page.html",
        "deps": ["data/raw", "shade"], "outs": ["reports/page.html"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def built_ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films `scan` and `scan.2` of two patients; a dark version of all outputs is committed, a bright one is not."""
    folder = tmp_path_factory.mktemp("ward")
    with pytest.MonkeyPatch.context() as patch:
        project = make_project(folder, patch)
        films = project / "inbox/films"
        for name in ("w1", "w2"):
            (films / f"images/{name}.png").unlink()
        (films / "images/scan.png").write_bytes(FILM)
        (films / "images/scan.2.png").write_bytes(OTHER)
        rows = f"scan,{GONE},1,a\nscan.2,{STAYS},2,b\n"
        (films / "manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}")
        (project / "dvc.yaml").write_text(json.dumps({"stages": PIPELINE}))
        (project / "params.yaml").write_text("ingest: {inbox: inbox/films}")
        use_own_site_cache(project)
        for shade in ("dark", "bright", "dark"):
            (project / "shade").write_text(f"{shade} ")
            for out in ("data/raw", "data/preprocessed", "reports"):
                shutil.rmtree(project / out, ignore_errors=True)
            reproduce(project)
            if shade == "dark":
                commit(project)
    return project


@pytest.fixture
def ward(built_ward: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder, on a machine without temporary folders of other programs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for path in project.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return copy_project(built_ward, project)


def names_or_shows(folder: Path) -> dict[str, list[str]]:
    """Files below a folder that are named as the film of the patient who withdrew, or hold its pixels or its row."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if {".git", "inbox", "pins", "shade"} & set(path.parts) or path.is_dir():
            continue
        content = path.read_bytes() if path.exists() else b"a link to nothing"
        signs = [FILM, GONE.encode(), b"scan.png", b"scan,"]
        if why := [sign.decode() for sign in signs if sign in content] + ["name"] * (path.stem == "scan"):
            found[path.relative_to(folder).as_posix()] = why
    return found


def scattered(project: Path) -> None:
    """Leave the patient where killed runs, experiments, MLflow and an interrupted DVC do."""
    for place in (
        "data/.raw-partial-1/images",
        "data/.raw-partial-2-old/images",
        ".dvc/tmp/exps/standalone/t1/data/raw",
    ):
        (project / place).mkdir(parents=True)
        (project / place / "scan.png").write_bytes(b"other " + FILM)
        (project / place / "scan.2.png").write_bytes(OTHER)
        (project / place / ".scan.png-partial-0a1b2c3d").write_bytes(FILM)
        (project / place / ".scan.2.png-partial-0a1b2c3d").write_bytes(OTHER)
    for page in ("labels.png", "predictions.png", "to_mail.html"):  # of many films, without their names
        (project / f"reports/.{page}-partial-0a1b2c3d").write_bytes(FILM)
    for place in (
        "mlruns/1/r/artifacts/validation.csv",
        "reports/data_docs/x/page.html",
        "data/.raw-partial-1/manifest.csv",
        ".dvc/site-cache/repo/of-the-folder-before-the-project-was-moved/hashes/local/cache.db",
    ):
        (project / place).parent.mkdir(parents=True, exist_ok=True)
        (project / place).write_text(f"image_id\nscan.2\nscan\n<td>{GONE}</td>")
    cache = project / ".dvc/cache/files/md5"
    (cache / "ab").mkdir(exist_ok=True)
    (cache / "ab/cdef0123456789abcdef0123456789").write_text(f"a table of {GONE}")  # no list was written
    (cache / "ab/stopped.tmp").write_text("scan,1,2")


@pytest.mark.parametrize("what", [GONE, "scan", "1", "a"])
@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_after_a_withdrawal_no_byte_and_no_row_of_the_patient_is_left(what: str, link: str, ward: Path) -> None:
    with (ward / ".dvc/config").open("a") as config:
        config.write(f"[cache]\n    type = {link}\n")
    with Repo(str(ward)) as repo:
        repo.checkout(relink=True)
    scattered(ward)
    assert len(names_or_shows(ward)) > 20
    files, _ = withdraw(Project(ward), what, date(2026, 1, 2))
    assert files.patients == {GONE}
    assert files.images == {"scan"}
    assert names_or_shows(ward) == {}
    recorded = sorted([GONE, film_pseudonym("1")])
    assert read_withdrawn(ward / "data/pins/withdrawn.csv") == [
        {"patient_id": pseudonym, "withdrawn": "2026-01-02", "key_id": ""} for pseudonym in recorded
    ]
    kept = {path.relative_to(ward).as_posix() for path in ward.rglob("scan.2.png") if "inbox" not in path.parts}
    assert len(kept) == 5
    assert len(list(ward.rglob(".scan.2.png-partial-*"))) == 3
    assert (
        len([path for path in (ward / ".dvc/cache").rglob("*") if path.is_file() and OTHER in path.read_bytes()]) == 3
    )
    withdraw(Project(ward), GONE, date(2026, 1, 3))  # again, which changes nothing
    assert "2026-01-03" not in (ward / "data/pins/withdrawn.csv").read_text()
    (ward / "inbox/films/images/scan.png").unlink()
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\nscan.2,{STAYS},2,b\n")
    reproduce(ward)
    assert names_or_shows(ward) == {}
    withdraw(Project(ward), STAYS, date(2026, 1, 4))
    assert held(ward, OTHER) == []
    assert [path for path in ward.rglob("*scan.2.*") if "inbox" not in path.parts] == []


@pytest.mark.parametrize("change", ["exchanged", "cut", "without a row"])
def test_objects_of_the_cache_that_are_not_what_their_names_say_stop_a_withdrawal(change: str, ward: Path) -> None:
    """By their names it would take another patient's film, or miss a picture, a table or all that a list has."""
    cache, raw = ward / ".dvc/cache/files/md5", Project(ward).lock.hashes["data/raw"]

    def write(md5: str, content: bytes) -> str:
        path = cache / md5[:2] / md5[2:]
        path.chmod(0o644)
        path.write_bytes(content)
        return str(path)

    if change == "exchanged":
        changed = [write(content_md5(one), other) for one, other in ((FILM, OTHER), (OTHER, FILM))]
    else:
        md5 = raw if change == "cut" else (listing(ward, raw) or {})["manifest.csv"]
        content = (cache / md5[:2] / md5[2:]).read_bytes()
        changed = [write(md5, content[:-9] if change == "cut" else content.split(b"\n")[0] + b"\n")]
    listing.cache_clear()
    with pytest.raises(UserError, match="expected objects of DVC's cache that have the MD5 of their names") as refused:
        withdraw(Project(ward), GONE, date(2026, 1, 2))
    assert all(path in str(refused.value) for path in changed)
    assert names_or_shows(ward) != {}


@pytest.mark.parametrize("name", ["scan.tif", "Anna B (2).jpg", "Anna B (2).xml"])
def test_a_row_goes_that_names_the_source_file_and_not_the_film(name: str, ward: Path) -> None:
    """An earlier version refused the film, or its labels: its row of quarantine.csv has neither id nor pseudonym."""
    inbox = ward / "inbox/films"
    rows = f"scan,{GONE},1,x/Anna B (2).jpg\nscan.2,{STAYS},2,b\n"
    (inbox / "manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}")
    (inbox / "quarantine.csv").write_text(f"source,file,sha256,reason\nfolder,x/{name},,no film\n")
    reproduce(ward)
    commit(ward)
    (inbox / "quarantine.csv").write_text("source,file,sha256,reason\nfolder,x/scan.2.tif,,no film\n")
    reproduce(ward)

    def kept(word: str) -> bool:
        cached = [path for path in (ward / ".dvc/cache").rglob("*") if path.is_file()]
        return any(f"x/{word}".encode() in path.read_bytes() for path in cached)

    assert kept(name)
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert not kept(name)
    assert kept("scan.2.tif"), "another film's"


def test_films_behind_a_link_to_a_folder_are_named(ward: Path, tmp_path: Path) -> None:
    """What lies there may be a user's own archive, which no withdrawal may empty."""
    shutil.move(ward / "data/raw/images", tmp_path / "disk")
    (ward / "data/raw/images").symlink_to(tmp_path / "disk")
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert (tmp_path / "disk/scan.png").exists()
    assert elsewhere(ward, files) == ["data/raw/images/scan.png"]


def test_what_links_to_single_films_and_pages_lead_to_is_named(ward: Path, tmp_path: Path) -> None:
    """The link goes; what it leads to may be a user's own archive."""
    for name in ("data/raw/images/scan.png", "reports/page.html"):
        shutil.move(ward / name, tmp_path / Path(name).name)
        (ward / name).symlink_to(tmp_path / Path(name).name)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}
    assert elsewhere(ward, files) == [str(tmp_path / "page.html"), str(tmp_path / "scan.png")]


def close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that this user, even root, cannot open."""
    whole = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("name", ["mlruns/1", ".dvc/cache/files/md5"])
def test_a_folder_that_cannot_be_opened_stops_a_withdrawal(
    name: str, ward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film in it would stay, and nobody would know."""
    (ward / name).mkdir(parents=True, exist_ok=True)
    close(ward / name, monkeypatch)
    with pytest.raises(UserError, match=rf"(?s)folders that can be opened.*{name}"):
        withdraw(Project(ward), "scan", date(2026, 1, 2))
    monkeypatch.undo()
    assert (ward / "data/raw/images/scan.png").is_file()


def test_a_users_folder_that_cannot_be_opened_is_named(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ward / "mine").mkdir()
    (ward / "mine/scan.png").write_bytes(FILM)
    close(ward / "mine", monkeypatch)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert elsewhere(ward, files) == ["mine (cannot be opened: look for yourself)"]


def test_notes_of_dvc_that_lie_out_of_the_project_are_printed_as_such(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "notes"))
    with Repo(str(ward)) as repo:
        (Path(repo.site_cache_dir) / "note").write_text(GONE)
    assert withdraw_patient("scan", dry_run=False) == 0
    printed = capsys.readouterr().out
    assert f"  {tmp_path / 'notes'}" in printed
    assert printed.splitlines()[-1].startswith("noted in data/pins/withdrawn.csv")


def test_a_withdrawal_that_failed_is_done_again(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> dict[str, int]:
        raise UserError("remote a: is away")

    monkeypatch.setattr("tools.audit.withdraw.remove_from_remotes", fail)
    with pytest.raises(UserError, match="is away"):
        withdraw(Project(ward), "scan", date(2026, 1, 2))
    monkeypatch.undo()
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}


def test_the_films_of_a_workspace_whose_cache_is_gone_are_found(ward: Path) -> None:
    shutil.rmtree(ward / ".dvc/cache")
    listing.cache_clear()
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}


class Killed(BaseException):
    """What no code catches."""


def test_a_withdrawal_that_was_killed_before_any_list_or_manifest_went_is_done_again(
    ward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only manifests say which films are the patient's, and only lists where a manifest is."""
    kinds: list[Callable[[Path], bool]] = [
        lambda path: path.suffix == ".dir",
        lambda path: path.is_file() and path.read_bytes().startswith(b"image_"),
    ]
    for is_next in kinds:

        def remove_until(path: Path, is_next: Callable[[Path], bool] = is_next) -> str:
            if "md5" in path.parts and is_next(path):
                raise Killed
            path.unlink(missing_ok=True)
            return ""

        monkeypatch.setattr("tools.audit.erase.remove", remove_until)
        with pytest.raises(Killed):
            withdraw(Project(ward), "scan", date(2026, 1, 2))
        listing.cache_clear()
    monkeypatch.undo()
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}


def test_a_damaged_lock_in_the_history_stops_no_withdrawal(ward: Path) -> None:
    """A full disk cut it off, and it was committed."""
    whole = (ward / "dvc.lock").read_bytes()
    (ward / "dvc.lock").write_bytes(whole[:40])
    commit(ward)
    (ward / "dvc.lock").write_bytes(whole)
    commit(ward)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}
    assert files.unknown == [run(ward, "git", "rev-parse", "HEAD~1").strip()]


def test_a_users_own_files_in_the_folder_of_data_are_named_and_stay(ward: Path) -> None:
    """An export that an earlier params.yaml read from there, notes, and a link to a disk that is away."""
    own = ["data/export/figure", "data/export/notes.txt", "data/export/scan.png", "data/notes.txt"]
    for name in own:
        (ward / name).parent.mkdir(exist_ok=True)
        (ward / name).write_bytes(GONE.encode() if name.endswith(".txt") else FILM)  # a figure is a copy of the film
    (ward / "data/export/other").write_bytes(OTHER)
    (ward / "data/disk").symlink_to("/away")
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert all((ward / name).is_file() for name in own)
    assert (ward / "data/disk").is_symlink()
    assert elsewhere(ward, files) == own


def test_a_dry_run_changes_nothing_and_a_users_own_files_are_named(ward: Path) -> None:
    (ward / "notes.txt").write_text(f"{GONE} called today")
    (ward / "predictions/scan.png").mkdir(parents=True)
    (ward / "predictions/scan.png/prediction.json").write_text("{}")
    places = [ward / name for name in ("data", "reports", ".dvc/cache")]
    before = [tree_hash(place) for place in places]
    files = patient_files(Project(ward), "scan")
    assert elsewhere(ward, files) == ["notes.txt", "predictions/scan.png/prediction.json"]
    assert [tree_hash(place) for place in places] == before


def test_predictions_and_clones_to_which_no_word_leads_are_named(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hospital's file is not called as its film is, and so its prediction is not either: its SHA-256 tells."""
    gone, stays = "1f" * 32, "2e" * 32
    rows = f"w1,{GONE},{gone},\nw2,{STAYS},{stays},\n"
    (project / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}")
    (project / "params.yaml").write_text("ingest: {inbox: inbox/films}")
    reproduce(project)
    commit(project)
    picture = "predicted_annotations/films/ward/IM{}.png"
    for number, digest in ((7, gone), (8, stays)):
        folder = project / f"predictions/ward/IM{number}.dcm"
        folder.mkdir(parents=True)
        record = {"input_sha256": digest, "files": {"segmentation.dcm": "", picture.format(number): ""}}
        (folder / "prediction.json").write_text(json.dumps(record))
        (folder / "segmentation.dcm").write_text("with the patient's name")
        (project / "predictions" / picture.format(number)).parent.mkdir(parents=True, exist_ok=True)
        (project / "predictions" / picture.format(number)).write_text("pixels")
    copied = project / "copied/prediction.json"  # of a copy of the film in data/raw, under a name of its own
    copied.parent.mkdir()
    copied.write_text(json.dumps({"input_sha256": hashlib.sha256(FILM).hexdigest()}))
    (project / "predictions/written.json").write_text('{"summary.csv": [], "gone.csv": []}')
    (project / "predictions/summary.csv").write_text("film\nward/IM7.dcm\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    alive = process_name(os.getpid())
    dead = alive.replace(" ", "0 ", 1)
    for name, process, film in (("dead", dead, "w1"), ("living", alive, "w1"), ("other", alive, "w2")):
        clone = tmp_path / f"temporary/wrist-clone-{name}"
        (clone / "project/data/raw/images").mkdir(parents=True)
        (clone / "process").write_text(process)
        (clone / f"project/data/raw/images/{film}.png").write_bytes(FILM)
    files, _ = withdraw(Project(project), GONE, date(2026, 1, 2))
    assert elsewhere(project, files) == [
        "copied/prediction.json",
        f"predictions/{picture.format(7)}",
        "predictions/summary.csv",
        "predictions/ward/IM7.dcm/prediction.json",
        "predictions/ward/IM7.dcm/segmentation.dcm",
        str(tmp_path / "temporary/wrist-clone-living"),
    ]
    assert not (tmp_path / "temporary/wrist-clone-dead").exists()


@pytest.mark.parametrize(("second", "patients"), [("", {GONE, "older"}), (f"copy,{GONE},3,c\n", {GONE})])
def test_an_older_pseudonym_goes_too_unless_it_is_another_patients(second: str, patients: set[str], ward: Path) -> None:
    """One that stands beside the patient's in a version is another patient's, who has a copy of the file."""
    (ward / "inbox/films/manifest.csv").write_text(
        f"image_id,patient_id,sha256,source_file\nscan,older,1,a\nscan.2,{STAYS},2,b\n{second}"
    )
    reproduce(ward)
    assert patient_files(Project(ward), GONE).patients == patients


def test_a_patient_under_two_spellings_of_a_number_goes_whole_and_others_of_the_group_are_named(ward: Path) -> None:
    films = ward / "inbox/films"
    rows = f"scan,{GONE},1,a,scan\nscan.2,{STAYS},2,b,scan.2\nother,{'a' * 16},3,c,scan\n"
    (films / "manifest.csv").write_text(f"image_id,patient_id,sha256,source_file,group\n{rows}")
    number = "e" * 16
    (films / "numbers.csv").write_text(f"patient_id,number_id\n{GONE},{number}\n{STAYS},{number}\n")
    reproduce(ward)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert files.patients == {GONE, STAYS}
    assert files.kin == {"a" * 16}
    assert held(ward, FILM) == held(ward, OTHER) == []
    text = (ward / "data/pins/withdrawn.csv").read_text()
    assert all(f"\n{pseudonym},2026-01-02," in text for pseudonym in (GONE, STAYS, number))


def test_a_film_that_is_called_as_a_file_of_the_project_takes_no_such_file_with_it(ward: Path) -> None:
    (ward / "inbox/films/images/scan.png").unlink()
    for name in ("model", "index"):
        (ward / f"inbox/films/images/{name}.png").write_bytes(FILM + name.encode())
    rows = f"model,{GONE},1,a\nindex,{GONE},3,c\nscan.2,{STAYS},2,b\n"
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}")
    reproduce(ward)
    (ward / "models").mkdir()
    (ward / "models/model.json").write_text('{"loss": 1}')
    withdraw(Project(ward), "model", date(2026, 1, 2))
    assert (ward / "models/model.json").exists()
    assert not list((ward / "data").rglob("model.png")) + list((ward / "data").rglob("index.png"))
    assert names_or_shows(ward) == {}


def test_a_film_that_is_called_as_a_word_of_every_text_takes_no_text_with_it(ward: Path) -> None:
    """A name without ASCII letters becomes the id `image`; others are days and numbers."""
    texts = {
        "models/model.json": '{"input": "image", "since": "2024-01-31", "loss": 0.25}',
        "models/1/mlflow/code/stages/x.py": "image = 2024-01-31",
        "reports/paper_audit.csv": "claim,page\nan image of 2024-01-31 has 0.25,2\n",
        "mlruns/1/r/artifacts/MLmodel": "image: 0.25",
        "notes/readme.md": "an image of 2024-01-31: 0.25",
    }
    tables = {
        "reports/films.csv": "image_id,n\nother,1\nimage,2\n",
        "reports/list.json": '["x/2024-01-31.JPG"]',
        "mlruns/1/r/artifacts/page.html": "<td>0.25.png</td>",
    }
    films = ward / "inbox/films"
    for name in ("image", "2024-01-31", "0.25"):
        (films / f"images/{name}.png").write_bytes(FILM + name.encode())
    rows = f"image,{GONE},1,x/\u00fc.png\n2024-01-31,{GONE},3,x/2024-01-31.JPG\n0.25,{GONE},4,x/0.25.png\n"
    (films / "manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}scan.2,{STAYS},2,b\n")
    reproduce(ward)
    for name, content in (texts | tables).items():
        (ward / name).parent.mkdir(parents=True, exist_ok=True)
        (ward / name).write_text(content)
    found = patient_files(Project(ward), GONE)
    assert found.words.common == {"image", "2024-01-31", "0.25"}
    assert elsewhere(ward, found) == ["reports/films.csv", "reports/list.json"]
    withdraw(Project(ward), GONE, date(2026, 1, 2))
    assert {name for name in texts if (ward / name).is_file()} == set(texts)
    assert not (ward / "mlruns/1/r/artifacts/page.html").exists()
    assert held(ward, FILM + b"image") == []


def test_pins_and_texts_in_other_spellings_that_name_a_film_are_named(ward: Path) -> None:
    """JSON and addresses escape letters; pins of a data set have name and SHA-256."""
    named = {
        "notes/a.json": '{"film": "Anna M\\u00fcller"}',
        "notes/b.html": '<img src="Anna%20M%c3%bcller.jpg">',
        "notes/c.html": "Anna M&uuml;ller, Anna M&#xFC;ller",
        "notes/d.txt": "Anna Mu\u0308ller.jpg",
    }
    pins = {
        "data/pins/o--s--v1.sha256": f"{'1' * 64}  x/hand1.jpg\n",
        "data/pins/s--v1.csv": f"name,bytes,sha256,address\nAnna Müller.jpg,1,{'2' * 64},https://example.org\n",
        "data/pins/p--v1.sha256": f"{'3' * 64}  x/Anna.jpg\n",
    }
    rows = f"Anna_M_ller,{GONE},{'1' * 64},x/Anna M\u00fcller.jpg\nscan.2,{STAYS},2,b\n"
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\n{rows}")
    reproduce(ward)
    for name, content in (named | pins | {"notes/other.json": '{"film": "Anna M"}'}).items():
        (ward / name).parent.mkdir(parents=True, exist_ok=True)
        (ward / name).write_text(content)
    files, _ = withdraw(Project(ward), GONE, date(2026, 1, 2))
    of_pins = [f"{name} (name and SHA-256, which `ingest` needs while the data set has the film)" for name in pins]
    assert elsewhere(ward, files) == [*sorted(named), *of_pins[:2]]


def test_words_are_found_as_words(tmp_path: Path) -> None:
    words, text = Words({"scan", "12", GONE}), tmp_path / "text"
    named = [
        "scan",
        "a/scan.png",
        "scan.jpeg",
        "scan.XML is",
        "scan,1",
        "<td>scan</td>",
        f"patient {GONE}.",
        "image_id,n\n12,1\n",
        "n,group\n1,12",
        f"pat-{GONE}",
        f"{GONE}_a.csv",
        "scan.npy",
        "a/scan.nii.gz",
        "data%2Fraw%2Fscan.png",
        '{"source": "\\nscan\\t", "n": 1}',
    ]
    others = [
        "Scan",
        "scan.2",
        "scan.2.png",
        "scan-2",
        "scan.c",
        "rescan",
        "x.scan",
        "nscan",
        "12",
        "",
        "image_id,n\n1,12\n",
        "n\n12",
    ]
    for content in (*named, *others):
        text.write_text(content)
        assert words.stand_in(text) == (content in named), content
    assert not Words(set()).stand_in(text)


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
@pytest.mark.slow
def test_what_users_track_with_dvc_is_named_and_stays(link: str, ward: Path, tmp_path: Path) -> None:
    """A table of all patients, and a film of another data set that has the name of this one, are not the pipeline's."""
    remote = tmp_path / "remote"
    run(ward, "dvc", "remote", "add", "-d", "store", str(remote))
    run(ward, "dvc", "config", "cache.type", link)
    (ward / "ages.csv").write_text("patient,age\nscan,44\nscan.2,51\n")
    (ward / "other").mkdir()
    (ward / "other/scan.png").write_bytes(b"pixels of another film")
    run(ward, "dvc", "add", "ages.csv", "other")
    commit(ward)
    (ward / "ages.csv").unlink()
    (ward / "ages.csv").write_text("patient,age\nscan.2,51\n")  # the former version is in a commit alone
    run(ward, "dvc", "add", "ages.csv")
    commit(ward)
    run(ward, "dvc", "push", "--all-commits")
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    tracked = "(DVC tracks it: in its cache and remotes, too)"
    assert elsewhere(ward, files) == ["other/scan.png", f"ages.csv {tracked}", f"other/scan.png {tracked}"]
    assert (ward / "other/scan.png").read_bytes() == b"pixels of another film"
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(ward), str(clone))
    use_own_site_cache(clone)
    run(clone, "dvc", "pull", "ages.csv.dvc", "other.dvc")
    run(clone, "git", "checkout", "-q", "HEAD~1")
    run(clone, "dvc", "pull", "ages.csv.dvc")
    assert (clone / "ages.csv").read_text() == "patient,age\nscan,44\nscan.2,51\n"


def test_users_files_beside_outputs_and_code_of_logged_models_stay_and_are_named(ward: Path) -> None:
    """A film called `wrist` would have taken every module with that word."""
    named = {
        "reports/thesis/chapter.md": b"Figure 3 shows scan, which is a hard one",
        "reports/talk/figure1.png": FILM,
        "models/notes.md": b"scan",
        "mlruns/mine/book.txt": b"scan",
        ".checkpoints/copy": FILM,
        ".dvc/figure": FILM,
        f"studies/{GONE}/film.tif": b"a name of the folder",
        "notes/scan/zoom.tif": b"a name of the folder",
    }
    code = {"mlruns/1/r/artifacts/code/stages/x.py": b"scan = 1", "reports/thesis/scan.2.md": b"another"}
    for name, content in (named | code).items():
        (ward / name).parent.mkdir(parents=True, exist_ok=True)
        (ward / name).write_bytes(content)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert all((ward / name).is_file() for name in named | code)
    assert elsewhere(ward, files) == sorted(named)


def test_films_behind_links_to_folders_with_links_are_named(ward: Path, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    (far / "figure").write_bytes(FILM)
    (near / "more").symlink_to(far)
    (near / "round").symlink_to(ward)
    (ward / "disk").symlink_to(near)
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert elsewhere(ward, files) == ["disk/more/figure"]


def test_pictures_of_an_older_version_of_the_data_go_too(ward: Path) -> None:
    """The hospital takes the film out of the inbox, `ingest` alone runs, and then the patient is withdrawn."""
    (ward / "inbox/films/images/scan.png").unlink()
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\nscan.2,{STAYS},2,b\n")
    run(ward, "dvc", "repro", "-s", "ingest")
    assert held(ward, FILM)
    files, _ = withdraw(Project(ward), GONE, date(2026, 1, 2))
    assert files.shared == {}
    assert held(ward, FILM) == []


def test_a_link_to_a_cache_that_projects_share_is_no_cache_of_ones_own(ward: Path, tmp_path: Path) -> None:
    shutil.move(ward / ".dvc/cache", tmp_path / "shared")
    (ward / ".dvc/cache").symlink_to(tmp_path / "shared")
    of_another = tmp_path / "shared/files/md5/ab/cdef0123456789abcdef0123456789"
    of_another.parent.mkdir(exist_ok=True)
    of_another.write_text("image_id\nscan\n")
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert of_another.is_file()


@pytest.mark.parametrize("place", [".dvc/tmp/rwlock", ".dvc/tmp/exps/standalone/t1/.dvc/tmp/rwlock"])
def test_a_withdrawal_waits_until_dvc_runs_no_stage(place: str, ward: Path) -> None:
    """What a training has read of the patient it would write after the withdrawal."""
    held = {"read": {"data/dataset": [{"pid": os.getpid(), "cmd": "dvc repro"}]}, "write": {}}
    (ward / place).parent.mkdir(parents=True, exist_ok=True)
    (ward / place).write_text(json.dumps(held))
    with pytest.raises(UserError, match=f"DVC runs nothing, found process {os.getpid()}; wait until it ends"):
        withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert (ward / "data/raw/images/scan.png").is_file()
    (ward / place).write_text('{"write": {"data/raw": {"pid": 99999999, "cmd": "dvc repro"}}}')  # it was killed
    withdraw(Project(ward), "scan", date(2026, 1, 2))


def test_a_withdrawal_waits_until_no_command_of_dvc_is_at_work(ward: Path) -> None:
    """A push that goes on would bring to the remote what was removed there."""
    with (ward / ".dvc/tmp/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = "from datetime import date; from pathlib import Path; from tools.audit.trace import Project; "
        program += "from tools.audit.withdraw import withdraw; withdraw(Project(Path()), 'scan', date(2026, 1, 2))"
        words = [sys.executable, "-c", program]
        own = environment() | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DVC does nothing, found that a command of DVC is at work; wait until it ends" in done.stderr
    assert (ward / "data/raw/images/scan.png").is_file()


def test_a_patient_of_earlier_versions_alone_is_found_after_another_withdrawal(ward: Path) -> None:
    """The first one removes the manifests of all versions, which say whose films are whose."""
    (ward / "inbox/films/images/scan.2.png").unlink()
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\nscan,{GONE},1,a\n")
    reproduce(ward)
    commit(ward)
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert held(ward, OTHER)
    files, _ = withdraw(Project(ward), "scan.2", date(2026, 1, 3))
    assert (files.patients, files.images) == ({STAYS}, {"scan.2"})
    assert held(ward, OTHER) == []
    assert not [
        path
        for path in (ward / ".dvc/cache").rglob("*")
        if path.is_file() and STAYS in path.read_text(errors="replace")
    ]


def test_a_withdrawal_that_failed_knows_other_spellings_and_copies_when_it_is_done_again(
    ward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ward / "inbox/films/numbers.csv").write_text(f"patient_id,number_id\n{GONE},{'e' * 16}\n{STAYS},{'e' * 16}\n")
    reproduce(ward)
    commit(ward)
    (ward / "thesis").mkdir()
    (ward / "thesis/figure").write_bytes(FILM)
    kept = next(path for path in held(ward / ".dvc", OTHER))
    refuse_to_remove(kept, monkeypatch)
    with pytest.raises(UserError, match="still there"):
        withdraw(Project(ward), "scan", date(2026, 1, 2))
    refuse_to_remove(Path(), monkeypatch)
    listing.cache_clear()
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert files.patients == {GONE, STAYS}
    assert held(ward / ".dvc", OTHER) == held(ward / "data", OTHER) == []
    assert elsewhere(ward, files) == ["thesis/figure"]


def test_copies_of_pages_and_what_was_half_written_of_predictions_are_named(ward: Path) -> None:
    pipeline = json.loads(json.dumps(PIPELINE))
    pipeline["report"]["cmd"] += "; cat shade shade > reports/labels.png"
    pipeline["report"]["outs"].append("reports/labels.png")
    (ward / "dvc.yaml").write_text(json.dumps({"stages": pipeline}))
    reproduce(ward)
    own = ["predictions/.scan-partial-1/overlay.jpg", "thesis/page.png", f"data/raw/images/{GONE}_annotated.png"]
    for name in own:
        (ward / name).parent.mkdir(parents=True, exist_ok=True)
        (ward / name).write_bytes(b"pixels")
    (ward / "thesis/page.png").write_bytes((ward / "reports/labels.png").read_bytes())
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert elsewhere(ward, files) == sorted(own)
    assert all((ward / name).is_file() for name in own)


@pytest.mark.parametrize("beside", ["archive", ".trees/clone"])
def test_a_copy_of_the_lock_and_a_clone_below_the_project_keep_nothing_in_the_cache(beside: str, ward: Path) -> None:
    """They say the same of the pipeline's outputs as its own dvc.lock; none of that is what a user tracks."""
    if beside == "archive":
        (ward / beside).mkdir()
        shutil.copy(ward / "dvc.lock", ward / beside)
        commit(ward)
    else:
        run(ward, "git", "clone", "-q", str(ward), beside)
        shutil.copytree(ward / "data/raw/images", ward / beside / "data/raw/images")
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert held(ward / ".dvc", FILM) == held(ward / "data", FILM) == []
    named = elsewhere(ward, files)
    assert (".trees/clone/data/raw/images/scan.png" in named) is (beside != "archive")


def test_a_copy_that_a_user_tracks_under_a_name_of_its_own_is_named_and_stays(ward: Path) -> None:
    (ward / "thesis").mkdir()
    (ward / "thesis/figure").write_bytes(FILM)
    run(ward, "dvc", "add", "thesis")
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    tracked = "thesis/figure (DVC tracks it: in its cache and remotes, too)"
    assert elsewhere(ward, files) == ["thesis/figure", tracked]
    assert len(held(ward, FILM)) == 2


def exclude(project: Path, pattern: str) -> None:
    """Ignore files in this clone alone."""
    (project / ".git/info/exclude").write_text(f"{pattern}\n")


def test_branches_and_remotes_that_know_nothing_of_a_withdrawal_are_named(
    ward: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A branch has another list of withdrawals; a remote was given up, and still has the films."""
    run(ward, "git", "branch", "study")
    (tmp_path / "given-up").mkdir()
    run(ward, "dvc", "remote", "add", "old", str(tmp_path / "given-up"))
    commit(ward)
    run(ward, "dvc", "remote", "modify", "old", "url", str(tmp_path / "new"))
    run(ward, "dvc", "remote", "rename", "old", "store")
    (tmp_path / "new/files/md5").mkdir(parents=True)
    commit(ward)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    empty = run(ward, "git", *who, "commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", "pages").strip()
    run(ward, "git", "branch", "pages", empty)
    run(ward, "git", "update-ref", "refs/remotes/origin/elsewhere", "study")
    run(ward, "git", "update-ref", "refs/remotes/origin/study", "study")
    run(ward, "git", "update-ref", f"refs/exps/ab/{'c' * 38}/early", "study")
    exclude(ward, "*.csv")
    assert withdraw_patient("scan", dry_run=False) == 0
    printed = capsys.readouterr().out
    former = run(ward, "git", "rev-parse", "--short=12", "HEAD~1").strip()
    assert (
        "would read these films again: origin/elsewhere, study; merge the commit of data/pins/withdrawn.csv" in printed
    )
    assert "where they are applied: early; `dvc exp remove` them" in printed
    assert f"into which nobody looked: old (commit {former}); what is in them is yours to remove" in printed
    assert "A  data/pins/withdrawn.csv" in run(ward, "git", "status", "--short")


def test_notes_of_dvc_in_its_default_folder_go_too(ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had no folder of its own before `make setup`."""
    monkeypatch.setattr("tools.audit.dvc_cache.DEFAULT_SITE_CACHE", tmp_path / "default")
    with Repo(str(ward)) as repo:
        note = tmp_path / "default/repo" / Path(repo.site_cache_dir).name / "note"
    note.parent.mkdir(parents=True)
    note.write_text(GONE)
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert not note.exists()


def test_what_the_last_line_of_a_withdrawal_advises_is_what_dvc_can_do(ward: Path) -> None:
    """Lists of earlier commits are gone, so that DVC can keep nothing for these."""
    left = ward / ".dvc/cache/files/md5/ab/cdef0123456789abcdef0123456789"
    left.parent.mkdir(exist_ok=True)
    left.write_text("of no list")
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    (ward / "inbox/films/images/scan.png").unlink()
    (ward / "inbox/films/manifest.csv").write_text(f"image_id,patient_id,sha256,source_file\nscan.2,{STAYS},2,b\n")
    reproduce(ward)
    run(ward, "dvc", "gc", "--workspace", "--force")
    assert not left.exists()


def test_what_a_repository_in_the_project_tracks_in_the_same_cache_stays(ward: Path) -> None:
    study = ward / "study"
    study.mkdir()
    run(study, "git", "init", "-q")
    run(study, "dvc", "init")
    run(study, "dvc", "cache", "dir", "../.dvc/cache")
    (study / "ages.csv").write_text(f"patient,age\n{GONE},44\n")
    run(study, "dvc", "add", "ages.csv")
    (study / "ages.csv").unlink()
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert elsewhere(ward, files) == ["study/ages.csv (DVC tracks it: in its cache and remotes, too)"]
    run(study, "dvc", "checkout")
    assert GONE in (study / "ages.csv").read_text()


def test_of_all_that_is_removed_the_manifest_goes_last(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of a film nobody else knows the patient, whose row the table of numbers has."""
    (ward / "inbox/films/numbers.csv").write_text(f"patient_id,number_id\n{GONE},{'e' * 16}\n")
    reproduce(ward)
    commit(ward)
    removed = list[Path]()

    def note(path: Path, missing_ok: bool = False) -> None:
        removed.append(path)
        UNLINK(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", note)
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    of_raw = [path.name for path in removed if path.is_relative_to(ward / "data/raw")]
    assert of_raw[-2:] == ["numbers.csv", "manifest.csv"]


def test_a_project_without_commits_and_one_without_git_are_read(project: Path) -> None:
    reproduce(project)
    files, _ = withdraw(Project(project), GONE, date(2026, 1, 2))
    assert files.images == {"w1"}
    assert held(project, FILM) == []
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError, match=r"withdraw: DVC cannot read the project: .*not a git repository"):
        withdraw(Project(project), STAYS, date(2026, 1, 2))


@pytest.mark.parametrize("kind", [".dir", "numbers.csv"])
def test_no_manifest_goes_while_a_list_or_the_table_of_numbers_stays(
    kind: str, ward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next attempt does not know whose films the list names."""
    (ward / "inbox/films/numbers.csv").write_text(f"patient_id,number_id\n{GONE},{'e' * 16}\n")
    reproduce(ward)
    commit(ward)
    lists = (path for path in (ward / ".dvc/cache").rglob("*.dir") if b"scan.png" in path.read_bytes())
    refuse_to_remove(max(lists) if kind == ".dir" else ward / "data/raw/numbers.csv", monkeypatch)
    with pytest.raises(UserError, match="still there"):
        withdraw(Project(ward), "scan", date(2026, 1, 2))
    refuse_to_remove(Path(), monkeypatch)
    listing.cache_clear()
    withdraw(Project(ward), "scan", date(2026, 1, 3))
    assert names_or_shows(ward) == {}


def test_a_later_withdrawal_finishes_one_that_failed(ward: Path) -> None:
    """The table of numbers, which says that two are one, was gone when it was killed."""
    table = f"patient_id,withdrawn,key_id\n{GONE},2026-01-01,\n"
    (ward / "data/pins").mkdir()
    (ward / "data/pins/withdrawn.csv").write_text(table)
    lost = ward / ".dvc/cache/files/md5/ab/cdef0123456789abcdef0123456789"
    lost.parent.mkdir(exist_ok=True)
    lost.write_text(f"image_id,patient_id\nx,{GONE}\n")
    files, _ = withdraw(Project(ward), "scan.2", date(2026, 1, 2))
    assert files.patients == {GONE, STAYS}
    assert names_or_shows(ward) == {}
    assert not lost.exists()


def test_parameters_of_runs_that_name_a_file_of_the_patient_go_too(ward: Path, tmp_path: Path) -> None:
    """A film was left out by its name for a time."""
    run(ward, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    record = "cmd: x\nparams:\n  params.yaml:\n    ingest.sources: [{source: folder, exclude: [%s.png]}]\n"
    records = {name: ward / f".dvc/cache/runs/ab/cd/{name}" for name in ("scan", "scan.2")}
    for name, path in records.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record % name)
    run(ward, "dvc", "push", "data/raw")
    shutil.copytree(ward / ".dvc/cache/runs", tmp_path / "store/runs")
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    for folder in (ward / ".dvc/cache", tmp_path / "store"):
        assert [path.name for path in (folder / "runs/ab/cd").iterdir()] == ["scan.2"]


@pytest.mark.parametrize("inbox", [".", "data", "data/raw"])
def test_outputs_are_no_source_files_whatever_params_yaml_says(inbox: str, ward: Path) -> None:
    (ward / "params.yaml").write_text(f"ingest: {{inbox: {inbox}}}")
    withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert names_or_shows(ward) == {}


def test_a_withdrawal_that_was_killed_when_the_lists_were_gone_goes_on_by_the_name_of_a_film(ward: Path) -> None:
    shutil.rmtree(ward / "data/raw")
    for path in (ward / ".dvc/cache").rglob("*.dir"):
        path.unlink()
    listing.cache_clear()
    files, _ = withdraw(Project(ward), "scan", date(2026, 1, 2))
    assert files.patients == {GONE}
    cached = [path for path in (ward / ".dvc/cache").rglob("*") if path.is_file()]
    assert not any(GONE.encode() in path.read_bytes() for path in cached)
