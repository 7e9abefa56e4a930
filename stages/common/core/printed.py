"""Texts as a terminal may get them: names of files can hold what ends a line or what a terminal obeys."""


def one_line(text: str) -> str:
    """A text with escapes for what ends a line or what a terminal obeys, so that no forged name hides another."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def plain_lines(text: str) -> str:
    """A text of several lines with escapes for all that a terminal obeys beside their ends."""
    return "\n".join(map(one_line, text.split("\n")))
