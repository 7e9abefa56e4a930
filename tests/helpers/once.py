"""What libraries compute anew each time, though its result follows from their arguments alone, is computed once.

It was half of the time of the tests of ingest and a third of those of the audit.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from ruamel.yaml import YAML


def compute_once() -> None:
    """Replace slow functions of libraries in this process by those below."""
    jinja2.Environment.compile = compiled_once(jinja2.Environment.compile)  # type: ignore[method-assign]
    YAML.load = loaded_once(YAML.load)  # type: ignore[method-assign]


def dumped_once(dumps: Callable[[Any], str]) -> Callable[[Any], str]:
    """DVC's `dumps_yaml`, which writes a content once: dvc.lock takes 150 ms."""
    answers: dict[bytes, str] = {}

    def answer(content: Any) -> str:
        key = pickle.dumps(content)
        if key not in answers:
            answers[key] = dumps(content)
        return answers[key]

    return answer


def compiled_once(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """`Environment.compile` that compiles a template once: great-expectations makes an environment for each page."""
    answers: dict[Any, Any] = {}

    def answer(self: jinja2.Environment, source: Any, name: str | None = None, *words: Any, **more: Any) -> Any:
        escapes = self.autoescape(name) if callable(self.autoescape) else self.autoescape
        key = (str(source), name, words, *more.items(), escapes, self.finalize, self.is_async, *self.extensions)
        if key not in answers:
            answers[key] = compile_(self, source, name, *words, **more)
        return answers[key]

    return answer


def loaded_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """`YAML.load` that parses a text once: params.yaml takes 30 ms, and dvc.lock longer."""
    answers: dict[tuple[bool, str], bytes] = {}

    def answer(self: YAML, stream: Any) -> Any:
        text = stream.read_text() if isinstance(stream, Path) else stream
        if self.typ != ["safe"] or not isinstance(text, str):
            return load(self, stream)
        key = (self.pure, text)
        if key not in answers:
            answers[key] = pickle.dumps(load(self, stream))
        return pickle.loads(answers[key])  # noqa: S301 - our own, and a copy that the caller may change

    return answer
