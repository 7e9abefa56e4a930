"""Public data sets by HTTPS from a server on localhost: fetched, resumed, pinned and read, and every way to fail."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from requests import exceptions

from stages.common.core.errors import UserError
from stages.common.data.layout import RAW
from stages.common.data.tables import MANIFEST
from stages.ingest.file_access import Folder
from stages.ingest.main import main
from stages.ingest.params import Folder as Subset
from stages.ingest.params import Limits, Params, Url
from stages.ingest.sources.folder import picture_films
from stages.ingest.sources.presets import READY
from stages.ingest.sources.retry import why_cut, why_no_answer
from stages.ingest.sources.subsets import TABLE
from tests.helpers.file_server import FileServer, serving, write_certificate
from tests.helpers.fracatlas_archive import archive_of, drawn_members, shared_members
from tests.helpers.params import read_yaml
from tests.helpers.paths import FRACATLAS, ROOT, needs
from tools.fetch.data_sets import fetch_urls

MEMBERS = drawn_members(["a.jpg", "b.jpg"], ["c.jpg"])
MB = 2**20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(here: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server that this machine trusts, and an empty cache."""
    with serving({"FracAtlas.zip": archive_of(MEMBERS)}, certificate) as running:
        for name, value in {
            "REQUESTS_CA_BUNDLE": str(certificate),
            "WRIST_DOWNLOADS": str(here / "cache"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield running


def entry(server: FileServer, *names: str, file: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    files = [{"name": name, "address": server.address(name)} | (file or {}) for name in names or ["FracAtlas.zip"]]
    facts = {"source": "url", "name": "set", "version": 3, "annotations": "coco", "licence": "CC0", "files": files}
    return facts | {"unlabelled": "no_fracture"} | changes


def settings(*entries: dict[str, Any], **changes: Any) -> Params:
    params = read_yaml(ROOT / "params.yaml")["ingest"]
    Path("in").mkdir(exist_ok=True)
    return Params.model_validate(params | {"sources": list(entries), "inbox": "in"} | changes)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_set_is_fetched_pinned_and_read(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    params = settings(entry(server))
    assert fetch_urls(params) == 1
    content = server.files["FracAtlas.zip"]
    said = capsys.readouterr().out
    assert "set version 3, licence: CC0" in said
    assert f"FracAtlas.zip: {len(content)} bytes, SHA-256 {digest(content)}, which nothing confirms" in said
    pins = Path("data/pins/set--v3.csv").read_text()
    assert f"FracAtlas.zip,{len(content)},{digest(content)},{server.address('FracAtlas.zip')}\n" in pins
    assert main(params).startswith("3 films of 3 patients, 2 fractures")
    manifest = MANIFEST.read(RAW).set_index("image_id")
    assert set(manifest["source"]) == {"url set v3"}
    assert manifest.loc["a", "source_file"] == "set/v3/FracAtlas/FracAtlas/images/Fractured/a.jpg"
    assert manifest.loc["c", "fractures"] == 0
    # A second time it is not fetched again, and is what was pinned.
    fetch_urls(params)
    assert len(server.calls) == 1
    assert "as pinned" in capsys.readouterr().out
    assert Path("data/pins/set--v3.csv").read_text() == pins


def test_several_files_stand_side_by_side(server: FileServer) -> None:
    server.files = {
        "films.zip": archive_of({name: data for name, data in MEMBERS.items() if name.endswith(".jpg")}),
        "labels.zip": archive_of({name: data for name, data in MEMBERS.items() if name.endswith(".json")}),
        "patients.csv": b"filename,patient_id\na.jpg,1\nb.jpg,1\n",
    }
    params = settings(entry(server, *server.files))
    assert fetch_urls(params) == 3
    assert main(params).startswith("3 films of 2 patients, 2 fractures")
    assert "set/v3/films/FracAtlas/images/Fractured/a.jpg" in set(MANIFEST.read(RAW)["source_file"])


def large(server: FileServer) -> bytes:
    server.files["FracAtlas.zip"] = archive_of(MEMBERS | {"FracAtlas/x.bin": np.random.default_rng(0).bytes(3 * MB)})
    return server.files["FracAtlas.zip"]


def test_a_download_that_is_cut_goes_on(server: FileServer) -> None:
    content = large(server)
    server.cuts = [MB + 77, 2**16 + 5]
    fetch_urls(settings(entry(server)))
    assert [start for _, start, _ in server.calls] == [0, MB, MB + 2**16]
    assert digest(content) in Path("data/pins/set--v3.csv").read_text()
    assert [path.name for path in Path("cache/set/v3").iterdir()] == ["FracAtlas.zip"]


def test_a_download_that_is_always_cut_says_so_and_the_next_call_goes_on(server: FileServer) -> None:
    large(server)
    server.cuts = [MB, 0, 0, 0]
    with pytest.raises(UserError, match=r"FracAtlas\.zip: .*cut 4 times \(1\.0 MB are here.*same command.*downloaded"):
        fetch_urls(settings(entry(server)))
    assert not Path("data/pins").exists()
    fetch_urls(settings(entry(server)))
    assert server.calls[-1] == ("FracAtlas.zip", MB, '"first"')


def test_a_file_that_changed_between_two_attempts_begins_anew(server: FileServer) -> None:
    server.cuts = [100]
    server.answers = []
    params = settings(entry(server))
    part = Path("cache/set/v3/FracAtlas.zip.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 50)
    part.with_name("FracAtlas.zip.part.etag").write_text('"another"')
    fetch_urls(params)
    assert digest(server.files["FracAtlas.zip"]) in Path("data/pins/set--v3.csv").read_text()


def test_a_part_that_is_whole_already_is_no_obstacle(server: FileServer) -> None:
    part = Path("cache/set/v3/FracAtlas.zip.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(server.files["FracAtlas.zip"])
    part.with_name("FracAtlas.zip.part.etag").write_text(server.etag)
    fetch_urls(settings(entry(server)))
    assert main(settings(entry(server))).startswith("3 films")


def test_without_a_network_the_next_step_is_said(server: FileServer) -> None:
    closed = entry(server)
    closed["files"][0]["address"] = "https://127.0.0.1:9/FracAtlas.zip"
    with pytest.raises(UserError, match=r"0\.0 MB are here; no connection, or a broken one.*fetch https://127\.0"):
        fetch_urls(settings(closed))
    closed["files"][0]["address"] = "https://nowhere.invalid/FracAtlas.zip"
    with pytest.raises(UserError, match=r"0\.0 MB are here; no network, or no server of that name\)"):
        fetch_urls(settings(closed))
    assert not Path("data/pins").exists()


def test_a_certificate_that_is_not_trusted_is_said(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(UserError, match=r"a certificate of 127\.0\.0\.1 that this machine trusts.*REQUESTS_CA_BUNDLE"):
        fetch_urls(settings(entry(server)))


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (404, {}, r"found none at its address \(404\); correct `address`"),
        (403, {}, r"this one needs leave \(403\); get it by hand"),
        (429, {"Retry-After": "30"}, r"too many requests \(429\); wait 30 seconds"),
        (202, {}, r"an error of 127\.0\.0\.1's \(202\); try again later"),
        (503, {}, r"an error of 127\.0\.0\.1's \(503\)"),
        (302, {"Location": "http://127.0.0.1:1/plain"}, "expected addresses with https, found a redirect to another"),
        (
            302,
            {"Location": "https://["},
            "found a header, or an address here or in a redirect, that HTTP cannot carry; correct",
        ),
        (200, {}, "expected a zip archive at .*, found a web page"),
    ],
)
def test_each_refusal_has_its_own_sentence(
    status: int, headers: dict[str, str], sentence: str, server: FileServer
) -> None:
    server.answers = [(status, headers)]
    with pytest.raises(UserError, match=sentence) as fault:
        fetch_urls(settings(entry(server)))
    assert "secret" not in str(fault.value)
    assert not Path("data/pins").exists()
    assert not list(Path("cache").rglob("*.zip*"))


def test_a_wrong_checksum_is_not_kept(server: FileServer) -> None:
    wrong = entry(server, file={"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"expected 0{64} as SHA-256, found [0-9a-f]{64}; find out why"):
        fetch_urls(settings(wrong))
    assert not list(Path("cache").rglob("*.zip*"))
    right = entry(server, file={"sha256": digest(server.files["FracAtlas.zip"])})
    fetch_urls(settings(right))


def test_a_known_checksum_is_said(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_urls(settings(entry(server, file={"sha256": digest(server.files["FracAtlas.zip"])})))
    assert "as its entry states" in capsys.readouterr().out


def test_another_size_is_refused_before_its_bytes_come(server: FileServer) -> None:
    large(server)
    with pytest.raises(UserError, match=r"expected 5 bytes at .*, found 31\d+; the data set changed"):
        fetch_urls(settings(entry(server, file={"bytes": 5})))
    assert not list(Path("cache").rglob("*.zip"))


def test_more_than_the_limit_is_not_taken(server: FileServer) -> None:
    limits = read_yaml(ROOT / "params.yaml")["ingest"]["limits"] | {"archive_gb": 1}
    server.answers = [(200, {"Content-Length": str(2 * 2**30)})]
    server.state_length = False
    with pytest.raises(UserError, match=r"2\.0 GB where ingest\.limits\.archive_gb allows 1"):
        fetch_urls(settings(entry(server), limits=limits))


def test_a_truncated_archive_of_unknown_length_is_not_pinned(server: FileServer) -> None:
    server.state_length, server.cuts = False, [500]
    with pytest.raises(UserError, match=r"expected a zip archive at .*, found something else, or a part of one"):
        fetch_urls(settings(entry(server)))
    assert not Path("data/pins").exists()


def test_a_hostile_archive_is_neither_pinned_nor_read(server: FileServer) -> None:
    server.files["FracAtlas.zip"] = archive_of(MEMBERS | {"../../up.png": b"x"})
    with pytest.raises(UserError, match="a path that leads out of the archive"):
        fetch_urls(settings(entry(server)))
    assert not Path("data/pins").exists()


def test_what_is_not_what_was_pinned_is_refused(server: FileServer) -> None:
    params = settings(entry(server))
    with pytest.raises(UserError, match=r"set--v3\.csv: expected the hashes of set version 3.*wrist fetch url"):
        main(params)
    fetch_urls(params)
    pinned = len(server.files["FracAtlas.zip"])
    Path("cache/set/v3/FracAtlas.zip").write_bytes(archive_of(MEMBERS | {"new": b""}))
    for read in (main, fetch_urls):
        with pytest.raises(UserError, match=rf"set--v3\.csv pins.*expected {pinned} bytes, found \d+"):
            read(params)
    # The publisher's file changed: the new one is not taken in silence.
    Path("cache/set/v3/FracAtlas.zip").unlink()
    server.files["FracAtlas.zip"] = archive_of(MEMBERS | {"new": b""})
    with pytest.raises(UserError, match=rf"expected {pinned} bytes at .*the data set changed"):
        fetch_urls(params)
    with pytest.raises(UserError, match=r"expected a file of set version 3, found none; run `wrist fetch url`"):
        main(params)
    server.files["other.csv"] = b""
    with pytest.raises(UserError, match=r"other\.csv: new"):
        fetch_urls(settings(entry(server, "FracAtlas.zip", "other.csv")))


def test_a_damaged_pin_file_is_named(server: FileServer) -> None:
    fetch_urls(settings(entry(server)))
    Path("data/pins/set--v3.csv").write_text("file,bytes\nFracAtlas.zip,many\n")
    with pytest.raises(UserError, match=r"set--v3\.csv: expected the columns file, bytes, sha256, address, and each"):
        main(settings(entry(server)))


@pytest.mark.parametrize(
    ("size", "sha"),
    [
        ("0", "{sha}"),
        ("{size}", ""),
        ("{size}", "{sha}0"),
        ("-{size}", "{sha}"),
        (" {size}", "{sha}"),
        ("0{size}", "{sha}"),
    ],
)
def test_pins_that_would_take_any_file_are_refused(size: str, sha: str, server: FileServer) -> None:
    params = settings(entry(server))
    fetch_urls(params)
    pins = Path("data/pins/set--v3.csv")
    _, was_size, was_sha, address = pins.read_text().split("\n")[1].split(",")
    row = ",".join((size.format(size=was_size), sha.format(sha=was_sha), address))
    pins.write_text(f"file,bytes,sha256,address\nFracAtlas.zip,{row}\n")
    with pytest.raises(UserError, match=r"set--v3\.csv: expected the columns .* with its size and SHA-256"):
        main(params)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"sha256": "c" * 64}, "is not what set--v3.csv pins.*FracAtlas.zip: changed"),
        ({"bytes": 323_000_000}, "expected 323000000 bytes for FracAtlas.zip, as `bytes` of its entry states, found"),
        (
            {"address": "https://example.org/x.zip"},
            "expected the address of FracAtlas.zip in ingest.sources, found ano",
        ),
    ],
)
def test_pins_are_held_to_what_the_entry_states(file: dict[str, Any], message: str, server: FileServer) -> None:
    """Else params.yaml would name one file, and films would come from another one."""
    fetch_urls(settings(entry(server)))
    with pytest.raises(UserError, match=f"(?s){message}"):
        main(settings(entry(server, file=file)))


def test_an_address_that_moved_is_noted_by_the_next_fetch(server: FileServer) -> None:
    fetch_urls(settings(entry(server)))
    moved = settings(entry(server, file={"address": "https://example.org/x.zip"}))
    assert fetch_urls(moved) == 1
    assert "https://example.org/x.zip" in Path("data/pins/set--v3.csv").read_text()
    assert main(moved)


def test_files_that_were_downloaded_by_hand_need_no_connection(server: FileServer) -> None:
    by_hand = settings(entry(server, downloaded="mine"))
    with pytest.raises(UserError, match=r"in/mine/FracAtlas\.zip: expected a file of set version 3, found none; copy"):
        fetch_urls(by_hand)
    Path("in/mine").mkdir()
    Path("in/mine/FracAtlas.zip").write_bytes(archive_of(MEMBERS))
    fetch_urls(by_hand)
    assert main(by_hand).startswith("3 films")
    assert server.calls == []


def test_an_archive_of_another_layout_is_said(server: FileServer) -> None:
    server.files["FracAtlas.zip"] = archive_of({name: data for name, data in MEMBERS.items() if "COCO" not in name})
    fetch_urls(settings(entry(server)))
    with pytest.raises(UserError, match=r"set/v3: expected coco annotations in a \*\.json file"):
        main(settings(entry(server)))


def test_a_subset_needs_all_its_films(server: FileServer) -> None:
    params = settings(entry(server, subset="fracatlas_wrist"))
    fetch_urls(params)
    with pytest.raises(UserError, match=r"subset fracatlas_wrist: expected its 171 films, found 0 \(missing: IMG00"):
        main(params)


def test_a_film_of_a_subset_that_is_not_the_publishers_is_refused(server: FileServer) -> None:
    table = pd.read_csv(TABLE)
    members = drawn_members(list(table["film"][table["fracture"] == 1]), [])
    server.files["FracAtlas.zip"] = archive_of(members)
    params = settings(entry(server, subset="fracatlas_wrist"))
    fetch_urls(params)
    with pytest.raises(UserError, match=r"IMG0000019\.jpg: expected the bytes that data/pins, or the table"):
        main(params)


@needs(FRACATLAS)
def test_fracatlas_as_it_is_packed(server: FileServer) -> None:
    server.files["FracAtlas.zip"] = archive_of(shared_members())
    ready = {"source": "url", "name": "fracatlas", "files": entry(server)["files"]}
    params = settings(ready | {"subset": "fracatlas_wrist"})
    fetch_urls(params)
    output = main(params)
    assert output.startswith("171 films of 81 patients, 192 fractures, 0 files refused"), output
    manifest = MANIFEST.read(RAW)
    assert dict(manifest["split"].value_counts()) == {"train": 120, "test": 40, "spare": 11}
    assert manifest["licence"].str.contains("Abedeen").all()
    stated = pd.read_csv(FRACATLAS / "manifest.csv").set_index("image_id")
    assert set(zip(manifest["image_id"] + ".jpg", manifest["sha256"], strict=True)) <= set(stated["sha256"].items())


@needs(FRACATLAS)
def test_normal_wrists_come_without_side_and_as_patients_of_their_own() -> None:
    subset = Subset(annotations="coco", classes=["fractured"], subset="fracatlas_wrist_with_normals")
    plan = picture_films(Folder(FRACATLAS, Limits()), "folder", subset)
    normal = [film for film in plan.films if film.labels is None]
    assert (len(plan.films), len(normal)) == (196, 25)
    assert {film.split for film in normal} == {""}
    assert len({film.patient for film in normal}) == 25
    assert {film.split for film in plan.films} == {"train", "test", "spare", ""}
    assert all(film.pinned for film in plan.films)


@needs(FRACATLAS)
def test_the_table_of_the_subset_is_the_manifests() -> None:
    table = pd.read_csv(TABLE, keep_default_na=False)
    stated = pd.read_csv(FRACATLAS / "manifest.csv", keep_default_na=False)
    assert list(table["film"]) == list(stated["image_id"])
    assert list(table["fracture"] == 1) == list(stated["kind"] == "fractured")
    for column in ("group", "split", "sha256"):
        assert list(table[column]) == list(stated[column])


@pytest.mark.parametrize("name", [name for name in READY if "/" not in name])
def test_ready_entries_are_complete(name: str) -> None:
    ready = Url.model_validate({"name": name})
    assert ready.classes
    assert "doi" in ready.licence
    text = (ROOT / "docs/how-to/public-data.md").read_text()
    assert name in text
    assert all(file.address.rpartition("/")[2] in text for file in ready.files)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"address": "http://example.org/a.zip"}, "should match pattern"),
        ({"name": "../a.zip"}, "should match pattern"),
        ({"name": "a.tar.gz"}, r"of archives only \.zip is read"),
        ({"sha256": "abc"}, "should match pattern"),
        ({"bytes": -1}, "greater than or equal to 0"),
    ],
)
def test_impossible_files_are_refused(file: dict[str, Any], message: str) -> None:
    whole = {"name": "a.zip", "address": "https://example.org/a.zip"}
    facts = {"name": "set", "version": 1, "annotations": "coco", "licence": "CC0"}
    with pytest.raises(ValidationError, match=message):
        Url.model_validate(facts | {"files": [whole | file]})
    with pytest.raises(ValidationError, match=r"files must name a\.zip once"):
        Url.model_validate(facts | {"files": [whole, whole]})


def test_fetch_needs_an_entry(here: Path) -> None:
    with pytest.raises(UserError, match=r"ingest\.sources: expected an entry of the source url, found none"):
        fetch_urls(settings({"source": "sample"}))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.ConnectTimeout("secret"), "no answer in time"),
        (exceptions.ProxyError("secret"), "the proxy lets nothing through"),
        (exceptions.ChunkedEncodingError("secret"), "an answer that ended too early"),
        (exceptions.ConnectionError(), "no connection, or a broken one"),
    ],
)
def test_why_a_connection_ended_is_said_in_words(error: Exception, words: str) -> None:
    assert why_cut(error) == words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.TooManyRedirects("secret"), "more redirects than are followed"),
        (exceptions.ContentDecodingError("secret"), "one that is not packed as it says"),
        (exceptions.JSONDecodeError("secret", "", 0), "one that is no JSON"),
        (exceptions.RequestException("secret"), "one in a form that nobody foresaw"),
    ],
)
def test_what_an_answer_is_that_is_none_is_said_in_words(error: Exception, words: str) -> None:
    assert why_no_answer(error) == words
