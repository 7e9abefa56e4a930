"""Kaggle data sets over a real connection to a server on localhost, and what becomes of them."""

import hashlib
import re
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import kagglesdk.kaggle_env
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.common.core.errors import UserError
from stages.common.data.layout import RAW
from stages.common.data.tables import ANNOTATIONS, FILES, MANIFEST
from stages.ingest.main import main
from stages.ingest.params import Kaggle, Params
from stages.ingest.sources.presets import READY
from tests.helpers.kaggle_server import TOKEN, serving
from tests.helpers.kaggle_server import Kaggle as Server
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tools.fetch.data_sets import fetch_kaggle


def png(seed: int = 0) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def data_set(**files: bytes) -> bytes:
    content = {
        "set/train/images/a.png": png(1), "set/train/labels/a.txt": b"3 0.5 0.5 0.5 0.5\n8 0.1 0.1 0.1 0.1\n",
        "set/valid/images/b.png": png(2), "set/valid/labels/b.txt": b"", "set/extra/c.png": png(3),
        "set/data.yaml": b"names: {3: fracture, 8: text}\n", "set/dataset.csv": b"filestem,patient_id\na,1\nb,1\n",
    }  # fmt: skip
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in (content | files).items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@pytest.fixture
def server(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, an empty cache and a token in its standard place."""
    with serving(data_set()) as kaggle_server:
        environment = kagglesdk.kaggle_env.KaggleEnv.LOCAL
        monkeypatch.setitem(
            kagglesdk.kaggle_env._env_to_endpoint, environment, f"http://127.0.0.1:{kaggle_server.server_port}"
        )
        for name, value in {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "KAGGLE_API_TOKEN": TOKEN, "HOME": str(here / "home"),
            "KAGGLEHUB_CACHE": str(here / "cache"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        # For the header that names its caller it looks through all modules, a second for each request of a test.
        monkeypatch.setattr("kagglehub.clients.search_lib_in_call_stack", lambda _: None)
        yield kaggle_server


def entry(**changes: Any) -> Kaggle:
    facts = {
        "handle": "owner/set", "version": 2, "annotations": "yolo", "classes": ["fracture"],
        "other_classes": ["text"], "licence": "CC0", "include": ["*/images/*"],
    }  # fmt: skip
    return Kaggle(**facts | changes)


def settings(*entries: Kaggle, **changes: Any) -> Params:
    params = read_yaml(ROOT / "params.yaml")["ingest"]
    params |= {"sources": [one.model_dump() for one in entries] or ["sample"], "inbox": "in"} | changes
    Path("in").mkdir(exist_ok=True)
    return Params.model_validate(params)


def test_a_set_is_fetched_pinned_and_read(server: Server) -> None:
    assert fetch_kaggle(settings(entry())) == 7
    output = main(settings(entry()))
    assert output.startswith("2 films of 1 patients, 1 fractures")
    path, body = server.calls[0]
    assert path == "/api/v1/datasets.DatasetApiService/DownloadDataset"
    assert (body["ownerSlug"], body["datasetSlug"], body["datasetVersionNumber"]) == ("owner", "set", 2)
    assert len([call for call in server.calls if call[0] == "/storage/archive.zip"]) == 1, "fetched once"
    manifest = MANIFEST.read(RAW).set_index("image_id")
    assert set(manifest["source"]) == {"kaggle owner/set v2"}
    assert set(manifest["licence"]) == {"CC0"}
    assert manifest.loc["a", "sha256"] == hashlib.sha256(png(1)).hexdigest()
    assert manifest.loc["a", "source_file"] == "owner/set/v2/set/train/images/a.png"
    assert list(ANNOTATIONS.read(RAW)["label"]) == ["fracture"]
    files = FILES.read(RAW)
    roles = ("film", "labels", "classes", "table")
    assert list(zip(files["image_id"], files["role"], strict=True)) == [(film, role) for film in "ab" for role in roles]
    pins = Path("data/pins/owner--set--v2.sha256").read_text()
    for row in FILES.rows(files):
        assert f"{row['sha256']}  {row['file'].removeprefix('owner/set/v2/')}\n" in pins
    assert f"{hashlib.sha256(png(3)).hexdigest()}  set/extra/c.png\n" in pins


def test_no_credential_is_written_or_said(server: Server, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch_kaggle(settings(entry()))
    main(settings(entry()))
    output = "".join(capfd.readouterr())
    for path in here.rglob("*"):
        if path.is_file():
            output += path.read_bytes().decode("latin-1")
    assert TOKEN not in output


MB = 2**20  # kagglehub writes whole chunks of this size; what is cut within one is fetched again


def large(server: Server) -> None:
    server.content = data_set(**{"set/large.bin": np.random.default_rng(0).bytes(5 * MB)})
    server.md5 = hashlib.md5(server.content).digest()


def test_a_download_that_is_cut_goes_on(server: Server) -> None:
    large(server)
    # Each attempt asks for the file, sees what is here, and asks again for the rest.
    server.cuts = [2 * MB + 77, 0, MB + 5]
    fetch_kaggle(settings(entry()))
    starts = [start for path, start in server.calls if path == "/storage/archive.zip"]
    assert [start for start in starts if start] == [2 * MB, 3 * MB]


def test_a_download_that_is_always_cut_says_so_and_the_next_call_goes_on(server: Server, here: Path) -> None:
    large(server)
    server.cuts = [MB + 9, *([0] * 8)]
    with pytest.raises(UserError, match=r"connection cut 4 times \(1\.0 MB are here; .*run the same command again"):
        fetch_kaggle(settings(entry()))
    (part,) = (here / "cache").rglob("*.archive")
    assert part.stat().st_size == MB
    server.calls.clear()
    server.cuts = []
    fetch_kaggle(settings(entry()))
    assert MB in [start for _, start in server.calls]


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (401, {}, r"expected valid Kaggle credentials, found none or expired ones \(401\); put a token"),
        (403, {}, r"expected permission, found none \(403\); open its page .* accept its rules"),
        (404, {}, r"expected this data set and version, found neither \(404\)"),
        (429, {"Retry-After": "30"}, r"found too many requests \(429\); wait 30 seconds"),
        (429, {}, r"wait some minutes"),
        (500, {}, r"an error of Kaggle's \(500\); try again later"),
        (
            302,
            {"Location": "https://["},
            "an answer of Kaggle's, found a header, or an address here or in a red",
        ),
    ],
)
def test_each_refusal_has_its_own_sentence(status: int, headers: dict[str, str], sentence: str, server: Server) -> None:
    server.answers = [(status, headers)]
    with pytest.raises(UserError, match=sentence) as fault:
        fetch_kaggle(settings(entry()))
    assert TOKEN not in str(fault.value)
    assert list(Path("data/pins").glob("*")) == []


def test_without_a_token_kaggle_is_asked_and_says_no(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(UserError, match="401"):
        fetch_kaggle(settings(entry()))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "two\nlines")
    with pytest.raises(UserError, match=r"found a header, or an address .* that HTTP cannot carry; put a token"):
        fetch_kaggle(settings(entry()))


def test_a_damaged_download_is_thrown_away(server: Server, here: Path) -> None:
    server.md5 = bytes(16)
    with pytest.raises(UserError, match="expected the MD5 that Kaggle states"):
        fetch_kaggle(settings(entry()))
    assert not list((here / "cache").rglob("*.archive"))


def test_nothing_is_asked_when_the_archive_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_kaggle(settings(entry()))
    server.calls.clear()
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    main(settings(entry()))
    assert server.calls == []


def test_a_set_without_pins_is_not_read(server: Server) -> None:
    with pytest.raises(UserError, match=r"v2\.sha256: expected the hashes of owner/set version 2.*wrist fetch kaggle"):
        main(settings(entry()))


def test_files_of_an_archive_that_cannot_be_read_are_named_and_nothing_is_pinned(server: Server) -> None:
    server.content = data_set().replace(png(3), png(3)[:-9] + b"otherwise")  # its CRC is another one
    server.md5 = hashlib.md5(server.content).digest()
    with pytest.raises(UserError, match=r"expected files that can be read, found others \(1\):\n  - set/extra/c.png: "):
        fetch_kaggle(settings(entry()))
    assert not list(Path().rglob("*.sha256"))


def test_a_later_change_upstream_names_the_files(server: Server, here: Path) -> None:
    fetch_kaggle(settings(entry()))
    for path in (here / "cache").rglob("*.archive*"):
        path.unlink()
    changed = {"set/train/images/a.png": png(9), "set/new.txt": b""}
    server.content = data_set(**changed).replace(b"set/extra/c.png", b"set/extra/d.png")
    server.md5 = hashlib.md5(server.content).digest()
    with pytest.raises(UserError) as fault:
        fetch_kaggle(settings(entry()))
    for line in (
        "set/train/images/a.png: changed",
        "set/new.txt: new",
        "set/extra/c.png: gone",
        "set/extra/d.png: new",
    ):
        assert line in str(fault.value)
    with pytest.raises(UserError, match=r"is not what owner--set--v2\.sha256 pins"):
        main(settings(entry()))


@pytest.mark.parametrize("name", ["set/valid/labels/b.txt", "set/train/images/a.png", "set/extra/c.png"])
@pytest.mark.parametrize("damaged", [True, False])
def test_a_changed_file_is_named_also_where_no_film_uses_it(
    name: str, damaged: bool, server: Server, here: Path
) -> None:
    fetch_kaggle(settings(entry()))
    server.content = data_set(**{name: b"other bytes"})
    if damaged:
        server.content = server.content.replace(b"other bytes", b"spoilt byte")
    server.md5 = hashlib.md5(server.content).digest()
    for path in (here / "cache").rglob("*.archive*"):
        path.unlink()
    with pytest.raises(UserError, match=rf"is not what owner--set--v2\.sha256 pins;.*\n  - {name}: changed$"):
        main(settings(entry(exclude=["set/extra/*"])))


def test_a_changed_file_that_many_films_share_is_named(server: Server, here: Path) -> None:
    fetch_kaggle(settings(entry()))
    server.content = data_set(**{"set/dataset.csv": b"filestem,patient_id\na,1\nb,2\n"})
    server.md5 = hashlib.md5(server.content).digest()
    for path in (here / "cache").rglob("*.archive*"):
        path.unlink()
    with pytest.raises(UserError, match=r"set/dataset\.csv: changed"):
        main(settings(entry()))


def test_a_changed_list_of_classes_that_is_called_as_a_label_is_named(server: Server) -> None:
    """`classes.txt` has the suffix of labels: each of them would mean something else."""

    def packed(classes: bytes) -> None:
        with zipfile.ZipFile(BytesIO(data_set())) as whole, zipfile.ZipFile("in/set.zip", "w") as archive:
            for name in whole.namelist():
                if not name.endswith("data.yaml"):
                    archive.writestr(name, whole.read(name))
            archive.writestr("set/classes.txt", classes)

    with_archive = settings(entry(archive="set.zip"))
    packed(b"a\nb\nc\nfracture\nd\ne\nf\ng\ntext\n")
    fetch_kaggle(with_archive)
    assert main(with_archive)
    packed(b"a\nb\nc\ntext\nd\ne\nf\ng\nfracture\n")
    with pytest.raises(UserError, match=r"set/classes\.txt: changed"):
        main(with_archive)


def test_an_archive_in_the_inbox_needs_no_connection(server: Server) -> None:
    with_archive = settings(entry(archive="set.zip"))
    with pytest.raises(UserError, match=r"owner/set: expected its archive at in/set\.zip, found none"):
        fetch_kaggle(with_archive)
    Path("in/set.zip").write_bytes(data_set())
    fetch_kaggle(with_archive)
    main(with_archive)
    assert server.calls == []


def test_a_hostile_archive_is_not_opened(server: Server) -> None:
    server.content = data_set(**{"../../up.png": png()})
    server.md5 = hashlib.md5(server.content).digest()
    with pytest.raises(UserError, match="a path that leads out of the archive"):
        fetch_kaggle(settings(entry()))


def test_what_to_take_and_what_unlabelled_means(server: Server) -> None:
    everything = entry(include=["*"])
    fetch_kaggle(settings(everything))
    with pytest.raises(UserError, match=r"extra/c\.png: expected its labels"):
        main(settings(everything))
    assert main(settings(entry(include=["*"], unlabelled="no_fracture"))).startswith("3 films")
    with pytest.raises(UserError, match=r"a\.txt, line 2: expected one of the classes fracture, found 'text'"):
        main(settings(entry(other_classes=[])))
    assert main(settings(entry(classes=[]))).startswith("2 films of 1 patients, 1 fractures")
    every = entry(classes=[], other_classes=[])
    assert main(settings(every)).startswith("2 films of 1 patients, 2 fractures")


@pytest.mark.parametrize("handle", [handle for handle in READY if "/" in handle])
def test_ready_entries_are_complete(handle: str) -> None:
    ready = Kaggle.model_validate({"handle": handle, "accept_licence": True})
    assert ready.version >= 1
    assert ready.classes
    assert ready.licence
    assert Kaggle.model_validate({"handle": handle, "version": 3, "accept_licence": True}).version == 3
    assert handle in (ROOT / "docs/how-to/kaggle.md").read_text()


def test_a_doubtful_licence_needs_a_yes() -> None:
    handle = "pkdarabi/bone-fracture-detection-computer-vision-project"
    with pytest.raises(ValidationError, match=r"MURA.*accept_licence: true"):
        Kaggle.model_validate({"handle": handle})
    with pytest.raises(ValidationError, match="MURA"):
        Kaggle.model_validate({"handle": handle, "licence": "CC0"})


@pytest.mark.parametrize("handle", ["no-owner", "a/b/c", "../up", "a b/c"])
def test_a_handle_is_owner_and_name(handle: str) -> None:
    with pytest.raises(ValidationError, match=r"handle\n.*should match pattern"):
        entry(handle=handle)


def test_fetch_needs_a_set(here: Path) -> None:
    with pytest.raises(UserError, match=r"ingest\.sources: expected a Kaggle data set"):
        fetch_kaggle(settings())


def test_the_token_is_in_no_argument_of_ours() -> None:
    for module in [*(ROOT / "stages").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        assert not re.search(r"KAGGLE_KEY|kaggle\.json", module.read_text()), module
