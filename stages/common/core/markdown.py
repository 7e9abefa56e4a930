"""Text of others in Markdown: names of files, sources and classes, licences, reasons."""

import re

SIGNS = {"<": "&lt;", "|": "\\|"}


def plain(text: str) -> str:
    """One line that shows the text as it is: it begins no tag, entity, cell, link, picture or block of Markdown."""
    line = " ".join(text.split()) if re.search(r"[\r\n\v\f\x85\u2028\u2029]", text) else text
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)
    line = re.sub(r"\](?=[(\[:])", r"\\]", line)
    return re.sub(r"[<|]", lambda sign: SIGNS[sign[0]], line)


def without_escapes(text: str) -> str:
    """The text that a person wrote, of one line or page in which `plain` escaped it."""
    text = re.sub(r"\\(\||\](?=[(\[:]))", r"\1", text.replace("&lt;", "<"))
    return re.sub(r"&amp;(?=#?\w+;)", "&", text)
