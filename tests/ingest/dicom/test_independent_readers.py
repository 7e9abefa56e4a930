"""Every grey film that can be decoded, read here and by SimpleITK (GDCM) and DCMTK; each difference has its verdict.

The files are pydicom's, those of the shared data, and a grid that is generated over the ways to store a film. Where
dcmj2pnm is absent, the formulas of PS3.3 C.11 are worked out value by value instead.
"""

import importlib.util
import os
import random
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from fractions import Fraction
from functools import cache
from io import BytesIO
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from stages.ingest.dicom.basics import is_dicom
from stages.ingest.dicom.deidentify import deidentified, to_bytes
from stages.ingest.dicom.grey_scale import display_pixels, modality_values
from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.dicom.read import (
    check_syntax,
    read_film,
    read_header,
    stored_values,
)
from stages.ingest.dicom.refusals import why_no_layout, why_too_large
from stages.ingest.dicom.values import why_no_numbers
from stages.ingest.params import CtWindow
from stages.ingest.problems import Unreadable
from tests.helpers.paths import SHARED_DATA

WINDOW = CtWindow(centre=400, width=2000)
TEST_FILES = Path(pydicom.__file__).parent / "data/test_files"
MORE = Path(str(importlib.util.find_spec("data_store").submodule_search_locations[0])) / "data"  # type: ignore[union-attr, index]

# What another reader makes of a file otherwise than we do, with the verdict by the standard.
NO_LUT_SEQUENCE = "SimpleITK leaves the Modality LUT out, which PS3.3 C.11.1 asks for"
SIMPLEITK = {"mlut_18.dcm": NO_LUT_SEQUENCE}
# Grey levels of 65,535 by which DCMTK differs, since it sets up a table over stored values; the formula of PS3.3
# C.11.2.1.2 gives ours, see `test_the_grey_scale_is_that_of_the_formulas`.
DCMTK_ROUNDS = 40
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "the codestream's size is damaged; SimpleITK and DCMTK read it neither",
    "JPEGLSNearLossless_08.dcm": "10 columns",
    "JPEGLSNearLossless_16.dcm": "10 columns",
    "MR_truncated.dcm": "62 bytes of PixelData are missing; SimpleITK does not read it either",
    "badVR.dcm": "NumberOfFrames is no number",
    "image_dfl.dcm": "Deflated, which is refused on purpose",
    "rtdose_1frame.dcm": "10 x 10",
    "rtdose_expb_1frame.dcm": "10 x 10",
    "rtdose_rle_1frame.dcm": "10 x 10",
}


def is_grey(header: Dataset) -> bool:
    """Whether a data set says that it is one grey frame."""
    grey = header.get("PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    return grey and "PixelData" in header and "PerFrameFunctionalGroupsSequence" not in header


def grey_files() -> list[Path]:
    folders = [TEST_FILES, MORE, *([SHARED_DATA / "dicom"] if SHARED_DATA.exists() else [])]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [path for path in paths if is_dicom(path.read_bytes()[:132]) and is_one_grey_frame(path)]


def is_one_grey_frame(path: Path) -> bool:
    try:
        header = pydicom.dcmread(path)
        frames = str(header.get("NumberOfFrames") or 1)
        return is_grey(header) and not (frames.isdecimal() and int(frames) > 1)
    except Exception:
        return False


def sound_header(content: bytes) -> Dataset:
    """The header of a film that can be decoded, whatever its modality.

    Raises:
        Unreadable: it cannot.
    """
    check_syntax(content[:65536])
    header = read_header(BytesIO(content))
    unfit = why_no_numbers(header) or why_too_large(header, 64) or why_no_layout(header)
    if unfit:
        raise Unreadable("", unfit, "")
    return header


def by_simpleitk(path: Path) -> np.ndarray:
    """The values after rescale, (H, W)."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))[0]


def compare_with_simpleitk(path: Path, header: Dataset, stored: np.ndarray) -> float:
    """The largest difference of the values after rescale; SimpleITK gives MONOCHROME1 turned round in its range."""
    values, low, high = modality_values(header, stored)
    expected = by_simpleitk(path)
    if header.PhotometricInterpretation == "MONOCHROME1":
        expected = low + high - expected
    return float(np.abs(values - expected).max())


def by_dcmtk(path: Path, header: Dataset, folder: Path, **variables: str) -> np.ndarray:
    """What dcmj2pnm shows, int (H, W) over 16 bits, in the window or LUT that we take; it gets `variables`."""
    picture = folder / "shown.pgm"
    picture.unlink(missing_ok=True)
    voi: list[str] = []
    if header.Modality == "CT":
        voi = ["+Ww", f"{WINDOW.centre}", f"{WINDOW.width}"]
    elif header.get("VOILUTSequence"):
        voi = ["+Wl", "1"]
    elif header.get("WindowCenter") is not None:
        voi = ["+Wi", "1"]
    program = "dcml2pnm" if header.file_meta.TransferSyntaxUID in JPEGLSTransferSyntaxes else "dcmj2pnm"
    words = [program, "-O", "+opn", "16", *voi, path, picture]
    done = subprocess.run(words, env=os.environ | variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return np.asarray(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)).astype(np.int64)


def by_the_letter(header: Dataset, value: int) -> float:
    """What one stored value is shown as, 0..1, by PS3.3 C.11.1, C.11.2 and C.7.6.3.1.2, in exact numbers."""
    bits = int(header.BitsStored)
    ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if header.PixelRepresentation == 1 else [0, 2**bits - 1]
    slope, intercept = (
        exact(header.get(name, default)) for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    scale = sorted(end * slope + intercept for end in ends)
    out: Any = value * slope + intercept
    if header.get("ModalityLUTSequence"):
        out, scale = in_table(header.ModalityLUTSequence[0], value)
    if header.get("VOILUTSequence"):
        out, scale = in_table(header.VOILUTSequence[0], round(out))
    elif header.get("WindowCenter") is not None:
        function = header.get("VOILUTFunction", "LINEAR")
        out, scale = in_window(out, exact(header.WindowCenter), exact(header.WindowWidth), function), [0, 1]
    share = float((out - scale[0]) / (scale[1] - scale[0]))
    return 1 - share if header.PhotometricInterpretation == "MONOCHROME1" else share


def exact(number: Any) -> Fraction:
    return Fraction(str(number))


def in_window(x: Fraction, centre: Fraction, width: Fraction, function: str) -> Any:
    """The pseudo code of C.11.2.1.2.1, and the formulas of C.11.2.1.3, for an output of 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(float(-4 * (x - centre) / width)))
    if function == "LINEAR_EXACT":
        inside = (x - centre) / width + Fraction(1, 2)
        return 0 if x <= centre - width / 2 else 1 if x > centre + width / 2 else inside
    if x <= centre - Fraction(1, 2) - (width - 1) / 2:
        return 0
    if x > centre - Fraction(1, 2) + (width - 1) / 2:
        return 1
    return (x - (centre - Fraction(1, 2))) / (width - 1) + Fraction(1, 2)


def in_table(table: Dataset, value: int) -> tuple[Fraction, list[int]]:
    """The entry of a value in a table of `lookup_table`, and the ends of the table's scale."""
    count, first, bits = table.LUTDescriptor
    count %= 2**16
    count = count or 2**16
    return Fraction(entry(min(max(value - first, 0), count - 1), count, bits)), [0, 2**bits - 1]


def entry(number: int, count: int, bits: int) -> int:
    """The entries of `lookup_table`: they rise, and then fall by half, so that a wrong place shows."""
    top = 2**bits - 1
    return number * 2 * top // count if 2 * number < count else top - (2 * number - count) * top // (2 * count)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_grey_film_has_simpleitks_values() -> None:
    compared, refused, differ = 0, set(), set()
    for path in grey_files():
        try:
            header = sound_header(path.read_bytes())
            stored = stored_values(header)
        except Unreadable:
            refused.add(path.name)
            continue
        compared += 1
        if compare_with_simpleitk(path, header, stored) > 1e-3:
            differ.add(path.name)
    assert differ == set(SIMPLEITK)
    assert refused == set(REFUSED)
    assert compared >= 69  # those of pydicom alone


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="dcmj2pnm (Debian: dcmtk) is absent")
def test_every_grey_film_is_shown_as_dcmtk_shows_it(tmp_path: Path) -> None:
    compared, unread = 0, set()
    for path in grey_files():
        if path.name in REFUSED:
            continue
        header = sound_header(path.read_bytes())
        if "2000" in header.file_meta.TransferSyntaxUID.name:  # which Debian's DCMTK does not decode
            unread.add(path.name)
            continue
        shown = by_dcmtk(path, header, tmp_path)
        ours = display_pixels(header, stored_values(header), WINDOW)
        assert np.abs(ours.astype(np.int64) - shown).max() <= DCMTK_ROUNDS, path.name
        compared += 1
    assert compared >= 50
    assert len(unread) < 20


# --- the grid ---

LAYOUTS = [(8, 8), (8, 6), (16, 8), (16, 10), (16, 12), (16, 15), (16, 16)]
SLOPES = [None, (1, -1000), (-1, 0), (2.5, 7), (-0.5, 100)]
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
PACKED = [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1]
SIDE = 32


def film(allocated: int, bits: int, signed: bool, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """A CR whose values run over all that `bits` bits hold, and more of its attributes."""
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    data = FileDataset("", {}, bytes(128), FileMetaDataset(), is_implicit_VR=implicit, is_little_endian=little)
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "2.25.7"
    data.Modality, data.PatientID, data.PhotometricInterpretation = "CR", "1", "MONOCHROME2"
    data.Rows = data.Columns = SIDE
    data.SamplesPerPixel, data.PixelRepresentation = 1, int(signed)
    data.BitsAllocated, data.BitsStored, data.HighBit = allocated, bits, bits - 1
    values = np.linspace(0, 2**bits - 1, SIDE * SIDE).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    for name, value in attributes.items():
        setattr(data, name, value)
    stored = (values & (2**bits - 1)).astype(f"u{allocated // 8}").reshape(SIDE, SIDE)
    if syntax == RLELossless:
        data.PixelData = encapsulate([run_lengths(stored)])
    elif syntax == JPEGLSLossless:
        data.PixelData = encapsulate([imagecodecs.jpegls_encode(stored)])
    elif syntax == JPEGLosslessSV1:
        precision = max(bits, allocated // 2 + 1)
        data.PixelData = encapsulate([imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=precision)])
    elif syntax == JPEG2000Lossless:
        signed_ = values.astype(f"i{allocated // 8}").reshape(SIDE, SIDE) if signed else stored
        codestream = imagecodecs.jpeg2k_encode(signed_, level=0, reversible=True, codecformat="j2k", bitspersample=bits)
        data.PixelData = encapsulate([codestream])
    else:
        data.PixelData = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
    data["PixelData"].VR = "OB" if syntax in PACKED or allocated == 8 else "OW"
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def run_lengths(stored: np.ndarray) -> bytes:
    """RLE of PS3.5 Annex G: bytes of values in planes, the most significant first, each packed by PackBits."""
    planes = np.moveaxis(stored.astype(stored.dtype.newbyteorder(">"))[..., None].view(np.uint8), 2, 0)
    packed = [b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane) for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in packed]
    offsets = np.cumsum([64, *map(len, segments)])[:-1]
    return np.array([len(segments), *offsets, *[0] * (15 - len(segments))], "<u4").tobytes() + b"".join(segments)


@pytest.mark.parametrize("syntax", [*NATIVE, *PACKED])
def test_layouts_signs_and_slopes_in_every_syntax_have_simpleitks_values(syntax: str, tmp_path: Path) -> None:
    for (allocated, bits), signed, slope in product(LAYOUTS, (False, True), SLOPES):
        more = {"RescaleSlope": slope[0], "RescaleIntercept": slope[1]} if slope else {}
        content = film(allocated, bits, signed, syntax, **more)
        path = tmp_path / "film.dcm"
        path.write_bytes(content)
        header = sound_header(content)
        if (allocated, bits) == (8, 6):  # SimpleITK reads no 6 bits
            expected = np.linspace(0, 2**bits - 1, SIDE * SIDE).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
            np.testing.assert_array_equal(stored_values(header).ravel(), expected)
            continue
        assert compare_with_simpleitk(path, header, stored_values(header)) < 1e-3, (allocated, bits, signed, slope)


def lookup_table(count: int, first: int, bits: int, packed: bool) -> Dataset:
    """A LUT of `entry`; packed: entries of 8 bits lie in 8, not in 16."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count % 2**16, first, bits])
    data = entries(count, bits).astype(np.uint8 if packed else "<u2").tobytes()
    item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
    return item


@cache
def entries(count: int, bits: int) -> np.ndarray:
    """All entries of a table, int64 (count,)."""
    return np.array([entry(number, count, bits) for number in range(count)])


TABLE, NONE = "table", "none"
WINDOWS = [
    {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    for centre, width in ((500, 300), (100.5, 1000), (0, 1), (-20, 2))
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
]
COUNTS, FIRSTS = (4, 255, 256, 4096, 65536), (0, 100, -50)
DEPTHS = ((8, False), (8, True), (10, False), (12, False), (16, False))  # bits, and whether they are packed
# The ways to map stored values to grey levels: layout, sign, photometric, Modality (an index of SLOPES or a table),
# VOI (an index of WINDOWS or a table), and number, first value and depth of the one and of the other table.
WAYS: tuple[Seq[Any], ...] = (
    ((8, 8), (16, 10), (16, 12), (16, 16)),
    (False, True),
    ("MONOCHROME1", "MONOCHROME2"),
    (*range(len(SLOPES)), TABLE),
    (NONE, *range(len(WINDOWS)), TABLE),
    *(COUNTS, FIRSTS, DEPTHS),
    *(COUNTS, FIRSTS, DEPTHS),
)


def cells() -> list[tuple[Any, ...]]:
    """Cells of the grid of WAYS in which each three of layout, sign, photometric, Modality and VOI stand together, and
    each two of all; None for tables that a cell has not."""
    rng, seen, chosen = random.Random(1), set(), []
    for _ in range(30_000):
        cell = possible(tuple(rng.choice(way) for way in WAYS))
        kinds = [(place, value) for place, value in enumerate(cell) if value is not None]
        new = {*combinations(kinds, 2), *combinations(kinds[:5], 3)} - seen
        if new:
            seen |= new
            chosen.append(cell)
    return chosen


def possible(cell: tuple[Any, ...]) -> tuple[Any, ...]:
    """The cell without tables that it has not, and with a first value of 0 where no value can be below 0."""
    (_, bits), signed, _, modality, voi, *tables = cell
    slope, intercept = (SLOPES[modality] or (1, 0)) if modality != TABLE else (0, 0)
    lowest = min(end * slope + intercept for end in ((-(2 ** (bits - 1)) if signed else 0), 2**bits - 1))
    one = tables[:3] if modality == TABLE else [None] * 3
    other = tables[3:] if voi == TABLE else [None] * 3
    if modality == TABLE and one[1] < 0 and not signed:
        one[1] = 0
    if voi == TABLE and other[1] < 0 and lowest >= 0:
        other[1] = 0
    return (*cell[:5], *one, *other)


def grey_scales() -> Iterator[tuple[str, bytes]]:
    """A film for each of `cells`, and its description."""
    for cell in cells():
        (allocated, bits), signed, photometric, modality, voi, *tables = cell
        more: dict[str, Any] = {"PhotometricInterpretation": photometric}
        if modality == TABLE:
            more["ModalityLUTSequence"] = Sequence([lookup_table(*tables[:2], *tables[2])])
        elif slope := SLOPES[modality]:
            more |= {"RescaleSlope": slope[0], "RescaleIntercept": slope[1]}
        if voi == TABLE:
            more["VOILUTSequence"] = Sequence([lookup_table(*tables[3:5], *tables[5])])
        elif voi != NONE:
            more |= WINDOWS[voi]
        yield str(cell), film(allocated, bits, signed, **more)


def grey_levels(content: bytes) -> tuple[Dataset, np.ndarray, np.ndarray]:
    header = sound_header(content)
    stored = stored_values(header)
    return header, stored, display_pixels(header, stored, WINDOW)


@pytest.mark.slow
def test_the_grey_scale_is_that_of_the_formulas() -> None:
    count = 0
    for name, content in grey_scales():
        header, stored, shown = grey_levels(content)
        for value, level in list(zip(stored.ravel().tolist(), shown.ravel().tolist(), strict=True))[::13]:
            assert level == pytest.approx(by_the_letter(header, value) * 65535, abs=0.51), name
        count += 1
    assert count > 500


def dcmtk_rounds(header: Dataset) -> float:
    """By how many of 65,535 grey levels DCMTK 3.6.7 may differ, with the verdict."""
    voi = header.get("VOILUTSequence")
    windowed = "WindowCenter" in header and not voi
    if windowed and header.get("VOILUTFunction") == "LINEAR_EXACT":  # of which it knows nothing
        return 65535
    broken = bool(float(header.get("RescaleSlope", 1)) % 1)  # it rounds what a slope makes, which shows at steps
    tables = voi or header.get("ModalityLUTSequence")
    if windowed and not tables:
        return DCMTK_ROUNDS if not broken else 120 if float(header.WindowWidth) >= 300 else 65535
    # It takes an entry, or without VOI a value, for a share of 2^bits, where the largest, 2^bits - 1, is white.
    least = 2**16 / 2 ** int(tables[0].LUTDescriptor[2] if tables else header.BitsStored)
    entries_ = tables[0].LUTDescriptor[0] or 2**16 if tables else 2**16
    return least + max(2 * 65535 / entries_, 2 * least) * broken + (0 if tables else 1)


def shown_by_dcmtk(header: Dataset, stored: np.ndarray) -> np.ndarray:
    """Where it shows anything, bool (H, W): under a falling slope that is no whole number, it loses the value that
    becomes the largest and shows it black.
    """
    slope = float(header.get("RescaleSlope", 1))
    return stored > stored.min() if slope < 0 and slope % 1 else np.ones(stored.shape, bool)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="dcmj2pnm (Debian: dcmtk) is absent")
def test_the_grey_scale_is_dcmtks(tmp_path: Path) -> None:
    differ = []
    for name, content in grey_scales():
        header, stored, shown = grey_levels(content)
        (tmp_path / "film.dcm").write_bytes(content)
        # its dictionary takes most of its time, and these films say the type of each element
        theirs = by_dcmtk(tmp_path / "film.dcm", header, tmp_path, DCMDICTPATH=os.devnull)
        difference = np.abs(shown.astype(np.int64) - theirs)[shown_by_dcmtk(header, stored)]
        if difference.max() > dcmtk_rounds(header):
            differ.append((name, int(difference.max())))
    assert differ == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_is_passed_on_shows_the_same() -> None:
    for name, content in islice(grey_scales(), 0, None, 6):
        header, stored, shown = grey_levels(content)
        again = to_bytes(deidentified(header, stored, Key(b"k" * 32), False))
        np.testing.assert_array_equal(grey_levels(again)[2], shown, err_msg=name)


def test_padding_keeps_its_sign_whatever_the_header_calls_it() -> None:
    content = film(16, 12, True, PixelPaddingValue=-2048, PixelPaddingRangeLimit=-2000)
    unsigned = content.replace(b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US")
    assert unsigned != content
    header, stored, shown = grey_levels(unsigned)
    assert header.PixelPaddingValue == 63488
    assert (shown[stored <= -2000] == 0).all()
    assert (shown[stored > -2000] > 0).all()
    again = to_bytes(deidentified(header, stored, Key(b"k" * 32), False))
    np.testing.assert_array_equal(grey_levels(again)[2], shown)


def refused(content: bytes) -> str:
    with pytest.raises(Unreadable) as error:
        read_film(content, 64, WINDOW)
    return error.value.problem.actual


def with_stream(stream: bytes, syntax: str, **attributes: Any) -> bytes:
    data = pydicom.dcmread(BytesIO(film(16, 12, False)))
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR, data.file_meta.TransferSyntaxUID = "OB", syntax
    for name, value in attributes.items():
        setattr(data, name, value)
    return to_bytes(data)


def test_layouts_that_contradict_themselves_are_refused() -> None:
    assert "a HighBit other than BitsStored - 1" in refused(film(16, 12, False, HighBit=15))
    assert "a BitsStored below 1 or above BitsAllocated" in refused(film(8, 8, False, BitsStored=12, HighBit=11))
    assert "1024 bytes of PixelData" in refused(film(8, 8, False, BitsAllocated=16))
    assert "a RescaleSlope of 0" in refused(film(16, 12, False, RescaleSlope=0, RescaleIntercept=1))
    wide = np.linspace(0, 2**16 - 1, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    stream = imagecodecs.jpeg2k_encode(wide, level=0, reversible=True, codecformat="j2k")
    assert "more bits than BitsStored, which is 12" in refused(with_stream(stream, JPEG2000Lossless))
    assert "more bits than BitsStored" in refused(with_stream(imagecodecs.jpegls_encode(wide), JPEGLSLossless))
    # A codec may state more bits than its values take.
    narrow = imagecodecs.jpeg2k_encode(wide >> 4, level=0, reversible=True, codecformat="j2k")
    np.testing.assert_array_equal(read_film(with_stream(narrow, JPEG2000Lossless), 64, WINDOW).stored, wide >> 4)


def test_a_table_that_is_not_what_its_descriptor_says_is_refused() -> None:
    table = lookup_table(256, 0, 12, False)
    table.LUTDescriptor = [300, 0, 12]
    assert "a LUT of another length" in refused(film(16, 12, False, VOILUTSequence=Sequence([table])))
    table.LUTDescriptor = [256, 0, 10]
    assert "a LUT with entries of other bits" in refused(film(16, 12, False, VOILUTSequence=Sequence([table])))


def test_a_jpeg_that_breaks_off_is_refused() -> None:
    values = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) * 4).astype(np.uint16)
    stream = imagecodecs.jpeg8_encode(values, bitspersample=12)
    whole = read_film(with_stream(stream, JPEGExtended12Bit), 64, WINDOW)
    np.testing.assert_allclose(whole.stored, values, atol=80)
    assert refused(with_stream(stream[:-20], JPEGExtended12Bit)) == "a codestream that is cut off"
    assert "no decoder reads" in refused(with_stream(b"\xff\xd8 rubbish \xff\xd9", JPEGExtended12Bit))


@pytest.mark.parametrize("name", ["PixelSpacing", "WindowCenter", "RescaleSlope", "PixelPaddingValue", "BitsStored"])
def test_an_attribute_that_is_no_number_is_named(name: str) -> None:
    more = {"WindowCenter": 7, "WindowWidth": 9, "RescaleSlope": 1, "PixelSpacing": [1, 1], "PixelPaddingValue": 1}
    content = film(16, 12, False, **more)
    tag = pydicom.tag.Tag(name)
    start = content.index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little"))
    length = int.from_bytes(content[start + 6 : start + 8], "little")
    text = content[: start + 4] + b"LO" + content[start + 6 : start + 8] + b"A" * length
    assert refused(text + content[start + 8 + length :]) == f"a {name} that is no number"
    if name == "BitsStored":
        assert refused(content[: start + 6] + b"\0\0" + content[start + 8 + length :]) == "no BitsStored"
