"""A server on localhost that speaks as much of Kaggle's API as kagglehub uses to fetch a data set.

POST .../DownloadDataset checks the token and redirects to a storage address, which serves ranges and states an MD5 as
Google's storage does. `answers` holds what the next API calls say instead; `cuts` how many bytes the storage sends
before it drops the connection.
"""

import base64
import hashlib
import json
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.servers import answering

TOKEN = "a-secret-token"


class Kaggle(ThreadingHTTPServer):
    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.calls = content, []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.cuts: list[int] = []
        self.md5 = hashlib.md5(content).digest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Kaggle

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.path, body))
        if self.server.answers:
            status, headers = self.server.answers.pop(0)
            self.answer(status, b"{}", headers | {"Content-Type": "application/json"})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b"{}", {"Content-Type": "application/json"})
        elif not self.path.endswith("/DownloadDataset") or body["datasetSlug"] != "set":
            self.answer(404, b"{}", {"Content-Type": "application/json"})
        else:
            self.answer(302, b"", {"Location": f"http://127.0.0.1:{self.server.server_port}/storage/archive.zip"})

    def do_GET(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        self.server.calls.append((self.path, start))
        part = self.server.content[start:]
        md5 = base64.b64encode(self.server.md5).decode()
        headers = {"Accept-Ranges": "bytes", "X-Goog-Hash": f"md5={md5}", "Content-Type": "application/zip"}
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.answer(206 if start else 200, part, headers, cut)

    def answer(self, status: int, content: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        pass


def serving(content: bytes) -> AbstractContextManager[Kaggle]:
    return answering(Kaggle(content))
