"""The comments of params.yaml, docs/reference/params.md and params.schema.json say what the models say."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.params_reference import Schema, commented, written
from stages import STAGES, read_params, section_model
from stages.common.data.layout import PARAMS
from tests.helpers.params import merge, read_yaml, write_yaml
from tests.helpers.paths import ROOT
from tools.params_file import change

SCHEMA = Schema.of_models()


def test_no_file_is_stale() -> None:
    for name, text in written(ROOT).items():
        assert (ROOT / name).read_text() == text, f"{name}: run `make reference`"


def test_params_yaml_as_shipped_holds_the_defaults() -> None:
    content = read_params(ROOT / "params.yaml")
    for stage in STAGES:
        model = section_model(stage)
        assert model.model_validate(content[stage]) == model(), stage


def keys(node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that may stand below a node, also in entries, whose names are left out."""
    for key, leaf in SCHEMA.leaves(node):
        yield key, leaf
        tag, entries = SCHEMA.entries(leaf) or ("", {})
        for name, entry in entries.items():
            yield from ((f"{key}.{name}.{below}", node) for below, node in keys(entry) if below != tag)


def test_every_key_has_a_meaning_and_every_number_its_bounds() -> None:
    found = dict(keys(SCHEMA.content))
    assert len(found) > 100
    assert [key for key, leaf in found.items() if not leaf.get("description")] == []
    numbers = {key: leaf for key, leaf in found.items() if leaf.get("type") in ("integer", "number")}
    assert [k for k, leaf in numbers.items() if not {"minimum", "exclusiveMinimum", "enum"} & set(leaf)] == []


@pytest.mark.parametrize("line", ["    clip: 1.0   # > 0; cuts", "    clip: 1.0", "    clip: 7.0 # 0..1"])
def test_a_wrong_comment_is_replaced_and_its_value_stays(line: str) -> None:
    text = (ROOT / "params.yaml").read_text()
    (right,) = (old for old in text.splitlines() if old.lstrip().startswith("clip:"))
    assert "# 0 < x <= 1000000; " in right
    expected = right.replace("1.0", line.split()[1])
    assert commented(SCHEMA, text.replace(right, line)) == text.replace(right, expected)


def test_a_long_comment_goes_on_below_and_other_comments_stay() -> None:
    text = f"# by hand\ntrain:\n  # by hand, too\n  seeds: [1]\n{' ' * 27}# old\n\nreport: {{tolerance: {{}}}}\n"
    lines = commented(SCHEMA, text).splitlines()
    assert lines[:3] == ["# by hand", "train:", "  # by hand, too"]
    assert lines[3].startswith("  seeds: [1]               # list (>= 1) of 0..4294967295; ")
    assert [line[:29] for line in lines[4:-2]] == [f"{'':<27}# "]
    assert lines[-2:] == ["", "report: {tolerance: {}}    # 0..1"]


@pytest.mark.parametrize(
    "value",
    [
        '"data/in #coming"  # mine',
        "'it''s #1'",
        "it's#1  # mine",
        f'"{"a" * 150}"',
        '"abc\n    # d"',
        f"|-  # mine\n{' ' * 24}abc\n{' ' * 24}# d",
    ],
)
def test_what_is_set_leaves_all_other_values_as_they_are(value: str, tmp_path: Path) -> None:
    """A # in quotes begins no comment, and a line may be longer than those that this project writes."""
    (line,) = (line for line in (ROOT / PARAMS).read_text().splitlines() if line.startswith("  inbox:"))
    path = tmp_path / PARAMS
    path.write_text((ROOT / PARAMS).read_text().replace(line, f"  inbox: {value}"))
    before = read_yaml(path)
    for number in (7, 8):  # what the first call wrote is read again
        change(path, {"train.seeds": [number]})
        assert read_yaml(path) == merge(before, {"train": {"seeds": [number]}})


WRONG: list[dict[str, Any]] = [
    {"train": {"adaptive": "linaer"}},
    {"train": {"adaptive": {"method": "dwa"}}},  # with the keys of linear
    {"train": {"optimiser": {"clip": 0}}},
    {"preprocess": {"steps": ["imresize", {"step": "medfilt2", "window_px": 4}]}},
    {"train": {"loop": {"epochs": 2.5}}},
    {"threshold": {"colour": "red"}},
]
RIGHT: list[dict[str, Any]] = [
    {},
    {"train": {"adaptive": "dwa"}},
    {"preprocess": {"steps": ["mat2gray", {"step": "imresize"}, {"step": "clahe", "tiles": 4}]}},
]


def test_an_editor_takes_what_the_models_take_and_refuses_what_they_refuse(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.yaml" for number in range(len(WRONG) + len(RIGHT))]
    for file, values in zip(files, [*WRONG, *RIGHT], strict=True):
        write_yaml(file, merge(read_yaml(ROOT / "params.yaml"), values))
    words = ["-m", "check_jsonschema", "--schemafile", str(ROOT / "params.schema.json"), "--output-format", "json"]
    done = subprocess.run([sys.executable, *words, *map(str, files)], capture_output=True, text=True, check=False)
    refused = {Path(error["filename"]) for error in json.loads(done.stdout)["errors"]}
    assert refused == set(files[: len(WRONG)])
