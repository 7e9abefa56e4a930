"""Marked regions in the formats of annotation tools, with the pictures to correct them on.

`predicted_annotations/` below the output holds a picture of every film as annotation tools and browsers open it, and a
file for each tool. What the tool exports is read by the stage ingest, which finds the films by their names.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from stages.common.core.errors import UserError
from stages.common.core.files import write_bytes, write_json
from stages.common.core.printed import one_line
from stages.ingest.annotations.film_names import without_suffix
from tools.predict.films import ANNOTATIONS

PICTURES = "films"
COCO, CVAT, TASKS, LABELLING = "coco.json", "cvat.xml", "label_studio.json", "label_studio.xml"
LABEL = "fracture"
# XML 1.0, section 2.2; bytes of a file's name that are not UTF-8 are surrogates in Python.
NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class MarkedFilm:
    """A film with the regions that a network marked on it.

    picture: its path below `predicted_annotations/films`. width, height: in pixels. regions: as prediction.json has
    them, with boxes (left, top, right, bottom). score: the highest probability. model: that marked them.
    """

    picture: str
    width: int
    height: int
    regions: list[dict[str, Any]]
    score: float
    model: str


def picture_of(film: str) -> str:
    """The path of a film's picture: the film's own, with the suffix of a PNG."""
    return f"{without_suffix(film)}.png"


def picture_path(output: Path, film: str) -> Path:
    """Where a film's picture lies.

    Args:
        output: the folder of predictions.
        film: its name below the output.
    """
    return output / ANNOTATIONS / PICTURES / picture_of(film)


def refuse_odd_names(films: Iterable[str]) -> None:
    """Refuse films whose names no XML can hold, since CVAT could read nothing of its file then.

    Args:
        films: names below the output.
    Raises:
        UserError: a name that is not UTF-8, or with control characters.
    """
    for film in films:
        if NO_XML.search(film):
            raise UserError(
                f"{one_line(film)}: expected a name of printable characters in UTF-8 for annotation tools; rename the "
                "film, or choose another --output if an earlier call predicted it"
            )


def refuse_one_picture(films: Iterable[str]) -> None:
    """Refuse films whose pictures would have one name, since no annotation tool could say which of them it means.

    Args:
        films: names below the output.
    Raises:
        UserError: two films differ in their suffixes only.
    """
    by_picture: dict[str, str] = {}
    for film in films:
        other = by_picture.setdefault(picture_of(film), film)
        if other != film:
            raise UserError(
                f"{film} and {other}: expected names that differ in more than the suffix; rename one, or choose "
                "another --output if an earlier call predicted one"
            )


def tool_files(formats: Iterable[str]) -> list[str]:
    """Names of the files that `write_annotations` writes, below the output."""
    return [f"{ANNOTATIONS}/{file}" for name in formats if name in WRITERS for file in WRITERS[name][1]]


def write_annotations(output: Path, films: list[MarkedFilm], formats: list[str]) -> None:
    """Write a file for each annotation tool into `predicted_annotations/`.

    Args:
        output: the folder of predictions.
        films: in the order in which they are to be looked at.
        formats: some of coco, cvat and label-studio; others have no file.
    """
    for name in formats:
        if name in WRITERS:
            WRITERS[name][0](output / ANNOTATIONS, films)


def write_coco(folder: Path, films: list[MarkedFilm]) -> None:
    """`coco.json`: boxes as left, top, width, height in pixels, each with a score as COCO's results have it."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, film in enumerate(films, start=1):
        images.append({"id": number, "file_name": film.picture, "width": film.width, "height": film.height})
        for region in film.regions:
            left, top, right, bottom = region["box"]
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "segmentation": [],
                    "iscrowd": 0,
                    "score": region["probability_max"],
                }
            )
    categories = [{"id": 1, "name": LABEL, "supercategory": ""}]
    write_json(folder / COCO, {"images": images, "annotations": annotations, "categories": categories})


def write_cvat(folder: Path, films: list[MarkedFilm]) -> None:
    """`cvat.xml`: CVAT for images 1.1; the score is an attribute, which CVAT keeps where the task's label has it."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    label = SubElement(SubElement(task, "labels"), "label")
    SubElement(label, "name").text = LABEL
    score_type = SubElement(SubElement(label, "attributes"), "attribute")
    for name, value in {"name": "score", "mutable": "False", "input_type": "number", "default_value": "0"}.items():
        SubElement(score_type, name).text = value
    SubElement(score_type, "values").text = "0;1;0.0001"
    for number, film in enumerate(films):
        size = {"width": str(film.width), "height": str(film.height)}
        image = SubElement(root, "image", {"id": str(number), "name": film.picture, **size})
        for region in film.regions:
            edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{edge:.2f}" for edge in region["box"]), strict=True))
            facts = {"label": LABEL, "source": "auto", "occluded": "0", **edges, "z_order": "0"}
            score = SubElement(SubElement(image, "box", facts), "attribute", {"name": "score"})
            score.text = f"{region['probability_max']:.4f}"
    indent(root)
    write_bytes(folder / CVAT, tostring(root, encoding="utf-8", xml_declaration=True))


def write_label_studio(folder: Path, films: list[MarkedFilm]) -> None:
    """`label_studio.json`: tasks with predictions, and `label_studio.xml`: the labelling configuration they fit.

    Pictures are those of a local storage whose document root is `predicted_annotations/`.
    """
    tasks = []
    for film in films:
        address = f"/data/local-files/?d={quote(f'{PICTURES}/{film.picture}')}"
        results = [studio_result(film, region, number) for number, region in enumerate(film.regions)]
        prediction = {"model_version": film.model, "score": film.score, "result": results}
        tasks.append({"data": {"image": address}, "predictions": [prediction]})
    write_json(folder / TASKS, tasks)
    write_bytes(folder / LABELLING, CONFIGURATION.encode())


CONFIGURATION = f"""<View>
  <Image name="image" value="$image" zoom="true" brightnessControl="true" contrastControl="true"/>
  <RectangleLabels name="label" toName="image"><Label value="{LABEL}"/></RectangleLabels>
</View>
"""


def studio_result(film: MarkedFilm, region: dict[str, Any], number: int) -> dict[str, Any]:
    """A rectangle in per cent of the film's sides.

    Args:
        film: that it lies on.
        region: of the film.
        number: of the region, from 0.
    """
    left, top, right, bottom = region["box"]
    value = {
        "x": 100 * left / film.width,
        "y": 100 * top / film.height,
        "width": 100 * (right - left) / film.width,
        "height": 100 * (bottom - top) / film.height,
        "rotation": 0,
        "rectanglelabels": [LABEL],
    }
    return {
        "id": f"region-{number + 1}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": film.width,
        "original_height": film.height,
        "image_rotation": 0,
        "score": region["probability_max"],
        "value": value,
    }


# What writes the files of a format, and their names.
WRITERS: dict[str, tuple[Callable[[Path, list[MarkedFilm]], None], tuple[str, ...]]] = {
    "coco": (write_coco, (COCO,)),
    "cvat": (write_cvat, (CVAT,)),
    "label-studio": (write_label_studio, (TASKS, LABELLING)),
}
