"""What every source hands over: one Record per film, whatever format it came in."""

import re
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Record:
    """One film with its boxes and where it came from, before it is written to data/raw.

    `pixels` is uint8 or uint16 (H, W), bone bright; `boxes` float64 (n, 4) left, top, right, bottom in pixels,
    half-open; `photometric` is the source's PhotometricInterpretation (the pixels are MONOCHROME2 by now);
    `sha256` is that of the source file; `split` is '' or what the source itself says (train, test, ...).
    `source_file` is '' where a file name could identify a patient.
    """

    image_id: str
    source: str
    source_file: str
    sha256: str
    patient_id: str
    modality: str
    spacing_mm: float | None
    photometric: str
    licence: str
    pixels: np.ndarray
    boxes: np.ndarray
    split: str = ""


def row(record: Record, file: str, file_sha256: str) -> dict[str, object]:
    """The manifest row of a record; boxes as `left top right bottom` with `;` between boxes."""
    return {
        "image_id": record.image_id,
        "file": file,
        "source": record.source,
        "source_file": record.source_file,
        "sha256": record.sha256,
        "file_sha256": file_sha256,
        "patient_id": record.patient_id,
        "split": record.split,
        "modality": record.modality,
        "width": record.pixels.shape[1],
        "height": record.pixels.shape[0],
        "bits": record.pixels.dtype.itemsize * 8,
        "pixel_spacing_mm": record.spacing_mm,
        "photometric_interpretation": record.photometric,
        "licence": record.licence,
        "boxes": ";".join(" ".join(f"{value:.10g}" for value in box) for box in record.boxes),
    }


def image_id(text: str) -> str:
    """A name that is safe as a file name on every system: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "image"


def on_film(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which boxes (n, 4) are not empty and leave their film by half a pixel at most, as rounding may; bool (n,)."""
    left, top, right, bottom = boxes.T
    inside = (left >= -0.5) & (top >= -0.5) & (right <= width + 0.5) & (bottom <= height + 0.5)
    return np.asarray(inside & (left < right) & (top < bottom))


def box_findings(record: Record) -> list[str]:
    """One sentence for every box that does not lie on its film."""
    height, width = record.pixels.shape
    return [
        f"{record.image_id}: expected boxes inside the film of {width} x {height} pixels, found "
        f"[{left:g}, {top:g}, {right:g}, {bottom:g}] (left, top, right, bottom); correct the annotation"
        for left, top, right, bottom in record.boxes[~on_film(record.boxes, width, height)]
    ]
