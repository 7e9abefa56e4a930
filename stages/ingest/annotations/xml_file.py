"""What the readers of XML annotations share: a parser that keeps line numbers and refuses entities (XML bombs)."""

from math import isfinite
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import errors

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from stages.ingest.problems import Unreadable

LINE = ":line"  # no attribute of a well-formed file can have this name

# What is wrong by the parser's numbers, in words of ours; the rest breaks the rules.
WORDS = {
    errors.codes[errors.XML_ERROR_NO_ELEMENTS]: "no whole element",
    errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN]: "a tag that is cut off",
    errors.codes[errors.XML_ERROR_TAG_MISMATCH]: "the end of another element",
    errors.codes[errors.XML_ERROR_DUPLICATE_ATTRIBUTE]: "an attribute twice",
    errors.codes[errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]: "text after the end",
}


class LineParser(DefusedXMLParser):  # type: ignore[misc]
    """A parser that notes where each element starts."""

    def _start(self, *arguments: Any) -> Any:
        element = super()._start(*arguments)
        element.set(LINE, str(self.parser.CurrentLineNumber))
        return element


def parse(content: bytes, root: str, what: str) -> Element:
    """The root element, which must have the given tag."""
    fix = "export the annotation again"
    try:
        parser = LineParser(forbid_dtd=True)
        parser.feed(content)
        element: Element = parser.close()
    except ParseError as error:
        (line, column), why = error.position, WORDS.get(error.code, "it breaks the rules")
        raise Unreadable(what, f"no well-formed XML ({why}, column {column + 1})", fix, line) from None
    except DefusedXmlException:
        raise Unreadable(what, "a document type with entities, which no annotation needs", fix) from None
    except (ValueError, LookupError):
        raise Unreadable(what, "XML in an encoding that cannot be read", fix) from None
    if element.tag != root:
        raise Unreadable(what, f"a root element <{element.tag[:40]}>", fix, line_of(element))
    return element


def line_of(element: Element) -> int:
    return int(element.get(LINE, 0))


def number(text: str | None, what: str, element: Element) -> float:
    try:
        value = float((text or "").strip())
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise Unreadable(f"a number in {what}", repr((text or "")[:40]), "correct the annotation", line_of(element))
    return value


def child_number(parent: Element, tag: str) -> float:
    child = parent.find(tag)
    return number(None if child is None else child.text, f"<{tag}>", parent if child is None else child)
