"""What a folder of predictions holds: a table, and a page to look through, what needs a look first."""

import csv
import os
import sys
from collections.abc import Collection, Container
from io import StringIO
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from stages.common.analysis.templates import page_templates
from stages.common.core.busy import busy
from stages.common.core.errors import UserError, first_few
from stages.common.core.files import write_text
from stages.common.core.printed import one_line
from tools.predict import TOOLS
from tools.predict.annotations import MarkedFilm, picture_of, picture_path, write_annotations
from tools.predict.films import INDEX, LAYERS, OVERLAY, PREDICTION, SEGMENTATION, SUMMARY, predicted_below
from tools.predict.label_next import Measure, label_ranks
from tools.predict.outputs import WARNING, PredictionRecord, read_prediction
from tools.predict.own_files import own_files

LEFT_OUT = "no film"
SHOWN = 5  # names of predictions that cannot be read
ORDER = ("refused", "unfamiliar", "marked", "not marked", "left out")
HEADINGS = {
    "refused": "Refused: no prediction",
    "unfamiliar": "Unfamiliar: unlike the films that the model was trained on",
    "marked": "With marked regions, the most probable first",
    "not marked": "Without a marked region",
    "left out": "Left out: no films",
}


class SummaryRow(TypedDict):
    """A row of summary.csv. result: of ORDER. All numbers are blank without a prediction.

    fracture_probability: that the film has a fracture; blank without calibration. uncertainty, disagreement: of
    `tools.predict.label_next`, the second blank for one network. label_next: 1 for the film to label first; blank
    where the measure is.
    """

    film: str
    result: str
    regions: str
    probability_max: str
    fracture_probability: str
    uncertainty: str
    disagreement: str
    label_next: str
    dicom_seg: str
    reason: str


def write_pages(
    output: Path, refused: dict[str, str], measure: Measure, formats: list[str], done: Collection[str] = ()
) -> None:
    """Write summary.csv, index.html and the files of annotation tools over all predictions below a folder.

    Args:
        output: the folder.
        refused: reasons why files have no prediction, by their names; LEFT_OUT for what is no film.
        measure: by which films are ranked for labelling.
        formats: some of FORMATS.
        done: names of the films that this call predicted.
    Raises:
        UserError: a prediction of these films is not there any more, or of `own_files`.
    """
    records = read_predictions(output, refused)
    if gone := sorted(set(done) - records.keys()):
        shown = first_few(gone, SHOWN)
        raise UserError(
            f"{output}: expected the predictions of {shown}, found none any more; predict these films again"
        )
    with busy("predict: writes the table, the page and annotations"):
        ranks = label_ranks({name: record[measure] for name, record in records.items()})
        rows = [row_of_refused(name, reason) for name, reason in refused.items()]
        rows += [row_of(record, name, output, ranks.get(name)) for name, record in records.items()]
        rows.sort(key=lambda row: (ORDER.index(row["result"]), -float(row["probability_max"] or 0), row["film"]))
        with own_files(output) as out:
            write_text(out / SUMMARY, summary_table(rows))
            write_text(out / INDEX, page(rows, output))
        order = sorted(records, key=lambda name: (ranks.get(name, len(records) + 1), name))
        pictured = [name for name in order if has_picture(output, name, records[name])]
        with own_files(output) as out:
            write_annotations(out, [marked_film(name, records[name]) for name in pictured], formats)


def has_picture(output: Path, name: str, record: PredictionRecord) -> bool:
    """Whether a film has a picture for annotation tools; one that the prediction did not write is of an earlier film.

    Args:
        output: the folder of all predictions.
        name: of the film.
        record: its prediction.json.
    """
    return picture_path(output, name).is_file() and not set(TOOLS).isdisjoint(record["options"]["format"])


def summary_table(rows: list[SummaryRow]) -> str:
    """summary.csv: a line for each row below the names of the columns."""
    table = StringIO()
    writer = csv.DictWriter(table, list(SummaryRow.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def read_predictions(output: Path, refused: Container[str]) -> dict[str, PredictionRecord]:
    """Every prediction below a folder by the name of its film; says which cannot be read.

    Args:
        output: the folder.
        refused: names of films that have no prediction now, whatever an earlier call left.
    """
    records, unread = {}, []
    with busy("predict: reads all predictions"):
        for name in predicted_below(output):
            if name in refused:
                continue
            record = read_prediction(output / name)
            if record is None:
                unread.append(one_line(name))
            else:
                records[name] = record
    if unread:
        print(
            f"predict: {len(unread)} predictions are damaged or of another version, and missing in {SUMMARY}: "
            f"{first_few(unread, SHOWN)}; move or delete their folders, and predict these films again",
            file=sys.stderr,
        )
    return records


def marked_film(name: str, record: PredictionRecord) -> MarkedFilm:
    """A prediction as annotation tools have it."""
    picture, size = picture_of(name), (record["width"], record["height"])
    model = f"{record['model']['name']} {record['model']['weights_sha256'][:12]}"
    return MarkedFilm(picture, *size, record["regions"], record["probability_max"], model)


def row_of_refused(name: str, reason: str) -> SummaryRow:
    """The row of a file without a prediction."""
    result = "left out" if reason == LEFT_OUT else "refused"
    return SummaryRow(
        film=name,
        result=result,
        regions="",
        probability_max="",
        fracture_probability="",
        uncertainty="",
        disagreement="",
        label_next="",
        dicom_seg="",
        reason=reason,
    )


def row_of(record: PredictionRecord, name: str, output: Path, rank: int | None) -> SummaryRow:
    """The row of a prediction.

    Args:
        record: its prediction.json.
        name: of its film.
        output: the folder of all predictions.
        rank: among the films to label next; None without.
    """
    regions, fracture, apart = record["regions"], record["fracture_probability"], record["disagreement"]
    familiar = record["familiar"]["is"]
    reasons = [] if familiar else ["unlike the films that the model was trained on"]
    reasons += [f"no DICOM SEG: {record['no_dicom_seg']}"] if record["no_dicom_seg"] else []
    return SummaryRow(
        film=name,
        result="unfamiliar" if not familiar else "marked" if regions else "not marked",
        regions=str(len(regions)),
        probability_max=f"{record['probability_max']:.4f}",
        fracture_probability="" if fracture is None else f"{fracture:.4f}",
        uncertainty=f"{record['uncertainty']:.3g}",
        disagreement="" if apart is None else f"{apart:.3g}",
        label_next="" if rank is None else str(rank),
        dicom_seg="yes" if (output / name / SEGMENTATION).exists() else "no",
        reason="; ".join(reasons),
    )


def page(rows: list[SummaryRow], output: Path) -> str:
    """index.html: a section for each of ORDER, which opens from its folder without a network."""
    by_result = {result: [row for row in rows if row["result"] == result] for result in ORDER}
    return (
        page_templates(Path(__file__).parent)
        .get_template("page.html")
        .render(
            warning=WARNING,
            summary=SUMMARY,
            calibrated=any(row["fracture_probability"] for row in rows),
            total=", ".join(f"{len(those)} {result}" for result, those in by_result.items() if those) or "no files",
            sections=[
                {"heading": HEADINGS[result], "films": [card(row, output) for row in those]}
                for result, those in by_result.items()
                if those
            ],
        )
    )


def card(row: SummaryRow, output: Path) -> dict[str, str]:
    """What the page says of a film; addresses are blank where there is no such file, and without a prediction.

    The folder of a refused film may hold the prediction of an earlier film of that name.

    Args:
        row: of the film.
        output: the folder of the page.
    """
    folder = quote(os.fsencode(row["film"]))
    facts = {
        "regions": row["regions"],
        "highest probability": row["probability_max"],
        "probability of a fracture": row["fracture_probability"],
        "place among the films to label next": row["label_next"],
    }
    return {
        "name": row["film"],
        "unfamiliar": "unfamiliar" if row["result"] == "unfamiliar" else "",
        "anchor": quote(row["film"].encode(errors="backslashreplace"), safe=""),  # as write_text writes the name
        "facts": "; ".join(f"{name}: {value}" for name, value in facts.items() if value),
        "reason": row["reason"],
    } | {
        key: f"{folder}/{name}" if row["regions"] and (output / row["film"] / name).exists() else ""
        for key, name in {"overlay": OVERLAY, "layers": LAYERS, "prediction": PREDICTION}.items()
    }
