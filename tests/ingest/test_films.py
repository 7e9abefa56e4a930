from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread, examples
from pydicom.data import get_testdata_file

from stages.common.errors import Fault
from stages.ingest.films import decode_picture, read_dicom
from stages.ingest.params import Sample
from stages.ingest.sample import Plan, dicom_file, draw
from tests.conftest import SHARED


def encode(array: np.ndarray, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, **{"format": "PNG"} | options)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bit_depth_is_kept(dtype: type) -> None:
    image = np.linspace(0, np.iinfo(dtype).max, 60).astype(dtype).reshape(6, 10)
    found = decode_picture(encode(image), "a")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


def test_grey_stored_as_colour_and_exif_rotation() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    np.testing.assert_array_equal(decode_picture(encode(np.dstack([grey] * 3)), "a"), grey)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to show
    np.testing.assert_array_equal(decode_picture(encode(grey, exif=exif), "a"), np.rot90(grey, -1))


def test_a_truncated_jpeg_is_refused() -> None:
    content = encode(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8), format="JPEG")
    with pytest.raises(Fault, match=r"a\.jpg: expected a whole"):
        decode_picture(content[: len(content) // 2], "a.jpg")


@given(st.binary(max_size=200))
def test_rubbish_is_refused_by_name(content: bytes) -> None:
    for read in (decode_picture, read_dicom):
        with pytest.raises(Fault, match="rubbish"):
            read(content, "rubbish")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(Fault, match="pixels"):
        decode_picture(encode(np.zeros((9000, 9000), np.uint8)), "a")


SETTINGS = Sample(seed=3, films=16, width=96)


@pytest.mark.parametrize(("patient", "modality"), [(1, "CR"), (4, "CR"), (2, "DX"), (6, "DX"), (3, "CT")])
def test_the_drawn_film_comes_back_from_dicom(patient: int, modality: str) -> None:
    plan = Plan(5, patient, "hospital", modality)
    film = draw(plan, SETTINGS)
    dataset, pixels = read_dicom(dicom_file(plan, film, 3), "x")
    # PS3.3 C.11.2.1.2.1 for centre 400 and width 2000
    window = np.clip((np.round(film.density) - 399.5) / 1999 + 0.5, 0, 1)
    density = window if modality == "CT" else film.density
    # 12 stored bits of which the window uses four fifths
    np.testing.assert_allclose(pixels / 65535, density, atol=1.5 / (0.8 * 4095))
    assert dataset.PhotometricInterpretation == (
        "MONOCHROME1" if modality != "CT" and patient % 2 == 0 else "MONOCHROME2"
    )


@given(st.integers(0, 40_000), st.binary(min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_damaged_dicom_is_read_or_refused_and_never_crashes(at: int, patch: bytes) -> None:
    content = bytearray(DICOM)
    at %= len(content)
    content[at : at + len(patch)] = patch
    try:
        _, pixels = read_dicom(bytes(content), "x")
    except Fault:
        return
    assert pixels.dtype == np.uint16


DICOM = dicom_file(Plan(1, 2, "hospital", "DX"), draw(Plan(1, 2, "hospital", "DX"), SETTINGS), 3)


def test_pydicoms_own_ct_slice() -> None:
    content = open(get_testdata_file("CT_small.dcm"), "rb").read()  # noqa: PTH123, SIM115
    _, pixels = read_dicom(content, "CT_small")
    dataset = dcmread(BytesIO(content))
    hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    # No window in the header: bone window, 400 +- 1000 HU.
    np.testing.assert_allclose(pixels, np.round(np.clip((hu + 600) / 2000, 0, 1) * 65535), atol=1)


def test_colour_and_several_frames_are_refused() -> None:
    for name in ("rgb_color", "ybr_color"):
        dataset = getattr(examples, name)
        buffer = BytesIO()
        dataset.save_as(buffer)
        with pytest.raises(Fault, match="one grey frame is needed"):
            read_dicom(buffer.getvalue(), name)


@pytest.mark.skipif(not SHARED.exists(), reason="real films are not at hand")
def test_a_real_monochrome1_film_has_bright_bones() -> None:
    content = (SHARED / "dicom/RG3_J2KI.dcm").read_bytes()
    dataset, pixels = read_dicom(content, "RG3")
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    raw = dataset.pixel_array.astype(float)
    # One inversion and no more: stored high means shown dark.
    assert np.corrcoef(raw.ravel(), pixels.ravel())[0, 1] < -0.8
