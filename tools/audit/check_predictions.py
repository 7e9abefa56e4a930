"""Scores of test films from their pictures: counts, outlines and regions from masks, and masks from probabilities."""

from typing import Any, NamedTuple

import numpy as np

from stages.common.data.layout import (
    DATASET,
    EVALUATION,
    METRICS,
    PARAMS,
    PREDICTED_MASK,
    PROBABILITY,
    dataset_file,
    map_file,
)
from stages.common.data.run_id import Run
from stages.common.data.tables import PER_IMAGE, SPLIT
from stages.common.model.metrics import COUNTS, count_pixels
from tools.audit.check_data import is_plain, read_picture
from tools.audit.findings import Check
from tools.audit.tables import CLOSE, is_undefined, read_record, read_table, same
from tools.audit.trace import Project, scores_of
from tools.audit.yaml_files import settings_of

ROUNDED = 0.5 / 255  # of a probability in 8 bits


class Bounds(NamedTuple):
    """Least and largest value of a score; `between`: whether it may have others than these two."""

    low: float
    high: float
    between: bool = True

    def allow(self, value: float) -> bool:
        """Whether the score can be that; NaN stands for a score that is not defined."""
        inside = self.low - CLOSE <= value <= self.high + CLOSE if self.between else value in (self.low, self.high)
        return inside or same(value, self.low)


def check_counts(project: Project, check: Check) -> None:
    """The pixel counts of every test film from its mask and its label, and the mask from its probabilities."""
    split = read_table(project, check, DATASET, SPLIT)
    if not check.whole(str(PARAMS)):
        return
    tolerance = settings_of(project.root, "evaluate").boundary_px
    for run in project.runs:
        scores = read_table(project, check, EVALUATION / run.folder, PER_IMAGE)
        summary = read_record(project, check, EVALUATION / run.folder / METRICS)
        if scores is None or split is None:
            continue
        films = {row["image_id"]: row for row in SPLIT.rows(split)}
        threshold = (summary or {}).get("threshold", {})
        value = threshold.get("value") if isinstance(threshold, dict) else None
        for row in PER_IMAGE.rows(scores):
            if row["image_id"] in films:
                check_prediction(project, check, run, row, films[row["image_id"]], value, tolerance)


def check_prediction(
    project: Project, check: Check, run: Run, row: Any, film: Any, threshold: Any, tolerance: float
) -> None:
    """One test film's counts, outline and regions from its mask, and its mask from its probabilities.

    Args:
        project: whose pictures are read.
        check: gets the findings.
        run: that predicted.
        row: of per_image.csv.
        film: its row of split.csv.
        threshold: from which on a probability is marked.
        tolerance: of outlines, in pixels.
    """
    label = dataset_file(DATASET, film["split"], row["image_id"], "mask")
    mask, chances = (map_file(EVALUATION / run.folder, kind, row["image_id"]) for kind in (PREDICTED_MASK, PROBABILITY))
    if not check.whole(*map(str, (label, mask, chances))):
        return
    pred, ref, shown = (read_picture(project.root / path) for path in (mask, label, chances))
    for path, picture in ((mask, pred), (label, ref), (chances, shown)):
        if not is_plain(picture) or not is_plain(ref) or picture.shape != ref.shape:
            check.add(str(path), "mismatch", "expected a plain grey picture of 8 bits and of the label's size")
            return
    assert pred is not None
    assert ref is not None
    assert shown is not None
    for path, picture in ((mask, pred), (label, ref)):
        if not np.isin(picture, (0, 255)).all():
            check.add(str(path), "mismatch", "expected 0 and 255, found other shades, which the eye takes for others")
    counts = count_pixels(mask_pred=pred > 0, mask_ref=ref > 0)
    if any(int(row[key]) != counts[key] for key in COUNTS):
        check.add(f"{scores_of(run)}: {row['image_id']}", "mismatch", f"{counts} follow from {mask} and {label}")
    for name, bounds in (of_mask(tolerance, pred > 0, ref > 0, film) | of_chances(shown, ref > 0, film)).items():
        cell = row[name]
        if not bounds.allow(cell):
            message = f"{cell} stands there, {bounds.low:.6g} to {bounds.high:.6g} follows from its pictures"
            check.add(f"{scores_of(run)}: {row['image_id']}/{name}", "mismatch", message)
    if isinstance(threshold, float) and contradicts(pred > 0, shown, threshold):
        check.add(str(mask), "mismatch", f"it is not {chances} at the threshold {threshold}")


def contradicts(pred: np.ndarray, shown: np.ndarray, threshold: float) -> bool:
    """Whether a mask cannot be that of probabilities at a threshold.

    Only the one shade to which probabilities on both sides of the threshold are rounded leaves a pixel open; at 0.5
    there is none.

    Args:
        pred: the predicted mask, bool (H, W).
        shown: the probabilities, rounded to 8 bits as `evaluate` does, uint8 (H, W).
        threshold: from which on a probability, in 32 bits, is marked.
    """
    with np.errstate(over="ignore"):  # where nothing is marked
        least = np.float32(threshold)
        below = np.nextafter(least, np.float32(-np.inf))
        lowest_marked, highest_unmarked = (np.round(chance * 255) for chance in (least, below))
    return bool(((shown > highest_unmarked) & ~pred).any() or ((shown < lowest_marked) & pred).any())


def of_mask(tolerance: float, pred: np.ndarray, ref: np.ndarray, film: Any) -> dict[str, Bounds]:
    """Each score that follows from a predicted mask, with one value.

    Args:
        tolerance: of outlines, in pixels.
        pred, ref: the predicted mask and the label, bool (H, W).
        film: its row of split.csv.
    """
    from stages.evaluate.boundary import boundary
    from stages.evaluate.detection import detection
    from stages.evaluate.main import boxes_of

    spacing = None if is_undefined(film["row_mm"]) else (film["row_mm"], film["column_mm"])
    scores = boundary(mask_pred=pred, mask_ref=ref, tolerance=tolerance, spacing=spacing)
    scores |= detection(pred.astype(float), 0.5, boxes_of(film))
    return {name: Bounds(value, value) for name, value in scores.items() if name != "pointing"}


def of_chances(shown: np.ndarray, ref: np.ndarray, film: Any) -> dict[str, Bounds]:
    """The bounds of each score that follows from a probability map, which is rounded to 8 bits.

    Args:
        shown: the map, uint8 (H, W).
        ref: the label, bool (H, W).
        film: its row of split.csv.
    """
    from stages.evaluate.detection import within
    from stages.evaluate.main import boxes_of

    chances = shown / 255
    wrong, highest = np.abs(chances - ref), float(chances.max())
    brier, off = float((wrong**2).mean()), float((2 * wrong * ROUNDED + ROUNDED**2).mean())
    boxes = boxes_of(film)
    summits = np.argwhere(shown == shown.max())[:, ::-1] + 0.5  # of which one is the most probable pixel
    hits = within(boxes, summits).any(axis=0) if len(boxes) else np.array([np.nan])
    return {
        "probability_max": Bounds(max(highest - ROUNDED, 0.0), min(highest + ROUNDED, 1.0)),
        "brier": Bounds(max(brier - off, 0.0), min(brier + off, 1.0)),
        "pointing": Bounds(float(hits.min()), float(hits.max()), between=False),
    }
