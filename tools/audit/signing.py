"""Signed evidence: every output by SHA-256 beside DVC's md5, under an Ed25519 key from outside of the project."""

import base64
import json
from pathlib import Path
from typing import Any, TypedDict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from stages.common.core.errors import UserError, error_list
from stages.common.core.files import write_bytes, write_text
from stages.common.core.hashing import sha256
from stages.common.core.printed import one_line
from tools.audit.check_params import differences
from tools.audit.dvc_cache import file_md5, files_below
from tools.audit.findings import Check
from tools.audit.own_output import json_of, require_own_output
from tools.audit.repository import git
from tools.audit.trace import Project
from tools.audit.verify import verify

SIGNATURE_BYTES = 64  # of Ed25519 (RFC 8032)
HOW_TO_MAKE = {
    "private": "make one with `openssl genpkey -algorithm ed25519 -out private.pem`",
    "public": "`openssl pkey -in private.pem -pubout -out public.pem` makes it of the private one",
}


class StageRecord(TypedDict):
    """What ran on what. deps, outs: md5 by path."""

    command: str
    params: dict[str, Any]
    deps: dict[str, str]
    outs: dict[str, str]


EVIDENCE = "evidence.json"  # which .gitignore lists


class FileRecord(TypedDict):
    path: str
    stage: str
    md5: str
    sha256: str


class Evidence(TypedDict):
    """The signed document: the stages by name, and every file of every output."""

    commit: str
    stages: dict[str, StageRecord]
    files: list[FileRecord]


def evidence(project: Project) -> Evidence:
    """What was run on what, as one document: the same bytes for the same project."""
    stages: dict[str, StageRecord] = {
        stage.name: {"command": stage.command, "params": stage.params, "deps": stage.deps, "outs": stage.outs}
        for stage in project.lock.stages.values()
    }
    return {"commit": git(project.root, "rev-parse", "HEAD").strip(), "stages": stages, "files": output_files(project)}


def output_files(project: Project) -> list[FileRecord]:
    """Every file of every output.

    Raises:
        UserError: an output is not here.
    """
    files: list[FileRecord] = []
    for out, stage in sorted(project.lock.makers.items()):
        path = project.root / out
        if not path.exists():
            raise UserError(f"{out}: expected an output of {stage.name}, found none; run `dvc checkout` or `dvc pull`")
        names = [out] if path.is_file() else [f"{out}/{name}" for name in sorted(files_below(project.root, out))]
        for name in names:
            file = project.root / name
            files.append({"path": name, "stage": stage.name, "md5": file_md5(file), "sha256": sha256(file)})
    return files


def sign(project: Project, key: Path, target: Path) -> int:
    """Write the evidence and, beside it, its signature (base64); returns the number of files in it.

    Raises:
        UserError: the key cannot be used, a file of others would be replaced, an output is missing, or `verify
            --deep` finds a discrepancy.
    """
    private = read_key(key, private=True)
    assert isinstance(private, Ed25519PrivateKey)
    require_own_output(target, is_evidence)
    require_own_output(signature_of(target), is_signature)
    if target.resolve().is_relative_to(project.root) and target.resolve() != project.root / EVIDENCE:
        raise UserError(f"{target}: expected {EVIDENCE}, or a file outside of the project; verify would name another")
    if wrong := verify(project, deep=True).wrong:
        raise error_list(
            "sign: expected a project without discrepancies, found these; correct them first",
            [one_line(f"{finding.kind} {finding.name}: {finding.message}") for finding in wrong],
        )
    document = evidence(project)
    content = written(document)
    write_bytes(target, content)
    write_text(signature_of(target), base64.b64encode(private.sign(content)).decode() + "\n")
    return len(document["files"])


def written(document: Evidence) -> bytes:
    """The one form in which evidence is written and signed."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def is_evidence(content: bytes) -> bool:
    return json_of(content).keys() == Evidence.__annotations__.keys()


def is_signature(content: bytes) -> bool:
    """Whether a file has the form of a signature: 64 bytes in base64."""
    try:
        return len(base64.b64decode(content.strip(), validate=True)) == SIGNATURE_BYTES
    except ValueError:
        return False


def signature_of(document: Path) -> Path:
    return document.with_name(f"{document.name}.sig")


def check_evidence(project: Project, document: Path, key: Path, check: Check) -> None:
    """A signed document against its signature, and all that it says against what is here.

    Args:
        project: whose files are hashed.
        document: of `sign`.
        key: the public key (PEM).
        check: gets the discrepancies.
    """
    public = read_key(key, private=False)
    assert isinstance(public, Ed25519PublicKey)
    content, signature = (read_evidence(path) for path in (document, signature_of(document)))
    try:
        public.verify(base64.b64decode(signature.strip(), validate=True), content)
    except (InvalidSignature, ValueError):
        check.add(str(document), "mismatch", f"its signature is not by the key {key}; nothing in it can be trusted")
        return
    here = evidence(project)
    if content == written(here):
        return
    before = len(check.findings)
    try:
        signed = json.loads(content)
        for name, value, actual in differences(str(document), by_name(signed), by_name(here)):
            where = name.removeprefix(f"{document}.files.") if ".files." in name else name
            kind = "missing" if actual is None else "extra" if value is None else "mismatch"
            check.add(where, kind, f"signed is {value}, here is {actual}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        check.add(str(document), "mismatch", "it is signed, and not a document that `wrist audit sign` writes")
    if len(check.findings) == before:  # keys or files that stand there twice, or in another order
        check.add(str(document), "mismatch", "it does not have the form in which `wrist audit sign` writes it")


def read_evidence(path: Path) -> bytes:
    """
    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"--signed {path}: expected a file of `wrist audit sign`, found none; correct the path")
    return path.read_bytes()


def by_name(document: Any) -> dict[str, Any]:
    """A signed document with the SHA-256 and the rest of each file by its path."""
    files = {item["path"]: " ".join(f"{key} {item[key]}" for key in sorted(item)) for item in document["files"]}
    return {**document, "files": files}


def read_key(path: Path, private: bool) -> Ed25519PrivateKey | Ed25519PublicKey:
    """
    Raises:
        UserError: there is no such key.
    """
    kind = "private" if private else "public"
    if not path.is_file():
        raise UserError(f"--key {path}: expected an Ed25519 {kind} key (PEM), found no file; {HOW_TO_MAKE[kind]}")
    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None) if private else load_pem_public_key(content)
    except (ValueError, TypeError):
        raise UserError(
            f"--key {path}: expected an Ed25519 {kind} key (PEM), found another file; {HOW_TO_MAKE[kind]}"
        ) from None
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise UserError(f"--key {path}: expected an Ed25519 {kind} key, found another kind; {HOW_TO_MAKE[kind]}")
    return key
