"""Parameters that stages ran with against params.yaml, here and in git."""

from collections.abc import Iterator
from typing import Any
from unicodedata import category

from stages.common.core.errors import UserError
from stages.common.core.params import hidden_characters
from stages.common.data.layout import PARAMS
from tools.audit.check_record import PIPELINE
from tools.audit.findings import Check
from tools.audit.repository import git
from tools.audit.trace import Project
from tools.audit.yaml_files import lookup, params_here, read_yaml

# Letters and marks that look like nothing, or like a blank, beside those of kind Zs (Default_Ignorable_Code_Point).
BLANK = {"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u2800", "\u3164", "\uffa0"}
BLANK |= {
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}


def check_characters(project: Project, check: Check) -> None:
    """Name characters by which params.yaml or dvc.yaml could say another thing to programs than to a reader."""
    for name in (str(PARAMS), PIPELINE):
        text = (project.root / name).read_bytes().decode(errors="replace")
        for line, character in hidden_characters(text):
            check.add(f"{name}: line {line}", "mismatch", f"{character}, which readers do not see; remove it")
        for key, letter in blank_letters(read_yaml(name, text)):
            message = f"{letter}, which readers do not see, or take for a blank; remove it"
            check.add(f"{name}: {key}", "mismatch", message)


def blank_letters(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Letters in keys and values that look like nothing, or like a blank, each with the key; comments may have any.

    Args:
        content: of params.yaml or dvc.yaml, or a part of it.
        key: dotted, of the part.
    """
    if isinstance(content, dict):
        for name, value in content.items():
            yield from blank_letters(str(name), f"{key}.{name}")
            yield from blank_letters(value, f"{key}.{name}")
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from blank_letters(value, f"{key}.{number}")
    elif isinstance(content, str):
        for letter in content:
            if letter in BLANK or (category(letter) == "Zs" and letter != " "):
                yield key.removeprefix("."), f"U+{ord(letter):04X}"


def check_params(project: Project, check: Check) -> None:
    """Params that stages ran with against params.yaml here and in git.

    Stages read one param by keys of several depths (train.optimiser, train): it is named once, by the shortest.
    """
    text = (project.root / PARAMS).read_text()
    here = params_here(project.root)
    try:
        last = git(project.root, "show", f"HEAD:./{PARAMS}")
        committed = here if last == text else read_yaml(f"{PARAMS} of the last commit", last)
    except UserError:
        committed = None
    messages: dict[str, str] = {}
    for stage in project.lock.stages.values():
        for key, value in stage.params.items():
            for where, params in ((str(PARAMS), here), (f"{PARAMS} of the last commit", committed)):
                for leaf, expected, actual in differences(key, value, lookup(params, key) if params else value):
                    has = "no such key" if actual is None else actual
                    messages.setdefault(leaf, f"{stage.name} ran with {expected}, {where} has {has}")
    for leaf, message in messages.items():
        if not any(leaf.startswith(f"{other}.") for other in messages):
            check.add(f"{PARAMS}: {leaf}", "mismatch", message)


def differences(key: str, expected: Any, actual: Any) -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ, by their dotted name; one that is not there has None, and differs from one that is None."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            found = expected.get(name), actual.get(name)
            if name in expected and name in actual:
                yield from differences(f"{key}.{name}", *found)
            else:
                yield f"{key}.{name}", *found
    elif not is_same(expected, actual):
        yield key, expected, actual


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are one: 0 and 0.0 are for a stage, 1 and `true` are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
