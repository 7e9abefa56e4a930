"""Pixels by the standard, on pydicom's own files and on small hand-made ones."""

import copy
import importlib.util
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import DataElement, Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from stages.ingest.dicom.basics import flip, is_dicom
from stages.ingest.dicom.deidentify import deidentified, to_bytes
from stages.ingest.dicom.grey_scale import display_pixels
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import (
    check_syntax,
    depth,
    display_flips,
    read_film,
    read_header,
    spacing,
    stored_values,
)
from stages.ingest.dicom.refusals import codestream_size, why_unfit
from stages.ingest.dicom.values import LAYOUT, SINGLE
from stages.ingest.params import CtWindow, MaskCorners, RefuseBurnedIn, Sample
from stages.ingest.problems import Unreadable
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw
from tests.helpers.paths import SHARED_DATA, needs

WINDOW = CtWindow(centre=400, width=2000)
SAMPLE = Sample(seed=3, films=16, width=96)
MORE = Path(str(importlib.util.find_spec("data_store").submodule_search_locations[0])) / "data"  # type: ignore[union-attr, index]


def small(**changes: Any) -> Dataset:
    """A CR of 16 x 16 pixels with the stored values 0..255, 12 bits, and what a test wants changed."""
    header = read_header(
        BytesIO(dicom_file(SampleFilm(1, 1, "hospital", "CR"), draw(SampleFilm(1, 1, "hospital", "CR"), SAMPLE), 3))
    )
    header.Rows = header.Columns = 16
    header.PixelData = np.arange(256, dtype="<u2").tobytes()
    del header.WindowCenter, header.WindowWidth
    for name, value in changes.items():
        setattr(header, name, value)
    return header


def shown(header: Dataset) -> np.ndarray:
    """What is displayed, as shares 0..1 of the 256 stored values."""
    return display_pixels(header, stored_values(header), WINDOW).ravel() / 65535


X = np.arange(256)


def test_without_window_the_stored_bits_are_the_scale() -> None:
    np.testing.assert_allclose(shown(small()), X / 4095, atol=1e-5)
    np.testing.assert_allclose(shown(small(BitsStored=8)), X / 255, atol=1e-5)


def test_windows_by_the_formulas_of_ps3_3_c_11_2_1() -> None:
    centre, width = 100.0, 50.0
    linear = np.clip((X - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    np.testing.assert_allclose(shown(small(WindowCenter=centre, WindowWidth=width)), linear, atol=1e-5)
    exact = np.clip((X - centre) / width + 0.5, 0, 1)
    functions = {"LINEAR": linear, "LINEAR_EXACT": exact, "SIGMOID": 1 / (1 + np.exp(-4 * (X - centre) / width))}
    for name, expected in functions.items():
        header = small(WindowCenter=[centre, 9], WindowWidth=[width, 9], VOILUTFunction=name)
        np.testing.assert_allclose(shown(header), expected, atol=1e-4)


def test_rescale_comes_before_the_window() -> None:
    header = small(RescaleSlope=2, RescaleIntercept=-10, WindowCenter=100, WindowWidth=50)
    np.testing.assert_allclose(shown(header), np.clip((2 * X - 10 - 99.5) / 49 + 0.5, 0, 1), atol=1e-5)
    np.testing.assert_allclose(shown(small(RescaleSlope=2, RescaleIntercept=-10)), X / 4095, atol=1e-5)


def lut(values: list[int], first: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), first, bits], values
    return Sequence([item])


def test_lookup_tables_come_before_windows() -> None:
    table = lut([0, 10, 20, 255], 100, 8)
    expected = np.array([0, 10, 20, 255])[np.clip(X - 100, 0, 3)] / 255
    header = small(VOILUTSequence=table, WindowCenter=7, WindowWidth=3)
    np.testing.assert_allclose(shown(header), expected, atol=1e-5)
    modality = small(ModalityLUTSequence=table)
    np.testing.assert_allclose(shown(modality), expected, atol=1e-5)


def test_monochrome1_is_inverted_once_and_padding_stays_black() -> None:
    header = small(PhotometricInterpretation="MONOCHROME1", BitsStored=8, PixelPaddingValue=3)
    expected = 1 - X / 255
    expected[3] = 0
    np.testing.assert_allclose(shown(header), expected, atol=1e-5)
    header.PresentationLUTShape = "INVERSE"  # says the same again (PS3.3 C.8.11.3): no second inversion
    np.testing.assert_allclose(shown(header), expected, atol=1e-5)
    header.PixelPaddingRangeLimit = 9
    assert (shown(header)[3:10] == 0).all()


def test_bits_above_bits_stored_are_no_pixels_and_signs_are_kept() -> None:
    overlaid = small(PixelData=(np.arange(256) | 0x8000).astype("<u2").tobytes())
    np.testing.assert_array_equal(stored_values(overlaid).ravel(), X)
    signed = small(PixelRepresentation=1, PixelData=((X - 128) & 0x0FFF).astype("<u2").tobytes())
    np.testing.assert_array_equal(stored_values(signed).ravel(), X - 128)


@pytest.mark.parametrize(("patient", "modality"), [(1, "CR"), (4, "CR"), (2, "DX"), (6, "DX"), (3, "CT")])
def test_the_drawn_film_comes_back(patient: int, modality: str) -> None:
    plan = SampleFilm(5, patient, "hospital", modality)
    film = draw(plan, SAMPLE)
    header = read_header(BytesIO(dicom_file(plan, film, 3)))
    pixels = display_pixels(header, stored_values(header), WINDOW)
    window = np.clip((np.round(film.density) - 399.5) / 1999 + 0.5, 0, 1)
    density = window if modality == "CT" else film.density
    np.testing.assert_allclose(pixels / 65535, density, atol=1.5 / (0.8 * 4095))


def test_the_bone_window_is_chosen() -> None:
    header = read_header(Path(str(get_testdata_file("CT_small.dcm"))))
    hu = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    for centre, width in ((400, 2000), (40, 400)):
        expected = np.clip((hu - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
        pixels = display_pixels(header, stored_values(header), CtWindow(centre=centre, width=width))
        np.testing.assert_allclose(pixels / 65535, expected, atol=1e-5)


# --- pydicom's own files ---

OTHER_SYNTAXES = {
    "MR_small_RLE.dcm": "MR_small.dcm",
    "MR_small_jpeg_ls_lossless.dcm": "MR_small.dcm",
    "MR_small_jp2klossless.dcm": "MR_small.dcm",
    "MR_small_bigendian.dcm": "MR_small.dcm",
    "MR_small_implicit.dcm": "MR_small.dcm",
    "693_J2KR.dcm": "693_UNCR.dcm",
    "RG1_J2KR.dcm": "RG1_UNCR.dcm",
    "RG3_J2KR.dcm": "RG3_UNCR.dcm",
    "RG3_J2KI.dcm": "RG3_UNCI.dcm",
}


def pydicoms(name: str) -> Path:
    return MORE / name if (MORE / name).exists() else Path(str(get_testdata_file(name, download=False)))


@pytest.mark.parametrize(("packed", "plain"), OTHER_SYNTAXES.items())
def test_every_transfer_syntax_gives_the_pixels_of_the_plain_file(packed: str, plain: str) -> None:
    check_syntax(pydicoms(packed).read_bytes()[:65536])
    one, other = (stored_values(read_header(pydicoms(name))) for name in (packed, plain))
    np.testing.assert_allclose(one, other, atol=1 if "J2KI" in packed else 0)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_cr_in_every_lossless_syntax_that_can_be_written_here(syntax: str) -> None:
    header = read_header(pydicoms("RG3_UNCR.dcm"))
    plain = display_pixels(header, stored_values(header), WINDOW)
    packed = copy.deepcopy(header)
    packed.compress(syntax, generate_instance_uid=False)
    again = read_header(BytesIO(to_bytes(packed)))
    assert not why_unfit(again, 64)
    np.testing.assert_array_equal(display_pixels(again, stored_values(again), WINDOW), plain)


def test_a_cr_in_jpeg_baseline_shows_what_pillow_shows() -> None:
    grey = Image.fromarray((np.add.outer(np.arange(64), np.arange(48)) * 2).astype(np.uint8))
    buffer = BytesIO()
    grey.save(buffer, "JPEG", quality=95)
    header = small(Rows=64, Columns=48, BitsAllocated=8, BitsStored=8, HighBit=7)
    header.PixelData = encapsulate([buffer.getvalue()])
    header["PixelData"].VR = "OB"
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    again = read_header(BytesIO(to_bytes(header)))
    assert not why_unfit(again, 64)
    pixels = display_pixels(again, stored_values(again), WINDOW)
    np.testing.assert_allclose(pixels / 257, np.asarray(Image.open(buffer)), atol=1)


def test_jpeg_lossless_process_14_is_decoded() -> None:
    assert stored_values(read_header(MORE / "bad_sequence.dcm")).shape == (512, 512)
    assert stored_values(read_header(Path(str(get_testdata_file("JPGLosslessP14SV1_1s_1f_8b.dcm"))))).max() > 0


def all_of_pydicoms() -> list[Path]:
    import pydicom

    folders = (Path(pydicom.__file__).parent / "data/test_files", MORE)
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def test_every_cr_dx_and_ct_of_pydicom_goes_through_and_the_rest_has_a_reason() -> None:
    warnings.simplefilter("ignore")
    taken: dict[str, int] = {}
    for path in all_of_pydicoms():
        content = path.read_bytes()
        if not is_dicom(content[:132]):
            continue
        try:
            check_syntax(content[:65536])
            header = read_header(BytesIO(content))
            if why_unfit(header, 64):
                continue
            stored = stored_values(header)
            pixels = display_pixels(header, stored, WINDOW)
        except Unreadable:
            continue
        assert pixels.dtype == np.uint16
        assert pixels.shape == (header.Rows, header.Columns)
        data = dcmread(BytesIO(to_bytes(deidentified(header, stored, Key(b"k" * 32), False))))
        # What is passed on shows the same.
        np.testing.assert_array_equal(display_pixels(data, stored_values(data), WINDOW), pixels)
        taken[header.Modality] = taken.get(header.Modality, 0) + 1
    assert taken == {"CR": 11, "CT": 18}, "pydicom brings no DX; the sample's DX films stand in for one"


# --- what is refused, and why ---


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Modality": "RF"}, "fluoroscopy"),
        ({"Modality": "XA"}, "angiography"),
        ({"Modality": "SR"}, "structured report"),
        ({"Modality": "OT"}, "secondary capture"),
        ({"Modality": "MG"}, "other than CR, DX and CT"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "SOPClassUID"),
        ({"ConversionType": "WSD"}, "secondary capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary capture"),
        ({"ImageType": ["DERIVED ", "SECONDARY ", "AXIAL"]}, "secondary capture"),  # padded, as PS3.5 6.2 allows
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"NumberOfFrames": 2}, "NumberOfFrames other than 1"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel other than 1"),
        ({"PhotometricInterpretation": "RGB"}, "PhotometricInterpretation"),
        ({"PresentationLUTShape": "INVERSE"}, "contradicts"),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, "contradicts"),
        ({"Rows": 65535, "Columns": 65535}, "where ingest.limits.megapixels allows 64 million"),
        ({"Rows": 1, "Columns": 1}, "smaller than any film"),
        ({"BitsAllocated": 32}, "BitsAllocated"),
        ({"WindowWidth": 0}, "WindowWidth"),
    ],
)
def test_what_is_no_film_is_refused_with_its_reason(changes: dict[str, Any], why: str) -> None:
    assert why in why_unfit(small(**changes), 64)
    assert not why_unfit(small(), 64)


@pytest.mark.parametrize("name", [*LAYOUT, *SINGLE])
def test_a_date_that_stands_for_a_number_is_not_passed_on(name: str) -> None:
    header = small()
    header[name] = DataElement(name, "IS", "19610203")
    why = why_unfit(header, 64)
    assert why, "refused"
    assert not any(part in why for part in ("1961", "0203", "203"))


def test_a_film_without_pixels_or_with_too_few_is_refused() -> None:
    empty = small()
    del empty.PixelData
    assert why_unfit(empty, 64) == "no PixelData"
    with pytest.raises(Unreadable) as refused:
        stored_values(small(PixelData=b"12"))
    assert refused.value.problem.actual.startswith("pixel data that no decoder reads")


def test_deflated_files_are_refused_before_they_are_inflated() -> None:
    buffer = BytesIO()
    header = small()
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(buffer, enforce_file_format=True)
    with pytest.raises(Unreadable) as refused:
        check_syntax(buffer.getvalue())
    assert "Deflated" in refused.value.problem.actual


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no DICM after 128 bytes"),
        (bytes(128) + b"DICM", "no TransferSyntaxUID in its file meta information"),
        (bytes(128) + b"DICM\x02\x00\x10\x00UI\x40\x00", "the transfer syntax of a private kind"),
        (bytes(128) + b"DICM\x02\x00\x10\x00UI\x40\x00\xff\x4f\xff\x51", "file meta information that ends too early"),
    ],
)
def test_file_meta_that_ends_too_early_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        check_syntax(content)
    assert refused.value.problem.actual == why


def test_a_codestream_of_another_size_is_refused_undecoded() -> None:
    header = read_header(MORE / "RG3_J2KR.dcm")
    assert codestream_size(bytes(header.PixelData[:4096])) == (1760, 1760)
    header.Rows = 64
    assert "codestream of another size" in why_unfit(header, 64)
    jpeg = read_header(Path(str(get_testdata_file("JPGLosslessP14SV1_1s_1f_8b.dcm"))))
    assert codestream_size(bytes(jpeg.PixelData[:4096])) == (jpeg.Rows, jpeg.Columns)
    lies = small(Rows=32, Columns=32)
    lies.PixelData = encapsulate([b"\xff\xd8\xff\xc0\x00\x0b\x08\x10\x00\x10\x00\x01\x01\x11\x00"])
    lies.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert "codestream of another size" in why_unfit(lies, 64)


# --- geometry ---


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], (False, False)),  # axial, as one looks at it
        ([-1, 0, 0, 0, 1, 0], (True, False)),
        ([1, 0, 0, 0, -1, 0], (False, True)),
        ([1, 0, 0, 0, 0, -1], (False, False)),  # coronal, head up
        ([1, 0, 0, 0, 0, 1], (False, True)),
        ([0, 1, 0, 0, 0, -1], (False, False)),  # sagittal
        ([-0.9, 0.1, 0, 0.1, 0.9, 0], (True, False)),
    ],
)
def test_ct_slices_are_turned_to_the_usual_view(orientation: list[float], expected: tuple[bool, bool]) -> None:
    assert display_flips(small(Modality="CT", ImageOrientationPatient=orientation)) == expected
    assert display_flips(small(Modality="CR", ImageOrientationPatient=orientation)) == (False, False)


def test_depth_runs_along_the_normal() -> None:
    plane = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [5, 6, -70]}
    assert depth(small(**plane)) == -70
    assert depth(small(InstanceNumber=4)) == 4
    assert display_flips(small(Modality="CT")) == (False, False)


def test_the_two_spacings_are_kept_apart() -> None:
    header = small(PixelSpacing=[0.1, 0.2], ImagerPixelSpacing=[0.144, 0.144])
    assert spacing(header, "PixelSpacing") == (0.1, 0.2)
    assert spacing(header, "ImagerPixelSpacing") == (0.144, 0.144)
    del header.PixelSpacing
    assert spacing(header, "PixelSpacing") is None


@needs(SHARED_DATA)
def test_a_real_monochrome1_film_has_bright_bones() -> None:
    header = read_header(SHARED_DATA / "dicom/RG3_J2KI.dcm")
    stored = stored_values(header)
    pixels = display_pixels(header, stored, WINDOW)
    # One inversion and no more: stored high means shown dark.
    assert np.corrcoef(stored.ravel(), pixels.ravel())[0, 1] < -0.8


# --- the whole film ---


def film_bytes(**changes: Any) -> bytes:
    plan = SampleFilm(5, 3, "hospital", "CT")
    data = dcmread(BytesIO(dicom_file(plan, draw(plan, SAMPLE), 3)))
    for name, value in changes.items():
        setattr(data, name, value)
    buffer = BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def test_a_film_is_read_with_all_that_its_header_says() -> None:
    film = read_film(film_bytes(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0], PixelSpacing=[0.5, 0.25]), 64, WINDOW)
    assert (film.flips, film.masked) == ((True, False), False)
    assert (film.pixel_spacing, film.imager_pixel_spacing) == ((0.5, 0.25), None)
    np.testing.assert_array_equal(film.pixels, display_pixels(film.header, film.stored, WINDOW))
    np.testing.assert_array_equal(flip(flip(film.pixels, film.flips), film.flips), film.pixels)
    assert not np.array_equal(flip(film.pixels, film.flips), film.pixels)


def test_burned_in_text_is_refused_masked_or_taken() -> None:
    burned = film_bytes(BurnedInAnnotation="YES")
    plain = read_film(burned, 64, WINDOW)
    with pytest.raises(Unreadable) as error:
        read_film(burned, 64, WINDOW, RefuseBurnedIn())
    assert "BurnedInAnnotation is YES" in error.value.problem.actual
    masked = read_film(burned, 64, WINDOW, MaskCorners(corner=0.25))
    quarter = plain.stored.shape[0] // 4
    assert masked.masked
    assert (masked.stored[:quarter, :quarter] == 0).all()
    np.testing.assert_array_equal(masked.stored[quarter:-quarter], plain.stored[quarter:-quarter])
    assert not read_film(film_bytes(), 64, WINDOW, MaskCorners()).masked


@pytest.mark.parametrize("state", ["yes", "Y", "UNKNOWN", ""])
def test_only_a_plain_no_says_that_nothing_is_burned_in(state: str) -> None:
    with pytest.raises(Unreadable) as error:
        read_film(film_bytes(BurnedInAnnotation=state), 64, WINDOW, RefuseBurnedIn())
    assert "text burned into its pixels" in error.value.problem.actual
    assert not read_film(film_bytes(BurnedInAnnotation="NO "), 64, WINDOW, MaskCorners()).masked


def test_a_header_of_the_wrong_types_is_refused_without_its_text() -> None:
    spacing_of_patient = b"DS\x10\x000.70312\\0.70312 "
    assert spacing_of_patient in film_bytes()
    damaged = film_bytes().replace(spacing_of_patient, b"LO\x10\x00DOE^JANE\\0.7031 ")
    with pytest.raises(Unreadable) as error:
        read_film(damaged, 64, WINDOW)
    assert error.value.problem.actual == "a PixelSpacing that is no number"
    assert "DOE" not in error.value.problem.sentence("x")
