"""A stand-in terminal, at which `busy` speaks at once."""

import io

import pytest

from stages.common.core import busy


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def speak_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `busy` wait for no seconds before it speaks, and between two words."""
    monkeypatch.setattr(busy, "FIRST", 0.01)
    monkeypatch.setattr(busy, "NEXT", 0.01)
