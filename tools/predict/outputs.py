"""What is written about a film: maps, a picture for the eye, JSON, and DICOM SEG."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, TypedDict, cast

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.common.analysis.colours import MARKED
from stages.common.analysis.overlays import png_uri, stretched, uri
from stages.common.analysis.viewer import (
    ViewedFilm,
    ViewedModel,
    as_script,
    levels_script,
    probability_map,
    split_levels,
    square_on_film,
)
from stages.common.core.errors import UserError
from stages.common.core.files import read_json, write_bytes, write_json, write_text
from stages.common.core.hashing import json_sha256, sha256
from tools.predict.films import (
    FILM,
    GREY_LEVELS,
    LAYERS,
    MASK,
    OVERLAY,
    PREDICTION,
    PROBABILITY,
    SEGMENTATION,
    DecodedFilm,
)
from tools.predict.model import Model, Prediction

WARNING = "Research software, not a medical device: not for diagnosis or any decision about a patient."
UNFAMILIAR = "This film does not look like those that the model was trained on."
NAME = "wrist-fracture-segmentation"
LETTERS, SMALLEST_FONT = 40, 10  # the notice's font is a 40th of the film's width, and at least 10 pixels
# OpenCV's encoders leave the interpreter to the threads that read and predict. Its default tries every filter on every
# line, which takes more than twice as long for a file of the same size.
FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
# Grey levels of 12 bits are noise for the most part, which is not worth a search for repetitions.
NOISY_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
]
LINES = 500  # outlines are a 500th of the film's longer side
WHITE, BLACK, BAND = (230, 230, 230), (0, 0, 0), (240, 228, 66)  # the band's yellow is Okabe and Ito's


class ModelFacts(TypedDict):
    """threshold: the probability from which a pixel is marked."""

    name: str
    weights_sha256: str
    params_sha256: str
    threshold: float


class Options(TypedDict):
    """The command's: average over runs, test-time augmentation, formats that are written."""

    average: bool
    tta: bool
    format: list[str]


class Code(TypedDict):
    version: str
    commit: str


class Facts(TypedDict):
    """What prediction.json of every film of a command has. device: of `Model`."""

    warning: str
    model: ModelFacts
    options: Options
    code: Code
    device: str


class FilmFacts(Facts):
    """The same with the film's hash: on a change of model, options, device or film it is done again."""

    input_sha256: str


class PredictionRecord(FilmFacts):
    """prediction.json. regions: as `Region` has them. uncertainty, disagreement: of `tools.predict.label_next`.

    familiar: distance and limit of `stages.common.model.out_of_distribution`, and whether the film `is` so. files:
    SHA-256 of the files in the film's folder by name, of prediction.json that of its other fields, and of the film's
    picture for annotation tools by its name below the output.
    """

    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    spacing_from: str | None
    regions: list[dict[str, Any]]
    probability_max: float
    fracture_probability: float | None
    uncertainty: float
    disagreement: float | None
    no_dicom_seg: str | None
    familiar: dict[str, Any]
    files: dict[str, str]


def write_prediction(
    out: Path,
    film: DecodedFilm,
    prediction: Prediction,
    facts: FilmFacts,
    formats: list[str],
    pictures: dict[str, str] | None = None,
) -> str:
    """Write the chosen formats into a folder; `prediction.json` comes with each, since it says what the rest is.

    Args:
        out: an empty folder.
        film: as it was read, with its header where it is DICOM.
        prediction: of its pixels.
        facts: of the model, the command and the film.
        formats: some of FORMATS.
        pictures: SHA-256 of what the film has outside of the folder, by name below the output.
    Returns:
        Why there is no DICOM SEG though it was asked for, or ''.
    """
    problem = ""
    if "png" in formats:
        write_pictures(out, film, prediction, facts["model"])
    if "dicom-seg" in formats and film.header is not None:
        from tools.predict.seg import write_seg  # highdicom takes a second to import

        mask = np.ascontiguousarray(film.as_stored(prediction.mask))
        try:
            write_seg(out / SEGMENTATION, film.header, mask, facts["model"]["name"], WARNING)
        except UserError as fault:
            problem = str(fault)
    record = record_of(film, prediction, facts, problem)
    record["files"] = {path.name: sha256(path) for path in sorted(out.iterdir())} | {PREDICTION: own_hash(record)}
    record["files"] |= pictures or {}
    write_json(out / PREDICTION, record)
    return problem


def write_pictures(out: Path, film: DecodedFilm, prediction: Prediction, model: ModelFacts) -> None:
    """The maps and the overlay in the pixels of the film's file, and what the viewer shows.

    Args:
        out: an empty folder.
        film: as it was read.
        prediction: of its pixels.
        model: whose threshold applies.
    """
    maps = (prediction.probability, prediction.mask, film.pixels)
    probability, mask, pixels = (film.as_stored(picture) for picture in maps)
    write_picture(out / PROBABILITY, np.round(probability * 255).astype(np.uint8), FAST_PNG)
    write_picture(out / MASK, mask.astype(np.uint8) * 255, FAST_PNG)
    sheet = film_overlay(pixels, mask, prediction.familiar)
    write_picture(out / OVERLAY, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    write_picture(out / FILM, stretched(pixels), [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_text(out / LAYERS, as_script(viewed(film, prediction, model)))
    if film.is_deep:
        picture = uri("PNG", picture_bytes(".png", split_levels(pixels), NOISY_PNG))
        write_text(out / GREY_LEVELS, levels_script(picture))


def record_of(film: DecodedFilm, prediction: Prediction, facts: FilmFacts, problem: str) -> PredictionRecord:
    """prediction.json of a film.

    Args:
        film: as it was read.
        prediction: of its pixels.
        facts: of the model, the command and the film.
        problem: why there is no DICOM SEG though it was asked for, or ''.
    """
    height, width = prediction.mask.shape
    return {
        **facts,
        "height": height,
        "width": width,
        "spacing_mm": film.spacing,
        "spacing_from": film.spacing_from or None,
        "regions": [asdict(region) | {"box": film.box_as_stored(region.box)} for region in prediction.regions],
        "probability_max": float(prediction.grid.max()),
        "fracture_probability": prediction.fracture_probability,
        "uncertainty": prediction.uncertainty,
        "disagreement": prediction.disagreement,
        "no_dicom_seg": problem or None,
        "familiar": {"distance": prediction.distance, "limit": prediction.limit, "is": prediction.familiar},
        "files": {},
    }


def own_hash(record: Mapping[str, Any]) -> str:
    """SHA-256 of the fields of prediction.json, those about files left out, since a file cannot hold its own hash."""
    return json_sha256({**record, "files": {}})


def read_prediction(folder: Path) -> PredictionRecord | None:
    """prediction.json in the folder of a film; None where it is missing, damaged or of another version."""
    record = read_record(folder)
    return cast(PredictionRecord, record) if record.keys() == PredictionRecord.__annotations__.keys() else None


def read_record(folder: Path) -> dict[str, Any]:
    """prediction.json in the folder of a film, of whatever version; empty where it is missing or damaged."""
    if not (folder / PREDICTION).is_file():  # a pipe would be waited for
        return {}
    try:
        record = read_json(folder / PREDICTION)
    except (UserError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def recorded_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of a film's files by prediction.json; empty where it is missing, damaged or lacks them."""
    files = read_record(folder).get("files")
    return files if isinstance(files, dict) else {}


def changed_files(folder: Path) -> list[str]:
    """Names of files in the folder of a film that are not as prediction.json has them, the record itself first.

    Where it is damaged, nobody knows of any; alone it is nothing that anybody would miss.
    """
    record, known, path = read_record(folder), recorded_hashes(folder), folder / PREDICTION
    others = [other for other in sorted(folder.glob("*")) if other != path]
    if not others and not known and (path.is_file() or not path.exists()):
        return []
    here = {PREDICTION: own_hash(record)} | {file.name: sha256(file) if file.is_file() else "" for file in others}
    return [name for name, digest in here.items() if known.get(name) != digest]


def film_picture(film: DecodedFilm) -> bytes:
    """A film as annotation tools open it, in the pixels of its file: PNG, 8 bits."""
    return picture_bytes(".png", film.as_stored(stretched(film.pixels)), FAST_PNG)


def viewed(film: DecodedFilm, prediction: Prediction, model: ModelFacts) -> ViewedFilm:
    """What the viewer shows of a film beside its picture: the network's square, before it was carried to the film.

    Args:
        film: as it was read.
        prediction: of its pixels.
        model: whose threshold applies.
    """
    grid = prediction.grid
    left, top, width, height = square_on_film(prediction.affine, len(grid))
    left, top, _, _ = film.box_as_stored((left, top, left + width, top + height))
    rounded = probability_map(np.round(grid * 255).astype(np.uint8), grid >= model["threshold"], model["threshold"])
    seen = ViewedModel(name=model["name"], probability=png_uri(film.as_stored(rounded)), threshold=model["threshold"])
    shown = ViewedFilm(film=FILM, grid=(left, top, width, height), label=None, models=[seen])
    return shown | {"levels": GREY_LEVELS} if film.is_deep else shown


def write_picture(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    """Write uint8 (H, W), or (H, W, 3) as blue, green, red, in the format of the path's suffix."""
    write_bytes(path, picture_bytes(path.suffix, pixels, options))


def picture_bytes(suffix: str, pixels: np.ndarray, options: list[int]) -> bytes:
    return cv2.imencode(suffix, np.ascontiguousarray(pixels), options)[1].tobytes()


def facts_of(model: Model, code: str, options: Options) -> Facts:
    """What decides a prediction beside its film.

    Args:
        code: the commit.
    """
    return {
        "warning": WARNING,
        "model": {
            "name": model.name,
            "weights_sha256": model.weights,
            "params_sha256": model.recipe.sha256,
            "threshold": model.recipe.cut,
        },
        "options": options,
        "code": {"version": version(NAME), "commit": code},
        "device": model.device,
    }


def is_done(folder: Path, facts: FilmFacts) -> bool:
    """Whether a folder holds a prediction of the same film by the same model, options and device.

    Another device gives other last bits, so that the films of a folder would not be those of one call.
    """
    old = read_prediction(folder)
    new = (facts["input_sha256"], facts["model"], facts["options"], facts["device"])
    return old is not None and (old["input_sha256"], old["model"], old["options"], old["device"]) == new


def film_overlay(pixels: np.ndarray, mask: np.ndarray, familiar: bool) -> np.ndarray:
    """The film with the marked regions outlined and what must be said about it below, uint8 RGB.

    It is wider than the film only where a word of the notice is.

    Args:
        pixels: uint8 or uint16 (H, W).
        mask: bool (H, W).
        familiar: whether the film looks like those of training.
    """
    height, width = pixels.shape
    colour = cv2.cvtColor(np.ascontiguousarray(stretched(pixels)), cv2.COLOR_GRAY2RGB)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(colour, contours, -1, MARKED, max(1, round(max(height, width) / LINES)))
    below = notice(width, familiar)
    return np.vstack([cv2.copyMakeBorder(colour, 0, 0, 0, below.shape[1] - width, cv2.BORDER_CONSTANT), below])


@lru_cache(maxsize=256)
def notice(width: int, familiar: bool) -> np.ndarray:
    """The words below a film of that width, uint8 RGB; drawn once, since the font alone takes longer than the film."""
    size = max(SMALLEST_FONT, round(width / LETTERS))
    font, margin = ImageFont.load_default(size), size // 2
    words = [word for text in (WARNING, UNFAMILIAR) for word in text.split()]
    width = max(width, 2 * margin + ceil(max(map(font.getlength, words))))
    bands = [(WARNING, WHITE, BLACK)] if familiar else [(UNFAMILIAR, BLACK, BAND), (WARNING, WHITE, BLACK)]
    strips = []
    for text, ink, ground in bands:
        lines = "\n".join(measured_lines(text, width - 2 * margin, font))
        bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, margin), lines, font)[3]
        strip = Image.new("RGB", (width, ceil(bottom) + margin), ground)
        ImageDraw.Draw(strip).multiline_text((margin, margin), lines, ink, font)
        strips.append(np.asarray(strip))
    return np.vstack(strips)


def measured_lines(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """A text's words in lines of at most `width` pixels in that font."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
