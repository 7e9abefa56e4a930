"""A withdrawal with a real cache and remote: the patient's files are gone everywhere, the others' are not."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from stages.common.core.errors import UserError
from stages.common.data.layout import RAW, WITHDRAWN_PINS
from stages.common.data.tables import MANIFEST
from tests.helpers.commands import wrist
from tests.helpers.files import tree_hash
from tests.helpers.params import read_yaml, write_yaml
from tests.helpers.processes import run
from tools.audit.dvc_cache import file_md5, listing, object_path
from tools.audit.patient_files import patient_files
from tools.audit.trace import Project
from tools.audit.withdraw import films_left, why_not_divided

pytestmark = pytest.mark.slow


def some_patient(project: Path, side: str) -> tuple[str, list[str]]:
    """A patient with films on a side, by pseudonym, and the films."""
    split = pd.read_csv(project / "data/dataset/split.csv")
    patient = split.loc[split["split"] == side, "patient_id"].iloc[0]
    return patient, list(split.loc[split["patient_id"] == patient, "image_id"])


def objects(store: Path) -> set[str]:
    return {path.parent.name + path.name for path in store.glob("files/md5/*/*") if path.is_file()}


def test_films_that_can_no_more_be_divided_are_said_before_dvc_repro_fails(own: Path) -> None:
    """A side of fewer films than the patients who are left have each: patients stay whole."""
    project = Project(own)
    patient, _ = some_patient(own, "train")
    assert films_left(project, {patient}).endswith("before `dvc repro`")
    text = (own / "params.yaml").read_text()
    (own / "params.yaml").write_text(text.replace("train: 16", "train: 12"))
    assert films_left(project, {patient}) == ""
    manifest = MANIFEST.read(own / RAW)
    manifest.loc[manifest["patient_id"] != patient, "group"] = "one"
    said = why_not_divided(own, [{key: str(value) for key, value in row.items()} for row in MANIFEST.rows(manifest)])
    assert said.startswith("24 films are left, and they cannot be divided as before: annotate.split")
    (own / "params.yaml").write_text("annotate: {}\n")
    assert why_not_divided(own, [{"fractures": "1"}]) == ""


def test_a_side_that_a_source_gives_to_one_patient_alone_is_said_to_be_empty(own: Path) -> None:
    params = read_yaml(own / "params.yaml")
    params["annotate"]["split"] = {"by": "given", "validation": 0.2}
    write_yaml(own / "params.yaml", params)
    manifest = MANIFEST.read(own / RAW)
    patient = manifest["patient_id"].iloc[0]
    manifest["split"] = ["test" if row == patient else "train" for row in manifest["group"]]
    rows = [{key: str(value) for key, value in row.items()} for row in MANIFEST.rows(manifest)]
    assert why_not_divided(own, rows) == ""
    left = [row for row in rows if row["patient_id"] != patient]
    said = f"{len(left)} films are left, and they cannot be divided as before: annotate.split.by: expected films that "
    assert why_not_divided(own, left).startswith(f"{said}their source marks as test, found none")
    assert films_left(Project(own), set(manifest["patient_id"])).startswith("no film is left")


def test_a_dry_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_hash(project / "data")
    patient, images = some_patient(project, "test")
    assert wrist("audit", "withdraw", patient, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"{len(images)} films: {', '.join(sorted(images))}" in said
    assert "would go" in said
    for image in images:
        for place in ("data/raw/images", "data/preprocessed/images", "data/levels/images", "data/dataset/test"):
            assert f"{place}/{image}.png" in said
        for name in (f"original/{image}.jpg", f"tiles/{image}.jpg", f"layers/{image}.js"):
            assert f"reports/films/{name}" in said
    for page in ("index.html", "to_mail.html"):
        assert f"reports/{page}" in said
    assert tree_hash(project / "data") == before


def test_a_withdrawal_leaves_nothing_of_the_patient_and_all_of_the_others(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(own, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    run(own, "git", "commit", "-qam", "remote")
    # An earlier version of the data, which only the cache still holds.
    text = (own / "params.yaml").read_text()
    (own / "params.yaml").write_text(text.replace("classes: 4", "classes: 3"))
    run(own, "dvc", "repro", "threshold")
    run(own, "git", "commit", "-qam", "three classes")
    (own / "params.yaml").write_text(text)
    run(own, "dvc", "repro", "threshold")
    run(own, "git", "commit", "-qam", "four again")
    run(own, "dvc", "push", "--all-commits")
    patient, images = some_patient(own, "test")
    found = patient_files(Project(own), patient)
    assert len(found.commits) == 4  # the workspace and three versions of dvc.lock
    levels = {md5 for md5, paths in found.objects.items() if any("data/levels/images/" in path for path in paths)}
    assert len(levels) == 2 * len(images), "of both versions"
    gone = found.cached.keys()
    before = objects(own / ".dvc/cache")
    stored = objects(tmp_path / "store")
    wrist("audit", "page")
    assert patient in (own / "reports/lineage.html").read_text()
    in_a_run = own / "mlruns/1/a-run/artifacts/reports/predictions.png"
    in_a_plot = own / "dvc_plots/static/workspace_reports_predictions.png"  # as `dvc plots show` calls it
    for copy in (in_a_run, in_a_plot):
        copy.parent.mkdir(parents=True)
        shutil.copy(own / "reports/predictions.png", copy)
    assert wrist("audit", "withdraw", patient) == 0
    assert not (own / "reports/lineage.html").exists()
    assert not list(own.rglob("*predictions.png")), "it has no words and shows films"
    said = capsys.readouterr().out
    assert {md5 for md5 in before - objects(own / ".dvc/cache") if not md5.endswith(".dir")} == gone
    gone_there = stored - objects(tmp_path / "store")
    assert {md5 for md5 in gone_there if not md5.endswith(".dir")} == gone & stored
    assert f"remote store: {len(gone_there)} files removed" in said
    for word in (patient, *images):
        for path in (*own.rglob("*"), *(tmp_path / "store").rglob("*")):
            inside = path.is_file() and not {".git", "pins"} & set(path.parts) and path.suffix not in (".png", ".db")
            assert not inside or word.encode() not in path.read_bytes(), path
    assert not any(object_path(own, md5).exists() for md5 in gone)
    for image in images:
        assert not [path for path in own.rglob(f"{image}.*") if ".git/" not in str(path)]
    assert f"\n{patient},20" in (own / "data/pins/withdrawn.csv").read_text()
    assert "ingest, preprocess" in said
    run(own, "git", "add", "-A")
    run(own, "git", "commit", "-qm", "withdrawal")
    run(own, "dvc", "repro", "--force", "ingest")
    manifest = pd.read_csv(own / "data/raw/manifest.csv")
    assert patient not in set(manifest["patient_id"])
    assert not set(images) & set(manifest["image_id"])
    assert len(manifest) == 24 - len(images)
    assert (own / "data/raw/withdrawn.csv").read_text() == (own / "data/pins/withdrawn.csv").read_text()
    for image in images:
        assert not list((own / "data/raw").rglob(f"{image}.*"))


def test_what_is_said_to_go_is_not_said_to_be_in_the_cache_where_it_is_not(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another withdrawal took the pages already; versions of one file are one line."""
    patient, _ = some_patient(own, "test")
    (own / "params.yaml").write_text((own / "params.yaml").read_text().replace("classes: 4", "classes: 3"))
    run(own, "dvc", "repro", "threshold")
    run(own, "git", "commit", "-qam", "three classes")
    found = patient_files(Project(own), patient)
    assert found.in_cache == found.cached.keys()
    page = next(md5 for md5, paths in found.cached.items() if "reports/index.html" in paths)
    object_path(own, page).unlink()
    capsys.readouterr()
    assert wrist("audit", "withdraw", patient, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"name them, or show films of the same data; {len(found.cached) - 1} of them in this cache\n" in said
    (line,) = [line for line in said.splitlines() if line.startswith("  data/levels/index.csv (")]
    assert line.startswith("  data/levels/index.csv (2 versions, md5 ")


@pytest.mark.parametrize("what", ["manifest", "list"])
def test_a_cache_that_says_another_thing_than_was_recorded_stops_it(what: str, own: Path) -> None:
    """A film that a failing disk, or somebody, gave to another patient there would stay."""
    patient, images = some_patient(own, "test")
    raw = Project(own).lock.hashes["data/raw"]
    files = listing(own, raw)
    assert files
    path = object_path(own, files["manifest.csv"] if what == "manifest" else raw)
    forged = path.read_bytes().replace(images[0].encode(), b"x" * len(images[0]))
    path.unlink()  # it is read-only
    path.write_bytes(forged)
    listing.cache_clear()
    for words in (("withdraw", patient), ("trace", patient, "--everywhere")):
        with pytest.raises(
            UserError, match=r"(?s)expected objects of DVC's cache that have the MD5 of their names.*md5"
        ):
            wrist("audit", *words)
    assert not (own / WITHDRAWN_PINS).exists()
    assert (own / f"data/raw/images/{images[0]}.png").exists()


def test_a_patient_that_nobody_knows_is_one_sentence(project: Path) -> None:
    said = run(project, "wrist", "audit", "withdraw", "nobody", code=1)
    assert "nobody: expected a pseudonym or a film of data/raw/manifest.csv" in said
    assert not (project / "data/pins/withdrawn.csv").exists()


def test_a_name_that_films_of_two_patients_have_removes_neither(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two data sets have an `images/1.png`; and who names a film may call it as another patient's pseudonym."""
    films = [
        {"image_id": film, "patient_id": patient, "source_file": "images/1.png", "sha256": film}
        for film, patient in (("1", "p1"), ("p1", "p2"))
    ]
    monkeypatch.setattr("tools.audit.patient_files.rows_of", lambda *_: {"a" * 32: films, "b" * 32: films[:1]})
    with pytest.raises(UserError, match=r"found films of p1, p2 that are called so; name one"):
        patient_files(Project(project), "images/1.png")
    for name in ("p1", "1"):
        assert patient_files(Project(project), name).patients == {"p1"}


def test_a_file_is_found_in_every_version_and_experiment(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(own, "dvc", "exp", "run", "--temp", "--name", "coarse", "-S", "threshold.classes=3", "threshold")
    film = Project(own).rows(RAW, MANIFEST)[0]
    assert wrist("audit", "trace", film["sha256"], "--everywhere") == 0
    said = capsys.readouterr().out
    assert "experiment coarse" in said.split("in these versions: ")[1]
    lines = [line for line in said.splitlines() if f"data/levels/images/{film['image_id']}.png (" in line]
    assert len({md5 for line in lines for md5 in re.findall("[0-9a-f]{32}", line)}) == 2
    assert "models/adaptive/seed-1-fold-1 (md5" in said
    assert "not searched" not in said
    levels = Project(own).lock.hashes["data/levels"]  # as a clone lacks those that it did not fetch
    object_path(own, levels).unlink()
    listing.cache_clear()
    assert wrist("audit", "trace", film["sha256"], "--everywhere") == 0
    missing = capsys.readouterr().out.split("not searched, since this cache lacks the lists of their files; ")[1]
    assert missing.splitlines()[1:] == [f"  data/levels (md5 {levels})"]


def test_a_picture_whose_bytes_another_film_has_and_the_table_of_numbers_are_found(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, other, *_ = (row for row in Project(own).rows(RAW, MANIFEST) if row["key_id"])
    one, copied = (f"data/levels/images/{row['image_id']}.png" for row in (film, other))
    (own / one).unlink()
    shutil.copyfile(own / copied, own / one)
    run(own, "dvc", "commit", "--force", "threshold")
    assert wrist("audit", "trace", film["patient_id"], "--everywhere") == 0
    of_films, shared = capsys.readouterr().out.split(
        "the same bytes as files of others, as an empty mask or a copy has:"
    )
    assert f"  {one} (md5 {file_md5(own / one)})" in shared
    assert one in of_films, "of the commit before"
    assert "data/raw/numbers.csv" in of_films


def test_a_film_that_only_earlier_versions_have_is_found_in_them(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The models of the later version are not said to be trained on it."""
    before = set(Project(own).films)
    text = (own / "params.yaml").read_text()
    (own / "params.yaml").write_text(text.replace("films: 24", "films: 20").replace("train: 16", "train: 12"))
    run(own, "dvc", "repro")
    run(own, "git", "commit", "-qam", "fewer films")
    film = min(before - set(Project(own).films))
    capsys.readouterr()
    with pytest.raises(UserError, match="found nothing so"):
        wrist("audit", "trace", film)
    assert wrist("audit", "trace", film, "--everywhere") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{film}: not in the data that are here\nfound, in all versions: ")
    assert f"data/raw/images/{film}.png (" in said
    here = Project(own).lock.hashes
    models = [path for path in here if path.startswith("models/")]
    assert [path for path in models if f"{path} (md5" in said] == models
    assert not [path for path in models if here[path] in said]


def test_queued_experiments_that_would_read_the_films_again_are_named(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They start from a commit that knows nothing of the withdrawal."""
    patient, _ = some_patient(own, "train")
    run(own, "dvc", "exp", "run", "--queue", "--name", "early")
    (own / WITHDRAWN_PINS).write_text(f"patient_id,withdrawn,key_id\n{patient},2026-11-30,\n")
    run(own, "git", "add", str(WITHDRAWN_PINS))
    run(own, "git", "commit", "-qm", "withdrawn")
    run(own, "dvc", "exp", "run", "--queue", "--name", "late", "--set-param", "train.loop.epochs=1")
    assert wrist("audit", "withdraw", patient, "--dry-run") == 0
    assert "queued experiments that would read these films again: early; `dvc queue remove`" in capsys.readouterr().out
