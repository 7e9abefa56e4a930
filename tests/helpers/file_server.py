"""A server of files by HTTPS on localhost, with ranges, ETags and faults.

`cuts` holds how many bytes each of the next answers sends before it drops the connection, `answers` what the next
requests get instead of the file, `calls` the first byte and the validator that were asked for.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.helpers.servers import answering


class FileServer(ThreadingHTTPServer):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.etag = '"first"'
        self.calls: list[tuple[str, int, str]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.cuts: list[int] = []
        self.state_length = True

    def address(self, name: str) -> str:
        return f"https://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that distrusts the certificate hangs up, which is no news."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server, name, same = self.server, self.path.lstrip("/"), self.headers.get("If-Range", "")
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        server.calls.append((name, start, same))
        if server.answers:
            status, headers = server.answers.pop(0)
            return self.answer(status, b"<html>secret</html>", headers)
        content = server.files[name]
        start = start if same == server.etag else 0
        headers = {"ETag": server.etag}
        if start >= len(content) > 0:
            return self.answer(416, b"", headers)
        headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        return self.answer(206 if start else 200, content[start:], headers, server.cuts.pop(0) if server.cuts else None)

    def answer(self, status: int, content: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        length = {"Content-Length": str(len(content))} if self.server.state_length else {}
        for name, value in (length | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, *arguments: Any) -> None:
        pass


def write_certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that it signed itself, with its key, as a PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(pem) + secret)
    return path


@contextmanager
def serving(files: dict[str, bytes], certificate: Path) -> Iterator[FileServer]:
    """A server of `files` by name, as long as the block lasts."""
    server = FileServer(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with answering(server):
        yield server
