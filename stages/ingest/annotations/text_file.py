"""Annotation files as text."""

from stages.ingest.problems import Unreadable


def text_of(content: bytes) -> str:
    """UTF-8 text, with or without a byte-order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            "text in UTF-8", f"another encoding (byte {error.start + 1} is none of UTF-8)", "save it as UTF-8"
        ) from None
