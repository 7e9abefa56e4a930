import struct
from io import BytesIO
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from stages.ingest.pictures import SUFFIXES, TRUNCATED, decode_picture
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
    found = decode_picture(encode(image, format=format_), 64)
    assert (found.pixels.dtype, found.orientation) == (dtype, 1)
    np.testing.assert_array_equal(found.pixels, image)


@pytest.mark.parametrize("bands", [3, 4])
def test_grey_stored_as_colour_becomes_grey(bands: int) -> None:
    layers = [GREY, GREY, GREY, np.full_like(GREY, 255)][:bands]
    np.testing.assert_array_equal(decode_picture(encode(np.dstack(layers)), 64).pixels, GREY)


def test_other_ways_to_store_grey() -> None:
    with_alpha = encode(np.dstack([GREY, np.full_like(GREY, 9)]))
    np.testing.assert_array_equal(decode_picture(with_alpha, 64).pixels, GREY)
    bits = encode(GREY > 90)
    np.testing.assert_array_equal(decode_picture(bits, 64).pixels, (GREY > 90) * np.uint8(255))
    buffer = BytesIO()
    Image.fromarray(GREY).convert("P").save(buffer, "PNG")
    np.testing.assert_array_equal(decode_picture(buffer.getvalue(), 64).pixels, GREY)


def test_exif_orientation_is_applied_and_told() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to show
    found = decode_picture(encode(GREY, exif=exif), 64)
    np.testing.assert_array_equal(found.pixels, np.rot90(GREY, -1))
    assert found.orientation == 6


DEEP = (np.arange(24 * 32, dtype=np.uint16) * 13).reshape(24, 32)  # 768 levels, of which 8 bits keep 40


def tiff(image: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, image, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        encode(DEEP),
        tiff(DEEP),
        tiff(DEEP, byteorder=">"),
        tiff(DEEP, bigtiff=True),
        tiff(DEEP, compression="lzw", predictor=2),
        tiff(DEEP, compression="zlib", tile=(16, 16)),
        tiff(65535 - DEEP, photometric="miniswhite"),
        tiff(np.dstack([DEEP] * 3), photometric="rgb"),
        tiff(np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate"),
        tiff(np.dstack([DEEP] * 4), photometric="rgb", extrasamples=["unassalpha"]),
        tiff(np.dstack([DEEP, DEEP]), photometric="minisblack", extrasamples=["unassalpha"]),
        tiff(DEEP.astype(np.int32)),
        tiff(DEEP.astype(np.float32)),
        cv2.imencode(".png", np.dstack([DEEP] * 3))[1].tobytes(),
        cv2.imencode(".png", np.dstack([DEEP] * 4))[1].tobytes(),
        imagecodecs.png_encode(np.dstack([DEEP, np.full_like(DEEP, 9)])),
    ],
)
def test_sixteen_bits_are_kept_however_they_are_stored(content: bytes) -> None:
    pixels = decode_picture(content, 64).pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, DEEP)


def test_colours_of_sixteen_bits_are_judged_and_weighed_as_those_of_eight() -> None:
    rng = np.random.default_rng(0)
    tinted = rng.integers(0, 220, (24, 32, 1)) + rng.integers(0, 9, (24, 32, 3))
    eight = decode_picture(encode(tinted.astype(np.uint8)), 64).pixels
    np.testing.assert_array_equal(eight, np.asarray(Image.fromarray(tinted.astype(np.uint8)).convert("L")))
    sixteen = decode_picture(tiff((tinted * 257).astype(np.uint16), photometric="rgb"), 64).pixels
    np.testing.assert_allclose(sixteen / 257, eight, atol=0.51)
    colours = rng.integers(0, 65535, (24, 32, 3)).astype(np.uint16)
    assert "colour photograph" in found_in(tiff(colours, photometric="rgb"))
    assert "colour photograph" in found_in(imagecodecs.png_encode(colours))


def tiff_of_twelve_bits(image: np.ndarray) -> bytes:
    """Two values in three bytes, which tifffile reads and does not write."""
    strip, (height, width) = imagecodecs.packints_encode(image, 12, runlen=image.shape[1]), image.shape
    fields = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + struct.pack("<H", len(fields)) + entries + bytes(4)


def test_tiffs_of_other_bits_fill_the_scale() -> None:
    twelve = tiff_of_twelve_bits(DEEP >> 2)
    np.testing.assert_array_equal(decode_picture(twelve, 64).pixels, np.round((DEEP >> 2) * (65535 / 4095)))
    np.testing.assert_array_equal(
        decode_picture(tiff(GREY > 90, photometric="minisblack"), 64).pixels, (GREY > 90) * np.uint8(255)
    )
    inverse = tiff(GREY > 90, photometric="miniswhite")
    np.testing.assert_array_equal(decode_picture(inverse, 64).pixels, (GREY <= 90) * np.uint8(255))
    colours = (np.stack([np.arange(256)] * 3) * 257).astype(np.uint16)
    palette = tiff(255 - GREY, photometric="palette", colormap=colours[:, ::-1])
    np.testing.assert_array_equal(decode_picture(palette, 64).pixels, GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF"])
def test_every_orientation_is_applied_once_and_told(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = np.kron(GREY[::8, ::8], np.ones((8, 8), np.uint8))
    found = decode_picture(encode(image, format=format_, exif=exif), 64)
    marked = Image.fromarray(image)
    marked.getexif()[0x0112] = orientation
    np.testing.assert_allclose(found.pixels, np.asarray(ImageOps.exif_transpose(marked)).astype(int), atol=2)
    assert found.orientation == orientation


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_that_of_a_format_that_is_read(suffix: str) -> None:
    Image.init()
    options = {"lossless": True} if suffix == ".webp" else {}
    found = decode_picture(encode(GREY, format=Image.EXTENSION[suffix], **options), 64)
    np.testing.assert_allclose(found.pixels, GREY.astype(int), atol=3)


@pytest.mark.parametrize("quality", [50, 95])
def test_a_jpeg_that_lacks_its_last_bytes_is_taken_where_that_is_accepted(quality: int) -> None:
    smooth = np.add.outer(np.arange(128), np.arange(96)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 20, smooth.shape, dtype=np.uint8)
    whole = encode(smooth + noise, format="JPEG", quality=quality)
    assert "ingest.on_truncated" in found_in(whole[:-20])
    taken = decode_picture(whole[:-20], 64, "accept")
    assert taken.notes == (TRUNCATED,)
    np.testing.assert_array_equal(taken.pixels[:112], decode_picture(whole, 64).pixels[:112])
    for content in (whole[: len(whole) // 2], whole[:200]):
        with pytest.raises(Unreadable) as refused:
            decode_picture(content, 64, "accept")
        assert "cut off" in refused.value.problem.actual
    assert decode_picture(whole, 64, "accept").notes == ()


@pytest.mark.parametrize(
    "content",
    [tiff(DEEP)[:-400], tiff(DEEP, compression="zlib")[:-200], tiff(GREY, compression="jpeg")[:-100], tiff(DEEP)[:200]],
)
def test_a_tiff_that_is_cut_off_is_refused(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    found_in(content)
    assert caplog.text == ""


def test_tiffs_that_are_no_film_are_refused() -> None:
    assert "2 frames" in found_in(tiff(np.stack([DEEP, DEEP]), photometric="minisblack"))
    assert "SEPARATED" in found_in(tiff(np.dstack([GREY] * 4), photometric="separated"))
    assert "-5" in found_in(tiff(DEEP.astype(np.int16) - 5))
    assert "5 samples" in found_in(tiff(np.dstack([GREY] * 5), photometric="minisblack", planarconfig="contig"))
    assert "9000 x 9000" in found_in(tiff(np.zeros((9000, 9000), np.uint8), compression="zlib"))


def test_what_is_no_film_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    for format_ in ("JPEG", "PNG"):
        whole = encode(noise, format=format_)
        assert "cut off" in found_in(whole[: len(whole) // 2])
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
        picture = decode_picture(film.read_bytes(), 64)
        assert (picture.pixels.dtype, picture.orientation, picture.notes) == (np.uint8, 1, ())
