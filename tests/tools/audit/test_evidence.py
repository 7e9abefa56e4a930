"""Signatures: openssl checks ours, and what is not as signed is named."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stages.common.core.errors import UserError
from tests.helpers.commands import wrist
from tests.helpers.files import flipped
from tests.helpers.forgeries import forgeries
from tests.helpers.processes import run
from tools.audit import signing
from tools.audit.findings import Check
from tools.audit.trace import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    run(folder, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "private.pem")
    run(folder, "openssl", "pkey", "-in", "private.pem", "-pubout", "-out", "public.pem")
    return folder


def verified(keys: Path) -> int:
    return wrist("audit", "verify", "--signed", "evidence.json", "--key", str(keys / "public.pem"))


def test_what_was_signed_is_verified_also_by_openssl(project: Path, keys: Path, tmp_path: Path) -> None:
    assert wrist("audit", "sign", "--key", str(keys / "private.pem")) == 0
    assert verified(keys) == 0
    (tmp_path / "sig").write_bytes(base64.b64decode((project / "evidence.json.sig").read_text()))
    run(
        project, "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys / "public.pem"), "-rawin",
        "-in", "evidence.json", "-sigfile", str(tmp_path / "sig"),
    )  # fmt: skip
    first = (project / "evidence.json").read_bytes()
    wrist("audit", "sign", "--key", str(keys / "private.pem"))
    assert (project / "evidence.json").read_bytes() == first
    document = json.loads(first)
    assert {item["path"] for item in document["files"]} >= {"models/adaptive/seed-1-fold-1/weights.safetensors"}
    assert all(len(item["sha256"]) == 64 and len(item["md5"]) == 32 for item in document["files"])
    line = run(project, "sha256sum", document["files"][0]["path"])
    assert line.startswith(document["files"][0]["sha256"])


def test_a_changed_document_and_a_changed_file_are_named(
    project: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrist("audit", "sign", "--key", str(keys / "private.pem"))
    capsys.readouterr()
    with flipped(project / "evidence.json"):
        assert verified(keys) == 1
        assert "its signature is not by the key" in capsys.readouterr().out
    with flipped(project / "models/adaptive/seed-1-fold-1/weights.safetensors"):
        assert verified(keys) == 1
        assert "mismatch  models/adaptive/seed-1-fold-1/weights.safetensors" in capsys.readouterr().out


def test_a_signature_with_other_bytes_among_its_own_is_none(
    project: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads it by another program would find a note in it, or another signature."""
    wrist("audit", "sign", "--key", str(keys / "private.pem"))
    signature = project / "evidence.json.sig"
    before = signature.read_text()
    signature.write_text(f"! {before}")
    capsys.readouterr()
    assert verified(keys) == 1
    assert "its signature is not by the key" in capsys.readouterr().out
    signature.write_text(before)


def test_what_killed_calls_left_of_a_document_goes(project: Path, keys: Path, tmp_path: Path) -> None:
    """A document that is called [e].json is no pattern."""
    for name in (".[e].json-partial-1a2b", ".[e].json.sig-partial-3", ".e.json-partial-4"):
        (tmp_path / name).touch()
    wrist("audit", "sign", "--key", str(keys / "private.pem"), "--output", str(tmp_path / "[e].json"))
    assert {path.name for path in tmp_path.iterdir()} == {"[e].json", "[e].json.sig", ".e.json-partial-4"}


@pytest.mark.parametrize("spoilt", ["e.json", "e.json.sig"])
@pytest.mark.parametrize("content", ["mine", "{}", "[]", '{"commit": "", "files": []}'])
def test_evidence_replaces_nothing_but_evidence(
    spoilt: str, content: str, project: Path, keys: Path, tmp_path: Path
) -> None:
    (tmp_path / spoilt).write_text(content)
    with pytest.raises(UserError, match=rf"{spoilt}: expected a new file or one of this command's"):
        wrist("audit", "sign", "--key", str(keys / "private.pem"), "--output", str(tmp_path / "e.json"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {spoilt: content}


def test_evidence_replaces_no_key_no_folder_and_no_link_to_a_file_of_others(
    project: Path, keys: Path, tmp_path: Path
) -> None:
    key, link = keys / "private.pem", tmp_path / "link.json"
    before = key.read_bytes()
    link.symlink_to(key)
    for target in (key, link, tmp_path, project / "dvc.lock"):
        with pytest.raises(UserError, match="expected a new file or one of this command's"):
            wrist("audit", "sign", "--key", str(key), "--output", str(target))
    assert key.read_bytes() == before
    assert link.is_symlink()


def test_a_workspace_that_is_already_wrong_is_not_signed(project: Path, keys: Path) -> None:
    (project / "evidence.json").unlink(missing_ok=True)
    with (
        flipped(project / "reports/comparison.csv"),
        pytest.raises(UserError, match=r"without discrepancies, .*\n.*mismatch reports/comparison\.csv"),
    ):
        wrist("audit", "sign", "--key", str(keys / "private.pem"))
    assert not (project / "evidence.json").exists()


def test_each_field_of_a_signed_document_is_held_to_what_is_here(
    project: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer signs something else: each field changed, struck, doubled or swapped, and no document at all."""
    found = Project(project)
    whole = signing.evidence(found)
    document = {**whole, "stages": {"train": whole["stages"]["train@adaptive-1-1"]}, "files": whole["files"][:2]}
    monkeypatch.setattr(signing, "evidence", lambda project: document)
    forged = [("none", None), ("list", []), ("mapping", {}), ("number", 3), ("word", "x"), ("untouched", document)]
    key = signing.read_key(keys / "private.pem", private=True)
    assert isinstance(key, Ed25519PrivateKey)
    called_good, target = [], tmp_path / "evidence.json"
    for name, content in [*forged, *forgeries(document)]:
        target.write_bytes(signing.written(content))
        (tmp_path / "evidence.json.sig").write_bytes(base64.b64encode(key.sign(target.read_bytes())))
        check = Check()
        signing.check_evidence(found, target, keys / "public.pem", check)
        if not check.findings:
            called_good.append(name)
    assert called_good == ["untouched"]


def test_a_signed_file_that_no_program_can_read_is_named_and_a_folder_refused(
    project: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, target = Project(project), tmp_path / "evidence.json"
    key = signing.read_key(keys / "private.pem", private=True)
    assert isinstance(key, Ed25519PrivateKey)
    monkeypatch.setattr(signing, "evidence", lambda project: {})
    for content in (b"[" * 100_000, b"1" * 5_000, b"\xff", b"", b'{"files": [[]]}', b'{"files": {"a": 1}}'):
        target.write_bytes(content)
        (tmp_path / "evidence.json.sig").write_bytes(base64.b64encode(key.sign(content)))
        check = Check()
        signing.check_evidence(found, target, keys / "public.pem", check)
        assert [finding.name for finding in check.findings] == [str(target)]
    with pytest.raises(UserError, match="expected a file of `wrist audit sign`, found none"):
        signing.check_evidence(found, tmp_path, keys / "public.pem", Check())


def test_evidence_in_the_project_has_the_one_name_that_verify_knows(own: Path, keys: Path) -> None:
    for name in ("evidence-2026.json", "reports/evidence.json"):
        with pytest.raises(UserError, match=rf"{name}: expected evidence.json, or a file outside of the project"):
            wrist("audit", "sign", "--key", str(keys / "private.pem"), "--output", name)
        assert not (own / name).exists()


def test_another_key_is_refused(project: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrist("audit", "sign", "--key", str(keys / "private.pem"))
    run(tmp_path, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "private.pem")
    run(tmp_path, "openssl", "pkey", "-in", "private.pem", "-pubout", "-out", "public.pem")
    assert verified(tmp_path) == 1
    assert "its signature is not by the key" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "said"), [("", "found another file; make one"), (None, "found no file; make one")])
def test_a_key_that_is_none_is_one_sentence(content: str | None, said: str, project: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key.pem").write_text(content)
    words = ["wrist", "audit", "sign", "--key", str(tmp_path / "key.pem")]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected an Ed25519 private key (PEM)" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
