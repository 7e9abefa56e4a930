"""Downloads over connections that may break: tried a few times, and resumed by any later call."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.common.core.errors import UserError

TRIES = 4
AGAIN = "run the same command again: it goes on where it stopped"


class Broken(Exception):
    """A connection that ended too early."""


def persist(label: str, path: Path, attempt: Callable[[], None], otherwise: str = "") -> None:
    """Call `attempt`, which goes on from what `path` holds, until it ends well.

    Args:
        label: what messages call the download.
        path: the file that grows.
        attempt: raises Broken where the connection ended too early.
        otherwise: what a user without a connection can do.
    Raises:
        UserError: the connection broke each time.
    """
    for left in reversed(range(TRIES)):
        try:
            attempt()
            return
        except Broken as cut:
            if not left:
                size = path.stat().st_size if path.exists() else 0
                raise UserError(
                    f"{label}: expected a whole download, found the connection cut {TRIES} times "
                    f"({size / 2**20:.1f} MB are here; {cut}); {AGAIN}{otherwise}"
                ) from None
            time.sleep(0.5 * (TRIES - left))


def why_cut(error: Exception) -> str:
    """Why a connection ended, or never was, in words; an error of requests quotes addresses with their tokens."""
    from requests import exceptions

    reason = getattr(error.args[0], "reason", None) if error.args else None
    kinds = (
        (exceptions.Timeout, "no answer in time"),
        (exceptions.ProxyError, "the proxy lets nothing through"),
        (exceptions.ChunkedEncodingError, "an answer that ended too early"),
    )
    unknown = "no network, or no server of that name" if type(reason).__name__ == "NameResolutionError" else ""
    return unknown or next(
        (words for kind, words in kinds if isinstance(error, kind)), "no connection, or a broken one"
    )


def why_no_answer(error: Exception) -> str:
    """What an answer is that nothing can be done with, in words."""
    from requests import exceptions

    kinds = (
        (exceptions.TooManyRedirects, "more redirects than are followed"),
        (exceptions.ContentDecodingError, "one that is not packed as it says"),
        (exceptions.InvalidJSONError, "one that is no JSON"),
        (ValueError, "a header, or an address here or in a redirect, that HTTP cannot carry"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), "one in a form that nobody foresaw")


def explain(answer: Any, sentences: dict[int, str], owner: str) -> str:
    """A sentence for what a server answered; neither its text nor the request is quoted: they may hold credentials.

    Args:
        answer: of requests.
        sentences: of this server, by status.
        owner: of the server.
    """
    status, waits = answer.status_code, answer.headers.get("Retry-After", "")
    pause = f"{waits} seconds" if waits.isdecimal() else "some minutes"
    busy = {429: f"expected to be served, found too many requests (429); wait {pause}, then {AGAIN}"}
    other = f"expected an answer, found an error of {owner}'s ({status}); try again later"
    return (busy | sentences).get(status, other)
