"""VGG Image Annotator (VIA): a JSON file of many films."""

from typing import Any

from stages.common.data.shapes import Shape, box_shape
from stages.ingest.annotations.json_file import (
    HOW_TO_FIX,
    SHAPES,
    error_text,
    finite,
    kind_of,
    line_of_key,
    listed,
    load,
    record,
    ring,
)
from stages.ingest.annotations.labels import FilmLabels, Labels
from stages.ingest.problems import Problem, Unreadable, Wrong

USUAL = ("label", "class", "name", "type")  # attributes that hold a region's label


def read_via(content: bytes) -> Labels:
    """VGG Image Annotator 2 JSON, annotations or whole project: rectangles and polygons in pixels."""
    text, data = load(content, "VIA JSON")
    labels = Labels()
    if isinstance(data, dict) and "_via_img_metadata" in data:
        data = data["_via_img_metadata"]
    try:
        items = [(key, record(entry)["filename"], entry["regions"]) for key, entry in record(data).items()]
    except SHAPES as error:
        raise Unreadable("VIA JSON with filename and regions", error_text(error), HOW_TO_FIX) from None
    for key, name, regions in items:
        line = line_of_key(text, key)
        film = FilmLabels(line=line)
        if not isinstance(regions, dict | list):
            actual = f"{kind_of(regions)} as the regions of {name!s:.80}"
            film.problems.append(("", Problem("a list of regions", actual, "correct the annotation", line)))
            regions = []
        for index, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
            label = ""
            try:
                label = via_label(record(record(region).get("region_attributes") or {}))
                film.shapes.append(via_shape(record(region["shape_attributes"]), label, line))
            except SHAPES as error:
                reason = f"{error_text(error)} (region {index} of {name!s:.80})"
                problem = Problem("a rectangle or polygon", reason, "correct the annotation", line)
                film.problems.append((label, problem))
        labels.add_film(str(name), film)
    return labels


def via_shape(drawn: dict[str, Any], label: str, line: int) -> Shape:
    if drawn["name"] == "rect":
        x, y, width, height = (finite(drawn[name]) for name in ("x", "y", "width", "height"))
        return box_shape(x, y, x + width, y + height, label, line)
    if drawn["name"] != "polygon":  # a polyline is open: what it encloses nobody has said
        raise Wrong(f"a shape of type {drawn['name']!r:.40}")
    across, down = listed(drawn["all_points_x"]), listed(drawn["all_points_y"])
    if len(across) != len(down):
        raise Wrong(f"{len(across)} values of x and {len(down)} of y")
    return Shape(label, "polygon", (ring([list(pair) for pair in zip(across, down, strict=True)]),), line)


def via_label(attributes: dict[str, Any]) -> str:
    """The label among VIA's free attributes: one of the usual names, or the only one there is; blank without any.

    Raises:
        Wrong: several attributes of other names, or a checkbox with several labels or none.
    """
    usual = [name for name in USUAL if name in attributes]
    if not usual and len(attributes) > 1:
        raise Wrong(f"{len(attributes)} attributes, none of which is called label, class, name or type")
    for name in (*usual, *attributes):
        value = attributes[name]
        if not isinstance(value, dict):
            return str(value)
        chosen = [label for label, is_chosen in value.items() if is_chosen]
        if len(chosen) != 1:
            raise Wrong(f"a shape of {len(chosen)} labels")
        return str(chosen[0])
    return ""
