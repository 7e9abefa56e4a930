"""Films whose headers hold odd values, and files of every kind that is refused."""

from io import BytesIO

from PIL import Image
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from stages.ingest.dicom.values import NUMBERS
from stages.ingest.params import Sample
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw

NAME = "SURNAME^GIVEN"
ODD = {"text": b"12 Maret 1960 ", "comma": b"0,14\\0,14 ", "empty": b"", "nan": b"nan ", "name": NAME.encode() + b" "}


def sample_film(**changes: bytes | str | list[str]) -> bytes:
    """A DX film of the sample with these values; bytes stand in it as they are, whatever the standard says."""
    plan = SampleFilm(5, 3, "hospital", "DX")
    data = dcmread(BytesIO(dicom_file(plan, draw(plan, Sample(seed=3, films=16, width=96)), 3)))
    for name, value in changes.items():
        if not isinstance(value, bytes):
            setattr(data, name, value)
            continue
        tag = Tag(tag_for_keyword(name) or 0)
        vr = dictionary_VR(tag).split(" or ")[0]
        data[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    buffer = BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def refused_files() -> dict[str, bytes]:
    """Files of every kind that predict refuses, by name."""
    files = {f"{name}-{kind}": sample_film(**{name: value}) for name in NUMBERS for kind, value in ODD.items()}
    codes = ("Modality", "PhotometricInterpretation", "SOPClassUID", "ImageType", "VOILUTFunction", "ConversionType")
    files |= {name: sample_film(**{name: NAME.encode() + b" "}) for name in codes}
    sound = sample_film()
    files |= {f"cut-{size}.dcm": sound[:size] for size in (0, 100, 140, 400, 1200, len(sound) - 100)}
    heads = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0", "tif": b"II*\0", "bmp": b"BM", "webp": b"RIFF"}
    files |= {f"junk.{kind}": head + b"junk" * 9 for kind, head in heads.items()}
    colours: dict[str, tuple[int, ...] | float] = {"RGB": (255, 0, 0), "CMYK": (255, 0, 0, 9), "F": 0.5}
    for mode, colour in colours.items():
        buffer = BytesIO()
        Image.new(mode, (60, 50), colour).save(buffer, "TIFF")
        files[f"{mode}.tif"] = buffer.getvalue()
    return files
