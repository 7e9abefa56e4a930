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
from tools.audit.check_predictions import contradicts, of_chances
from tools.audit.check_scores import alike, choice, expected_device, expected_precision
from tools.audit.findings import Check
from tools.audit.tables import compare_records

PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
STORED = b"".join(b"\0" + row.tobytes() for row in PIXELS)  # a byte before each row says how it is stored
ROWS = zlib.compress(STORED)
SIGNATURE, HEADER = b"\x89PNG\r\n\x1a\n", 8 + 25  # where the header ends


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


END = chunk(b"IEND", b"")


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
    content = path.read_bytes()
    path.write_bytes(content[:HEADER] + chunk(b"cICP", bytes((9, 16, 0, 1))) + content[HEADER:])


def of_two_sizes(path: Path) -> None:
    """With a second header, of which programs take the first or the last."""
    write_png(path, PIXELS)
    content = path.read_bytes()
    path.write_bytes(content[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 8, 8, 0, 0, 0, 0)) + content[8:])


def joined(path: Path) -> None:
    """With pixels behind its end."""
    write_png(path, PIXELS)
    path.write_bytes(path.read_bytes() + path.read_bytes()[33:])


def with_pixels(path: Path, *data: bytes, kind: int = 0) -> None:
    """Write the picture with its pixels in these IDAT chunks; kind: 1 where rows are interlaced."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, kind))
    path.write_bytes(SIGNATURE + header + b"".join(chunk(b"IDAT", part) for part in data) + END)


def with_words_behind_its_rows(path: Path) -> None:
    with_pixels(path, ROWS + b"Doe, Jane")


def with_words_in_a_part_of_their_own(path: Path) -> None:
    with_pixels(path, ROWS, b"Doe, Jane")


def with_more_rows_than_it_says(path: Path) -> None:
    with_pixels(path, zlib.compress(STORED + bytes(17)))


def cut_off(path: Path) -> None:
    with_pixels(path, ROWS[:-4])


def interlaced(path: Path) -> None:
    """A pipeline's picture has its rows one below the other."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = (PIXELS[top::down, left::right] for left, top, right, down in passes)
    with_pixels(path, zlib.compress(b"".join(b"\0" + row.tobytes() for part in parts for row in part)), kind=1)


def with_a_wrong_checksum(path: Path) -> None:
    """Chromium and Pillow show it, OpenCV refuses it."""
    with_pixels(path, ROWS[:40], ROWS[40:])
    path.write_bytes(path.read_bytes()[: -len(END) - 4] + b"\0\0\0\0" + END)


def with_words_in_its_end(path: Path) -> None:
    with_pixels(path, ROWS)
    path.write_bytes(path.read_bytes()[: -len(END)] + chunk(b"IEND", b"Doe, Jane"))


def with_a_letter_behind_its_end(path: Path) -> None:
    with_pixels(path, ROWS)
    path.write_bytes(path.read_bytes() + b"J")


@pytest.mark.parametrize(
    "forge",
    [
        palette,
        animated,
        transparent,
        coded,
        of_two_sizes,
        joined,
        with_words_behind_its_rows,
        with_words_in_a_part_of_their_own,
        with_more_rows_than_it_says,
        cut_off,
        interlaced,
        with_a_wrong_checksum,
        with_words_in_its_end,
        with_a_letter_behind_its_end,
    ],
)
def test_a_picture_that_looks_otherwise_than_its_values_is_none(forge: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    forge(path)
    assert np.array_equal(read_png(path), PIXELS)
    assert read_picture(path) is None


def test_a_picture_of_more_pixels_than_any_film_has_is_none(tmp_path: Path) -> None:
    """A file of a megabyte can unpack to a thousand times as much."""
    path, header = tmp_path / "a.png", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", ROWS) + END)
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


@pytest.mark.parametrize("threshold", [0.5, 0.1, 0.3, 0.31, 0.9, 1e300])
def test_a_mask_follows_from_probabilities_of_8_bits_but_for_one_shade_at_most(threshold: float) -> None:
    """127 is below 0.5 and 128 is not: each pixel of these shades that is free could make a score better."""
    at = np.float32(min(threshold, 1))
    near = [np.nextafter(at, np.float32(-1)), at, np.nextafter(at, np.float32(2))]
    chances = np.array([*near, *np.linspace(0, 1, 5000)], np.float32).clip(0, 1)[None]
    with np.errstate(over="ignore"):  # where nothing is marked
        shown, mask = np.round(chances * 255).astype(np.uint8), chances >= threshold
    assert not contradicts(mask, shown, threshold)
    free = {
        int(shown[pixel]) for pixel in np.ndindex(mask.shape) if not contradicts(flip(mask, pixel), shown, threshold)
    }
    assert len(free) <= (0 if threshold in (0.5, 1.0, 0.0) else 1)


def flip(mask: np.ndarray, pixel: tuple[int, ...]) -> np.ndarray:
    """A mask with one pixel turned over."""
    turned = mask.copy()
    turned[pixel] ^= True
    return turned


@pytest.mark.parametrize("shade", [0, 255])
def test_no_probability_and_no_error_lies_beyond_its_ends(shade: int) -> None:
    """A map of 8 bits leaves half a shade open, but not beyond 0 and 1."""
    for label in (np.zeros((4, 4), dtype=bool), np.ones((4, 4), dtype=bool)):
        bounds = of_chances(np.full((4, 4), shade, dtype=np.uint8), label, {"boxes": "0 0 2 2"})
        pointing = bounds.pop("pointing")  # the most probable pixel lies in a box or does not
        assert [pointing.allow(value) for value in (0, 0.5, 1)] == [True, False, True]
        assert all(0 <= low <= high <= 1 for low, high, _ in bounds.values())


def test_numbers_of_a_matrix_are_held_to_its_diagonal() -> None:
    """The largest of it says nothing of the small ones."""
    matrix = [[1e6, 2.0], [2.0, 1e-3]]
    assert alike([[1e6 + 1e-3, 2.0 + 1e-6], [2.0, 1e-3]], matrix)
    assert not alike([[1e6, -2.0], [-2.0, 1e-3]], matrix)
    assert not alike([[1e6, 2.0], [2.0, 1.1e-3]], matrix)
    assert alike([1e6, 1e-3], [1e6 + 1e-3, 1e-3])
    assert not alike([1e6, 1.1e-3], [1e6, 1e-3])
    for other in ([[1e6, 2.0], [2.0]], [1e6, 1e-3], "1.0", ["1e6"], [True], [1], None, [math.nan, 1e-3]):
        assert not alike(other, matrix[0] if isinstance(other, list) and len(other) == 2 else matrix)


@pytest.mark.parametrize(
    ("said", "setting", "expected"),
    [
        ("fp32", "portable", "fp32"),
        ("bf16", "portable", "fp32"),
        ("fp32", "bf16", "bf16"),
        ("bf16", "auto", "bf16"),
        ("fp32", "auto", "fp32"),
        ("fp1024, on 10000 patients", "auto", "fp32"),
        (None, "bf16", "bf16"),
    ],
)
def test_a_record_says_one_of_the_precisions_that_its_setting_allows(said: Any, setting: str, expected: str) -> None:
    assert expected_precision(said, setting) == expected


def test_whole_numbers_are_compared_exactly() -> None:
    """A seed of ten digits is another one if its last digit is, also where it is written as a decimal number."""
    for seed in (3_000_000_002, 3_000_000_002.0):
        compare_records(check := Check(), "model.json", {"seed": seed, "a": 1.0}, {"seed": 3_000_000_000, "a": 1.0})
        assert [finding.name for finding in check.findings] == ["model.json: seed"]
