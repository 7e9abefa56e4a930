"""Pictures that show a reader another thing than a program, and values that switch a check off."""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.common.core.files import read_png, write_png
from tools.audit.check_data import read_picture
from tools.audit.check_scores import choice, expected_device
from tools.audit.findings import Check
from tools.audit.tables import compare_records

PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def palette(path: Path) -> None:
    picture = Image.frombytes("P", (16, 16), PIXELS.tobytes())
    picture.putpalette([0] * 768)
    picture.save(path)


def animated(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])


def transparent(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, transparency=7)


def coded(path: Path) -> None:
    """With a chunk by which browsers take grey for brightness of a perceptual quantiser (cICP, PNG 3rd edition)."""
    write_png(path, PIXELS)
    content, chunk = path.read_bytes(), b"cICP" + bytes((9, 16, 0, 1))
    header = 8 + 25  # the signature and IHDR
    made = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(content[:header] + made + content[header:])


def of_two_sizes(path: Path) -> None:
    """With a second header, of which programs take the first or the last."""
    write_png(path, PIXELS)
    content, chunk = path.read_bytes(), b"IHDR" + struct.pack(">IIBBBBB", 16, 8, 8, 0, 0, 0, 0)
    path.write_bytes(content[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[8:])


def joined(path: Path) -> None:
    """With pixels behind its end."""
    write_png(path, PIXELS)
    path.write_bytes(path.read_bytes() + path.read_bytes()[33:])


@pytest.mark.parametrize("forge", [palette, animated, transparent, coded, of_two_sizes, joined])
def test_a_picture_that_looks_otherwise_than_its_values_is_none(forge: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    forge(path)
    assert np.array_equal(read_png(path), PIXELS)
    assert read_picture(path) is None


@pytest.mark.parametrize("kind", [bool, np.uint8, np.uint16])
def test_a_picture_that_a_stage_wrote_is_one(kind: type, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", PIXELS.astype(kind))
    found = read_picture(tmp_path / "a.png")
    assert found is not None
    assert np.array_equal(found, PIXELS.astype(kind) * np.uint8(255 if kind is bool else 1))


@pytest.mark.parametrize("value", [1, 0, True, None, "0.5", math.nan, math.inf, [0.5]])
def test_a_threshold_that_is_no_decimal_number_is_named(value: Any) -> None:
    """Masks are held to probabilities at a decimal threshold: any other value would leave them free."""
    found = {"from": "validation", "value": value}
    check = Check()
    compare_records(check, "metrics.json", found, choice(found, "validation", "params"), "threshold.")
    assert [finding.name for finding in check.findings] == ["metrics.json: threshold.value"]


def test_a_threshold_of_the_validation_films_is_left_to_a_rerun() -> None:
    found = {"from": "validation", "value": 0.31}
    assert choice(found, "validation", "params") == found


@pytest.mark.parametrize(
    ("said", "accelerator", "portable", "expected"),
    [
        ("AVX2", "auto", True, "AVX2"),
        ("NVIDIA H200", "auto", True, "NVIDIA H200"),
        ("NVIDIA H200", "cpu", True, "AVX2"),
        ("NVIDIA H200", "cpu", False, "AVX2"),
        ("AVX512", "auto", True, "AVX2"),
        ("AVX512", "cpu", False, "AVX512"),
        (None, "auto", True, "AVX2"),
        ("", "auto", False, "AVX2"),
        (["AVX2"], "auto", True, "AVX2"),
    ],
)
def test_a_device_can_be_a_gpu_of_any_name_where_one_may_be_taken(
    said: Any, accelerator: str, portable: bool, expected: str
) -> None:
    assert expected_device(said, accelerator, portable) == expected
