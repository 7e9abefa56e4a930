"""What is written about a film: maps, a picture for the eye, JSON, and DICOM SEG."""

from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap
from typing import TypedDict

import cv2
import numpy as np
from PIL import Image, ImageDraw

from stages.common.analysis.overlays import FALSE_POSITIVE, stretched
from stages.common.core.errors import UserError
from stages.common.core.files import read_json, write_bytes, write_json
from tools.predict.films import PREDICTION, DecodedFilm
from tools.predict.model import Model, Prediction, Region

WARNING = "Research software, not a medical device: not for diagnosis or any decision about a patient."
UNFAMILIAR = "This film does not look like those that the model was trained on."
NAME = "wrist-fracture-segmentation"
# What a grey level becomes in each channel where the mask lies on it, (1, 256, 3) for OpenCV.
TINTED = (0.45 * np.arange(256)[None, :, None] + 0.55 * np.array(FALSE_POSITIVE)).astype(np.uint8)


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
    """What prediction.json of every film of a command has."""

    warning: str
    model: ModelFacts
    options: Options
    code: Code


class FilmFacts(Facts):
    """The same with the film's hash: on a change of model, options or film it is done again."""

    input_sha256: str


def write_prediction(out: Path, film: DecodedFilm, prediction: Prediction, facts: FilmFacts, formats: list[str]) -> str:
    """Write the chosen formats into a folder; `prediction.json` comes with each, since it says what the rest is.

    Args:
        out: an empty folder.
        film: as it was read, with its header where it is DICOM.
        prediction: of its pixels.
        facts: of the model, the command and the film.
        formats: some of FORMATS.
    Returns:
        Why there is no DICOM SEG though it was asked for, or ''.
    """
    problem = ""
    probability, mask = (film.as_stored(picture) for picture in (prediction.probability, prediction.mask))
    if "png" in formats:
        # OpenCV's encoders leave the interpreter to the threads that read and predict. Its default tries every filter
        # on every line, which takes more than twice as long for a file of the same size.
        fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
        write_picture(out / "probability.png", np.round(probability * 255).astype(np.uint8), fast)
        write_picture(out / "mask.png", mask.astype(np.uint8) * 255, fast)
        sheet = film_overlay(film.as_stored(film.pixels), mask, prediction.familiar)
        write_picture(out / "overlay.jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if "dicom-seg" in formats and film.header is not None:
        from tools.predict.seg import write_seg  # highdicom takes a second to import

        try:
            write_seg(
                out / "segmentation.dcm", film.header, np.ascontiguousarray(mask), facts["model"]["name"], WARNING
            )
        except UserError as fault:
            problem = str(fault)
    height, width = prediction.mask.shape
    write_json(
        out / PREDICTION,
        {
            **facts,
            "height": height,
            "width": width,
            "spacing_mm": film.spacing,
            "spacing_from": film.spacing_from or None,
            "regions": [asdict(as_stored(region, film, width, height)) for region in prediction.regions],
            "probability_max": float(prediction.probability.max()),
            "no_dicom_seg": problem or None,
            "familiar": {"distance": prediction.distance, "limit": prediction.limit, "is": prediction.familiar},
        },
    )
    return problem


def write_picture(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    """Write uint8 (H, W), or (H, W, 3) as blue, green, red, in the format of the path's suffix."""
    write_bytes(path, cv2.imencode(path.suffix, np.ascontiguousarray(pixels), options)[1].tobytes())


def as_stored(region: Region, film: DecodedFilm, width: int, height: int) -> Region:
    """A region of the film as it is looked at, in the coordinates of its file.

    Args:
        region: in pixels of the film as it is looked at.
        film: with the flips that made it so.
        width, height: of the film, in pixels.
    """
    left, top, right, bottom = region.box
    left_right, up_down = film.flips
    if left_right:
        left, right = width - right, width - left
    if up_down:
        top, bottom = height - bottom, height - top
    return Region((left, top, right, bottom), *list(asdict(region).values())[1:])


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
    }


def is_done(folder: Path, facts: FilmFacts) -> bool:
    """Whether a folder holds a prediction of the same film by the same model with the same options."""
    try:
        old = read_json(folder / PREDICTION)
    except (UserError, ValueError):
        return False
    new = (facts["input_sha256"], facts["model"], facts["options"])
    return (old.get("input_sha256"), old.get("model"), old.get("options")) == new


def film_overlay(pixels: np.ndarray, mask: np.ndarray, familiar: bool) -> np.ndarray:
    """The film with the mask in colour and what must be said about it below; uint8 RGB."""
    colour = cv2.cvtColor(np.ascontiguousarray(stretched(pixels)), cv2.COLOR_GRAY2RGB)
    cv2.copyTo(cv2.LUT(colour, TINTED), mask.astype(np.uint8), colour)
    return np.vstack([colour, notice(pixels.shape[1], familiar)])


@lru_cache(maxsize=256)
def notice(width: int, familiar: bool) -> np.ndarray:
    """The words below a film of that width, uint8 RGB; drawn once, since the font alone takes longer than the film."""
    lines = [WARNING] if familiar else [WARNING, UNFAMILIAR]
    text = [part for line in lines for part in wrap(line, max(12, width // 6))]
    strip = Image.new("RGB", (width, 12 * len(text)), (0, 0, 0))
    ImageDraw.Draw(strip).text((2, 0), "\n".join(text), fill=(230, 230, 230), font_size=10)
    return np.asarray(strip)
