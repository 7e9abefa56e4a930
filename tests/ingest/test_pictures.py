from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.ingest.pictures import decode_picture
from stages.ingest.problems import Unreadable
from tests.helpers.paths import FRACATLAS, needs

GREY = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)


def encode(array: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


def found_in(content: bytes, megapixels: int = 64) -> str:
    with pytest.raises(Unreadable) as refused:
        decode_picture(content, megapixels)
    return refused.value.problem.actual


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_bit_depth_is_kept(dtype: type, format_: str) -> None:
    image = np.linspace(0, np.iinfo(dtype).max, 320).astype(dtype).reshape(16, 20)
    found, orientation = decode_picture(encode(image, format=format_), 64)
    assert (found.dtype, orientation) == (dtype, 1)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("bands", [3, 4])
def test_grey_stored_as_colour_becomes_grey(bands: int) -> None:
    layers = [GREY, GREY, GREY, np.full_like(GREY, 255)][:bands]
    np.testing.assert_array_equal(decode_picture(encode(np.dstack(layers)), 64)[0], GREY)


def test_other_ways_to_store_grey() -> None:
    with_alpha = encode(np.dstack([GREY, np.full_like(GREY, 9)]))
    np.testing.assert_array_equal(decode_picture(with_alpha, 64)[0], GREY)
    bits = encode(GREY > 90)
    np.testing.assert_array_equal(decode_picture(bits, 64)[0], (GREY > 90) * np.uint8(255))
    buffer = BytesIO()
    Image.fromarray(GREY).convert("P").save(buffer, "PNG")
    np.testing.assert_array_equal(decode_picture(buffer.getvalue(), 64)[0], GREY)


def test_exif_orientation_is_applied_and_told() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to show
    found, orientation = decode_picture(encode(GREY, exif=exif), 64)
    np.testing.assert_array_equal(found, np.rot90(GREY, -1))
    assert orientation == 6


def test_what_is_no_film_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    for format_ in ("JPEG", "PNG"):
        whole = encode(noise, format=format_)
        assert "unreadable" in found_in(whole[: len(whole) // 2])
    assert "another format" in found_in(b"a text file named .png")
    assert "an empty file" in found_in(b"")
    assert "1 x 1 pixels" in found_in(encode(np.zeros((1, 1), np.uint8)))
    assert "colour photograph" in found_in(
        encode(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    )
    floats = np.ones((32, 32), np.float32)
    floats[3, 3] = np.nan
    assert "no numbers" in found_in(encode(floats, format="TIFF"))
    assert "not whole numbers of 16 bits" in found_in(encode(np.full((32, 32), 0.5, np.float32), format="TIFF"))
    assert "70000" in found_in(encode(np.full((32, 32), 70_000, np.int32), format="TIFF"))
    frames = BytesIO()
    Image.fromarray(GREY).save(frames, "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    assert "2 frames" in found_in(frames.getvalue())
    buffer = BytesIO()
    Image.fromarray(GREY).convert("CMYK").save(buffer, "JPEG")
    assert "CMYK" in found_in(buffer.getvalue())
    gif = BytesIO()
    Image.fromarray(GREY).save(gif, "GIF")
    assert "another format" in found_in(gif.getvalue())


def test_a_header_of_50_000_by_50_000_is_refused_before_a_pixel_is_decoded() -> None:
    content = bytearray(encode(GREY))
    place = content.index(b"IHDR")
    content[place + 4 : place + 12] = (50_000).to_bytes(4, "big") * 2
    import zlib

    content[place + 17 : place + 21] = zlib.crc32(content[place : place + 17]).to_bytes(4, "big")
    assert "50000" in found_in(bytes(content))
    assert "9000 x 9000" in found_in(encode(np.zeros((9000, 9000), np.uint8)))


@given(st.binary(max_size=200))
def test_rubbish_is_refused(content: bytes) -> None:
    found_in(content)


@pytest.mark.slow
@needs(FRACATLAS)
def test_no_real_film_is_taken_for_a_photograph() -> None:
    films = sorted(FRACATLAS.rglob("*.jpg"))
    assert len(films) == 196
    for film in films:
        pixels, orientation = decode_picture(film.read_bytes(), 64)
        assert pixels.dtype == np.uint8
        assert orientation == 1
