import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import read_params
from stages.common.core.errors import UserError
from stages.evaluate.params import Params as Evaluate
from tests.helpers.params import merge, read_yaml
from tests.helpers.paths import ROOT


def write(path: Path, content: Any) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)
    return path


def test_the_shipped_file_is_accepted() -> None:
    assert set(read_params(ROOT / "params.yaml")) == {
        "ingest",
        "preprocess",
        "threshold",
        "annotate",
        "train",
        "evaluate",
        "report",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"adaptive": {"alpha": {"start": "banana"}}}}, r"train\.adaptive\.alpha\.start.*'banana'"),
        (
            {"train": {"adaptive": {"alpha": {"stat": 0.1}}}},
            r"train\.adaptive\.alpha\.stat: there is no such parameter",
        ),
        ({"train": {"adaptive": {"alpha": {"start": -0.1}}}}, r"alpha\.start.*greater than or equal to 0"),
        ({"train": {"loop": {"epochs": True}}}, r"train\.loop\.epochs"),
        ({"train": {"loop": {"epochs": 2.5}}}, r"train\.loop\.epochs.*2\.5"),
        ({"train": {"optimiser": {"learning_rate": float("nan")}}}, r"train\.optimiser\.learning_rate"),
        ({"preprocess": {"steps": ["crop", "crop", "imresize"]}}, "no step twice"),
        (
            {"annotate": {"split": {"by": "x"}}},
            r"annotate\.split: expected 'by' as one of 'drawn', 'given', found 'x'",
        ),
        ({"annotate": {"split": ["drawn"]}}, r"annotate\.split: expected keys with values \(found \['drawn'\]\)"),
        ({"ingest": {"sources": [{"seed": 1}]}}, r"ingest\.sources\.0: expected the key 'source', which says what"),
        ({"preprocess": {"steps": ["crop"]}}, "must name `imresize`"),
        ({"preprocess": {"size": 100}}, r"preprocess\.size.*multiple of 32"),
        (
            {"preprocess": {"steps": ["imresize", {"step": "imadjust", "low": 0.5, "high": 0.5}]}},
            r"preprocess\.steps\.1: .*low must be below high",
        ),
        (
            {"preprocess": {"steps": ["imresize", {"step": "clahe", "levels": 64}]}},
            r"preprocess\.steps\.1: step clahe has no levels \(its keys: clip, tiles\);.* preprocess\.steps\.1=clahe$",
        ),
        (
            {"train": {"adaptive": {"method": "dwa"}}},
            r"train\.adaptive: method dwa has no alpha, beta, beta_reading \(its keys: .*temperature\); remove .* "
            r"-S train\.adaptive=dwa, .* -S '~train\.adaptive' -S '\+train\.adaptive=\{method: dwa, .*\}'",
        ),
        (
            {"train": {"adaptive": "linaer"}},
            r"adaptive: expected 'method' as one of 'fixed', .*, found 'linaer'",
        ),
        ({"train": {"adaptive": {"alpha": 0.5}}}, r"train\.adaptive\.alpha: expected keys with values \(found 0\.5\)"),
        ({"train": {"adaptive": None}}, r"train\.adaptive: .*None"),
        (
            {"annotate": {"split": {"validation": 61}}},
            "annotate.split: .*at most half of the 120 train films, found 61",
        ),
        ({"annotate": {"split": {"validation": 0.6}}}, r"annotate.split.validation.*: .* less than or equal to 0.5"),
        ({"ingest": {"sources": []}}, r"ingest\.sources"),
        (
            {"ingest": {"sources": ["sample", {"source": "folder", "annotations": "vox"}]}},
            r"ingest\.sources\.1\.annotations: Input should be 'yolo', .*'vox'",
        ),
        ({"ingest": {"sources": [{"source": "folder"}]}}, r"ingest\.sources\.0\.annotations: .* missing"),
        ({"ingest": {"sources": [{"source": "sample", "corner": 1}]}}, r"ingest\.sources\.0: .*sample has no corner"),
        (
            {"ingest": {"sources": [{"source": "kaggle", "handle": "a/b", "x": 1}]}},
            r"sources\.0: source kaggle has no x \(its keys: .*\); remove it from params.yaml$",
        ),
        ({"ingest": {"sources": ["sample", "sample"]}}, r"ingest: .*sources must name sample once"),
        ({"annotate": {"split": {"by": "given"}}}, r"annotate\.split: by given has no t.*, t"),
        ({"trian": {}}, "trian: there is no such section"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    base = read_yaml(ROOT / "params.yaml")
    path = write(tmp_path / "params.yaml", merge(base | {key: base.get(key, {}) for key in change}, change))
    with pytest.raises(UserError, match=message):
        read_params(path)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    content = read_yaml(ROOT / "params.yaml")
    del content["threshold"], content["train"]["loop"]["epochs"]
    with pytest.raises(UserError) as fault:
        read_params(write(tmp_path / "params.yaml", content))
    assert "(2)" in str(fault.value)
    assert "threshold: this section is missing" in str(fault.value)
    assert "train.loop.epochs: this parameter is missing" in str(fault.value)


def test_an_entry_may_be_its_name_alone(tmp_path: Path) -> None:
    steps, adaptive = ["mat2gray", "imresize", {"step": "clahe", "tiles": 4}], "time_mean"
    content = merge(read_yaml(ROOT / "params.yaml"), {"preprocess": {"steps": steps}, "train": {"adaptive": adaptive}})
    found = read_params(write(tmp_path / "params.yaml", content))
    assert (found["preprocess"]["steps"], found["train"]["adaptive"]) == (steps, adaptive)


def test_a_default_is_no_excuse_for_a_missing_key(tmp_path: Path) -> None:
    """DVC compares what the file holds; a default that is not in it would be an input that DVC does not see."""
    content = read_yaml(ROOT / "params.yaml")
    del content["train"]["adaptive"]["alpha"]["start"], content["train"]["adaptive"]["clock"], content["evaluate"]
    assert Evaluate().threshold == 0.5
    with pytest.raises(UserError) as fault:
        read_params(write(tmp_path / "params.yaml", content | {"evaluate": {"folds": [1]}}))
    missing = re.findall(r"(\S+): this parameter is missing", str(fault.value))
    keys = ("threshold", "temperature", "mirror", "boundary_px", "accelerator")
    assert missing == [f"evaluate.{key}" for key in keys]


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("learning_rate: 0.002   #", "learning_rate: 1e-3   #")
    (tmp_path / "params.yaml").write_text(text)
    assert read_params(tmp_path / "params.yaml")["train"]["optimiser"]["learning_rate"] == 0.001


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "- 1", ""])
def test_what_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="run from the project's root"):
        read_params(tmp_path / "none.yaml")


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\r", "\u202e", "\ufeff"])
def test_characters_that_readers_do_not_see_are_refused(character: str, tmp_path: Path) -> None:
    """Some of them end the comment, and with it the line, for the parser alone: a reader would see another alpha."""
    text = (ROOT / "params.yaml").read_bytes().decode() + f"# weight of Dice {character}# alpha: 0.9\n"
    (tmp_path / "params.yaml").write_bytes(text.encode())
    line = text.count("\n")
    with pytest.raises(UserError, match=rf"that readers see, found others.*\n  - line {line}: U\+{ord(character):04X}"):
        read_params(tmp_path / "params.yaml")


def test_line_ends_of_windows_and_letters_of_all_languages_are_read(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text() + "# Größe, 大きさ, taille\u00a0: 1\n"
    (tmp_path / "params.yaml").write_bytes(text.replace("\n", "\r\n").encode())
    assert read_params(tmp_path / "params.yaml") == read_params(ROOT / "params.yaml")


def test_what_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes() + "# Größe\n".encode("latin-1"))
    with pytest.raises(UserError, match="expected text in UTF-8, found other bytes in line"):
        read_params(tmp_path / "params.yaml")


SCALARS = (
    *("yes", "on", "NO", "~", "null", "true", "1e-4", "1e5", "1.e3", ".5", "+1", "010", "0o10", "0x1f", "0b11"),
    *("1_000", ".inf", "-.inf", "12:30:45", "2020-01-01", "'1'", '"\\u00e9"', "ü", "[1, 2]", "{a: 1}", "!!str 1"),
)


@pytest.mark.parametrize("text", [*("params.yaml", "dvc.yaml", "dvc.lock"), *(f"a: {text}" for text in SCALARS)])
def test_the_parser_in_c_reads_what_that_in_python_reads(text: str) -> None:
    if text.endswith((".yaml", ".lock")):
        text = (ROOT / text).read_text()
    fast, slow = (YAML(typ="safe", pure=pure) for pure in (False, True))
    assert repr(fast.load(text)) == repr(slow.load(text))
    assert fast.Parser is not slow.Parser
