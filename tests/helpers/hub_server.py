"""A server on localhost that speaks as much of a Hugging Face hub's protocol as its client uses to fetch a file.

`files` holds contents by `repository/name`, whatever the revision. What is not there is answered as the hub does.
"""

import hashlib
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.servers import answering


class Hub(ThreadingHTTPServer):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = files, list[str]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.serve(body=False)

    def do_GET(self) -> None:
        self.serve(body=True)

    def serve(self, body: bool) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        name = f"{repository}/{rest.partition('/')[2]}"
        self.server.asked.append(name)
        content = self.server.files.get(name)
        known = any(path.startswith(f"{repository}/") for path in self.server.files)
        code = "" if content is not None else "EntryNotFound" if known else "RepoNotFound"
        self.send_response(404 if content is None else 200)
        headers = {"X-Error-Code": code} if code else {}
        content = content or b""
        headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "a" * 40}
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def serving(files: dict[str, bytes]) -> AbstractContextManager[Hub]:
    """A hub that runs while the block does."""
    return answering(Hub(files))
