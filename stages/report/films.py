"""Tables I and II of the paper for our models: the metrics and pictures of every test film, for page and viewer."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.common.analysis import overlays as pictures
from stages.common.analysis.formatting import number
from stages.common.analysis.viewer import ViewedFilm, as_script, probability_map, square_on_film
from stages.common.core.files import read_png, write_bytes, write_text
from stages.common.core.parallel import count_workers
from stages.common.data.geometry import Affine
from stages.common.data.layout import (
    DATASET,
    EVALUATION,
    LAYERS,
    LAYERS_SUFFIX,
    ORIGINAL,
    PAGE_FILMS,
    PICTURES,
    PREDICTED_MASK,
    PREPROCESSED,
    PROBABILITY,
    RAW,
    TILES,
    dataset_file,
    map_file,
)
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import PREPARED
from stages.report.evaluations import Evaluated

SHOWN = ("f1", "precision", "recall", "accuracy")
SORTED = (*SHOWN, "iou", "specificity", "mcc", "auprc", "nsd", "hd95_px", "false_regions", "brier")
MAILED = 40  # films, at most, that the page in one file shows


@dataclass(frozen=True)
class TestFilms:
    """The test films as the first seed's models saw them, over all folds.

    root: the folder that holds data/, models/ and reports/. scores: per_image.csv of each variant. split, manifest,
    prepared: split.csv, manifest.csv and index.csv of data/preprocessed, by image_id. seen_by: of each variant, by
    image_id, the run that was tested on the film.
    """

    root: Path
    scores: dict[str, pd.DataFrame]
    split: pd.DataFrame
    manifest: pd.DataFrame
    prepared: pd.DataFrame
    seen_by: dict[str, dict[str, Evaluated]]

    @property
    def ids(self) -> list[str]:
        return list(self.scores["baseline"]["image_id"])

    def picture(self, image_id: str, kind: Any) -> np.ndarray:
        """The film's image, levels or mask on the network's square, uint8 (S, S)."""
        return read_png(dataset_file(self.root / DATASET, str(self.split.loc[image_id, "split"]), image_id, kind))

    def original(self, image_id: str) -> np.ndarray:
        """The raw film, uint8 or uint16 (H, W)."""
        return read_png(self.root / RAW / str(self.manifest.loc[image_id, "file"]))

    def predicted(self, variant: str, image_id: str, kind: str) -> np.ndarray:
        """The PROBABILITY or PREDICTED_MASK of the film, uint8 (S, S)."""
        return read_png(map_file(self.root / EVALUATION / self.seen_by[variant][image_id].run.folder, kind, image_id))

    def threshold(self, variant: str, image_id: str) -> float:
        """From which probability on the film's pixels were marked."""
        return float(self.seen_by[variant][image_id].metrics["threshold"]["value"])


def read_films(root: Path, runs: dict[str, list[Evaluated]], split: pd.DataFrame, manifest: pd.DataFrame) -> TestFilms:
    """The films that are shown one by one: all folds of the first seed.

    Args:
        root: the folder that holds data/, models/ and reports/.
        runs: of each variant, by seed and fold.
        split: split.csv, by image_id.
        manifest: manifest.csv, by image_id.
    """
    seed = runs["baseline"][0].run.seed
    first = {name: [item for item in evaluated if item.run.seed == seed] for name, evaluated in runs.items()}
    return TestFilms(
        root,
        {name: pd.concat([item.table for item in items], ignore_index=True) for name, items in first.items()},
        split,
        manifest,
        PREPARED.read(root / PREPROCESSED).set_index("image_id"),
        {name: {film: item for item in items for film in item.table["image_id"]} for name, items in first.items()},
    )


def write_films(out: Path, films: TestFilms) -> None:
    """Write what the page loads of every film: the picture, its tiles and its layers.

    Args:
        out: becomes PAGE_FILMS.
        films: of the page.
    """
    with ThreadPoolExecutor(count_workers()) as pool:  # coding pictures leaves the interpreter to others
        list(pool.map(partial(write_film, out, films), films.ids))


def write_film(out: Path, films: TestFilms, image_id: str) -> None:
    original = films.original(image_id)
    write_bytes(out / ORIGINAL / f"{image_id}.jpg", pictures.jpeg(pictures.stretched(original), 95))
    write_bytes(out / TILES / f"{image_id}.jpg", pictures.jpeg(tiles(films, image_id, original)))
    row: Any = films.prepared.loc[image_id]
    affine = Affine(row["scale_x"], row["scale_y"], row["shift_x"], row["shift_y"])
    square = square_on_film(affine, len(films.picture(image_id, "image")))
    write_text(
        out / LAYERS / f"{image_id}{LAYERS_SUFFIX}",
        as_script(viewed(films, image_id, f"../{ORIGINAL}/{image_id}.jpg", square)),
    )


def tiles(films: TestFilms, image_id: str, original: np.ndarray) -> np.ndarray:
    """Original, label, levels, errors of both models and their difference side by side, uint8 RGB.

    Args:
        films: of the page.
        image_id: of one of them.
        original: its raw film.
    """
    film, levels, mask = (films.picture(image_id, kind) for kind in PICTURES)
    label = mask > 0
    masks = {name: films.predicted(name, image_id, PREDICTED_MASK) > 0 for name in VARIANTS}
    right = {name: mask == label for name, mask in masks.items()}
    gained, lost = right["adaptive"] & ~right["baseline"], right["baseline"] & ~right["adaptive"]
    kinds = [pictures.errors(mask_pred=mask, mask_ref=label) for mask in masks.values()]
    seen, difference = [pictures.overlay(film, kind) for kind in kinds], np.where(gained, 1, np.where(lost, 3, 0))
    outlined = pictures.overlay(film, np.where(pictures.outline(label), 2, 0))
    return pictures.tiles(original, [outlined, levels, *seen, pictures.overlay(film, difference)])


def viewed(films: TestFilms, image_id: str, film: str, square: tuple[float, float, float, float]) -> ViewedFilm:
    """What the viewer shows of a film.

    Args:
        films: of the page.
        image_id: of one of them.
        film: address of its picture.
        square: left, top, width and height of the network's square in that picture.
    """
    return {
        "film": film,
        "grid": square,
        "label": pictures.png_uri(films.picture(image_id, "mask")),
        "models": [
            {
                "name": name,
                "probability": probability_uri(films, name, image_id),
                "threshold": films.threshold(name, image_id),
            }
            for name in VARIANTS
        ],
    }


def probability_uri(films: TestFilms, variant: str, image_id: str) -> str:
    probability, mask = (films.predicted(variant, image_id, kind) for kind in (PROBABILITY, PREDICTED_MASK))
    return pictures.png_uri(probability_map(probability, mask > 0, films.threshold(variant, image_id)))


def cards(films: TestFilms) -> list[dict[str, Any]]:
    """What the page says of each film; its pictures are in files beside the page."""
    rows, beside = [], PAGE_FILMS.name
    for i, image_id in enumerate(films.ids):
        scores = {name: films.scores[name].iloc[i] for name in VARIANTS}
        facts: Any = films.split.loc[image_id]
        rows.append(
            {
                "id": image_id,
                "number": i + 1,
                "source": facts["source"],
                "share": f"{facts['prevalence']:.1%}",
                "outcome": film_outcome(scores),
                "tiles": f"{beside}/{TILES}/{image_id}.jpg",
                "layers": f"{beside}/{LAYERS}/{image_id}{LAYERS_SUFFIX}",
                "rows": [[name, *(number(float(scores[name][m]), ".3f") for m in SHOWN)] for name in VARIANTS],
                "sort": {f"{name} {metric}": sortable(scores[name][metric]) for name in VARIANTS for metric in SORTED}
                | {"difference in f1": sortable(scores["adaptive"]["f1"] - scores["baseline"]["f1"])},
            }
        )
    return rows


def to_mail(films: TestFilms, shown: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The films of the page in one file, and the script that holds their layers.

    They are at most MAILED, at equal steps of baseline's F1, each as the network's square.

    Args:
        films: of the page.
        shown: of `cards`.
    """
    order = sorted(range(len(shown)), key=lambda i: (shown[i]["sort"]["baseline f1"] or 0, i))
    steps = np.linspace(0, len(order) - 1, min(MAILED, len(order))).round().astype(int)
    chosen = [shown[i] for i in sorted(order[step] for step in steps)]
    scripts, rows = [], []
    for card in chosen:
        image_id, image = card["id"], films.picture(card["id"], "image")
        tiled = pictures.uri("JPEG", (films.root / PAGE_FILMS / TILES / f"{image_id}.jpg").read_bytes())
        rows.append(card | {"tiles": tiled, "layers": None})
        side = len(image)
        seen = viewed(films, image_id, pictures.picture(image, side), (0, 0, side, side))
        scripts.append(as_script(seen, image_id))
    return rows, "".join(scripts)


def sortable(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def film_outcome(scores: dict[str, pd.Series]) -> str:
    """Who found a fracture: a region's centre lies in a box. On a film without one: who raised a false alarm."""
    fractured = scores["baseline"]["fractures"] > 0
    hit = {name: bool((row["found_centre"] if fractured else row["false_regions"]) > 0) for name, row in scores.items()}
    hits = [name for name in hit if hit[name]]
    who = {0: "neither", 1: f"only {''.join(hits)}", 2: "both"}[len(hits)]
    return f"{'fracture found' if fractured else 'no fracture, false alarm'}: {who}"
