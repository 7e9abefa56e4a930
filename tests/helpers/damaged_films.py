"""Damaged films and annotations, put through the worker of ingest."""

import json
import random
from io import BytesIO
from pathlib import Path

import numpy as np
from imagecodecs import jpeg8_encode
from PIL import Image

from stages.ingest.dicom.pseudonyms import Key
from stages.ingest.file_access import Folder
from stages.ingest.params import Folder as FolderSource
from stages.ingest.params import Hospital, Params, Sample
from stages.ingest.process_film import process_film
from stages.ingest.sources.hospital import look
from stages.ingest.sources.sample import SampleFilm, dicom_file, draw, voc_file
from stages.ingest.types import SourceFilm
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT

MUTATIONS = 700
SAMPLE = Sample(seed=3, films=16, width=96)


def seeds() -> dict[str, bytes]:
    """One sound file of each kind, by the suffix that it is saved under."""
    plan = SampleFilm(1, 2, "hospital", "DX")
    drawn = draw(plan, SAMPLE)
    grey = Image.fromarray(np.round(drawn.density * 255).astype(np.uint8))
    out = {"dcm": dicom_file(plan, drawn, 3), "xml": voc_file(plan, drawn), "txt": b"0 0.5 0.5 0.1 0.1\n" * 3}
    for name, options in {
        "png": {"format": "PNG"},
        "jpg": {"format": "JPEG"},
        "tif": {"format": "TIFF", "compression": "tiff_lzw"},
    }.items():
        buffer = BytesIO()
        grey.save(buffer, **options)
        out[name] = buffer.getvalue()
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

    for name, syntax in {"rle": RLELossless, "j2k": JPEG2000Lossless}.items():
        data = dcmread(BytesIO(out["dcm"]))
        data.compress(syntax, generate_instance_uid=False)
        buffer = BytesIO()
        data.save_as(buffer)
        out[name] = buffer.getvalue()
    data = dcmread(BytesIO(out["dcm"]))
    data.PixelData = encapsulate([jpeg8_encode(data.pixel_array, lossless=True, bitspersample=int(data.BitsStored))])
    data["PixelData"].VR, data.file_meta.TransferSyntaxUID = "OB", JPEGLosslessSV1
    buffer = BytesIO()
    data.save_as(buffer)
    out["jpl"] = buffer.getvalue()
    return out


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A cut, a flip, a removal, a repetition or a patch; headers are hit more often than pixels."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if rng.random() < 0.3 else rng.randrange(min(len(data), 1200))
        kind = rng.randrange(5)
        if kind == 0:
            data = data[: max(at, 1)]
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 40)]
        else:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xfe\xff\x00\xe0"])
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def fuzz(folder: Path) -> dict[str, int]:
    """Run every mutation through the worker, as ingest does; returns how many were taken and refused."""
    params = Params.model_validate(read_yaml(ROOT / "params.yaml")["ingest"])
    rng, whole = random.Random(1), seeds()
    counts = {"taken": 0, "refused": 0}
    (folder / "images").mkdir()
    (folder / "dicom").mkdir()
    for number in range(MUTATIONS):
        kind = sorted(whole)[number % len(whole)]
        label = kind in ("xml", "txt")
        format_ = {"xml": "voc", "txt": "yolo"}.get(kind, "voc")
        picture = "dcm" if kind == "xml" else "png" if kind == "txt" else kind
        (folder / f"film.{picture}").write_bytes(whole[picture] if label else mutated(whole[kind], rng))
        (folder / f"film.{kind}").write_bytes(mutated(whole[kind], rng)) if label else None
        hospital = picture in ("dcm", "rle", "j2k", "jpl")
        entry = (Hospital if hospital else FolderSource)(annotations=format_, unlabelled="no_fracture")
        film = SourceFilm(
            f"f{number % 4}", "fuzz", entry, Folder(folder, params.limits), f"film.{picture}", f"film.{picture}",
            label_file=f"film.{kind}" if label else "",
        )  # fmt: skip
        if hospital:
            assert look(Folder(folder, params.limits), Key(b"k" * 32), film.name).kind in ("film", "refused", "other")
        result = process_film(film, params, Key(b"k" * 32), folder)
        assert bool(result.row) != bool(result.refusals), "either taken or refused with a reason"
        assert not any("cannot be processed" in refusal.reason for refusal in result.refusals), "what is it, then?"
        counts["taken" if result.row else "refused"] += 1
    return counts


def report(folder: Path) -> None:
    counts = fuzz(folder)
    # Not getrusage: its peak starts with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    print(json.dumps(counts | {"peak_mb": peak}))
