"""Tables I and II of the paper for our models: the metrics and pictures of every test film, for page and viewer."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.common.analysis import overlays as pictures
from stages.common.analysis.formatting import number
from stages.common.analysis.viewer import ViewedFilm, ViewedModel, as_script, probability_map, square_on_film
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
from stages.report.tables import name_of

SHOWN = ("f1", "precision", "recall", "accuracy")
SORTED = (*SHOWN, "iou", "specificity", "mcc", "auprc", "nsd", "hd95_px", "false_regions", "brier")
# Films that are shown, at most: more take a browser seconds to load, and their pictures gigabytes. Tables have all.
ON_PAGE = 1000
MAILED = 40  # on the page in one file


@dataclass(frozen=True)
class FilmMaps:
    """A film on the network's square, uint8 (S, S): what the stages before wrote of it, each file read once.

    image, levels, mask: of the data set. predicted, probability: the PREDICTED_MASK and the PROBABILITY by variant.
    """

    image: np.ndarray
    levels: np.ndarray
    mask: np.ndarray
    predicted: dict[str, np.ndarray]
    probability: dict[str, np.ndarray]


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

    @property
    def shown(self) -> list[str]:
        """Those of the page: all, or ON_PAGE of them at equal steps of baseline's F1."""
        ids = self.ids
        return [ids[i] for i in at_equal_steps(self.scores["baseline"]["f1"].fillna(0), ON_PAGE)]

    def maps(self, image_id: str) -> FilmMaps:
        """What is drawn of a film beside its picture."""
        side = str(self.split.loc[image_id, "split"])
        folders = {name: self.root / EVALUATION / self.seen_by[name][image_id].run.folder for name in VARIANTS}
        predicted, probability = (
            {name: read_png(map_file(folder, kind, image_id)) for name, folder in folders.items()}
            for kind in (PREDICTED_MASK, PROBABILITY)
        )
        drawn = {kind: read_png(dataset_file(self.root / DATASET, side, image_id, kind)) for kind in PICTURES}
        return FilmMaps(**drawn, predicted=predicted, probability=probability)

    def original(self, image_id: str) -> np.ndarray:
        """The raw film, uint8 or uint16 (H, W)."""
        return read_png(self.root / RAW / str(self.manifest.loc[image_id, "file"]))

    def threshold(self, variant: str, image_id: str) -> float:
        """From which probability on the film's pixels were marked."""
        return float(self.seen_by[variant][image_id].metrics["threshold"]["value"])


def at_equal_steps(values: Sequence[float] | pd.Series, most: int) -> list[int]:
    """Positions of at most `most` values, at equal steps between the smallest and the largest, in their order."""
    order = np.argsort(np.asarray(values, dtype=float), kind="stable")
    steps = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return [int(step) for step in np.sort(order[steps])]


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
    """Write what the page loads of every film that it shows: the picture, its tiles and its layers.

    Args:
        out: becomes PAGE_FILMS.
        films: of the page.
    """
    with ThreadPoolExecutor(count_workers()) as pool:  # coding pictures leaves the interpreter to others
        list(pool.map(partial(write_film, out, films), films.shown))


def write_film(out: Path, films: TestFilms, image_id: str) -> None:
    maps, shown = films.maps(image_id), pictures.stretched(films.original(image_id))
    write_bytes(out / ORIGINAL / f"{image_id}.jpg", pictures.jpeg(shown, 95))
    write_bytes(out / TILES / f"{image_id}.jpg", pictures.jpeg(tiles(shown, maps)))
    row: Any = films.prepared.loc[image_id]
    affine = Affine(row["scale_x"], row["scale_y"], row["shift_x"], row["shift_y"])
    seen = viewed(films, image_id, maps, f"../{ORIGINAL}/{image_id}.jpg", square_on_film(affine, len(maps.image)))
    write_text(out / LAYERS / f"{image_id}{LAYERS_SUFFIX}", as_script(seen))


def tiles(film: np.ndarray, maps: FilmMaps) -> np.ndarray:
    """Original, label, levels, errors of both models and their difference side by side, uint8 RGB.

    Args:
        film: the raw film for the eye, uint8 (H, W).
        maps: of it.
    """
    label = maps.mask > 0
    masks = {name: mask > 0 for name, mask in maps.predicted.items()}
    right = {name: mask == label for name, mask in masks.items()}
    gained, lost = right["adaptive"] & ~right["baseline"], right["baseline"] & ~right["adaptive"]
    drawn = [pictures.errors(mask_pred=mask, mask_ref=label) for mask in masks.values()]
    drawn.append(np.where(gained, 1, np.where(lost, 3, 0)))
    errors = [pictures.overlay(maps.image, kinds) for kinds in drawn]
    return pictures.tiles(film, [pictures.outlined(maps.image, label), maps.levels, *errors])


def viewed(
    films: TestFilms, image_id: str, maps: FilmMaps, film: str, square: tuple[float, float, float, float]
) -> ViewedFilm:
    """What the viewer shows of a film.

    Args:
        films: of the page.
        image_id: of one of them.
        maps: of it.
        film: address of its picture.
        square: left, top, width and height of the network's square in that picture.
    """
    models: list[ViewedModel] = []
    for name in VARIANTS:
        threshold = films.threshold(name, image_id)
        probability = probability_map(maps.probability[name], maps.predicted[name] > 0, threshold)
        models.append({"name": name, "probability": pictures.png_uri(probability), "threshold": threshold})
    return {"film": film, "grid": square, "label": pictures.png_uri(maps.mask), "models": models}


def cards(films: TestFilms) -> list[dict[str, Any]]:
    """What the page says of each film that it shows; its pictures are in files beside the page."""
    rows, beside = [], PAGE_FILMS.name
    numbers = {image_id: i for i, image_id in enumerate(films.ids)}
    for image_id in films.shown:
        i = numbers[image_id]
        scores = {name: films.scores[name].iloc[i] for name in VARIANTS}
        facts: Any = films.split.loc[image_id]
        rows.append(
            {
                "id": image_id,
                "number": i + 1,
                "source": facts["source"],
                "share": f"{100 * facts['prevalence']:.1f} %",
                "outcome": film_outcome(scores),
                "tiles": f"{beside}/{TILES}/{image_id}.jpg",
                "layers": f"{beside}/{LAYERS}/{image_id}{LAYERS_SUFFIX}",
                "rows": [[name, *(number(float(scores[name][m]), ".3f") for m in SHOWN)] for name in VARIANTS],
                "sort": {
                    f"{name} {name_of(metric)}": sortable(scores[name][metric])
                    for name in VARIANTS
                    for metric in SORTED
                }
                | {"difference in F1": sortable(scores["adaptive"]["f1"] - scores["baseline"]["f1"])},
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
    scripts, rows = [], []
    for chosen in at_equal_steps([card["sort"]["baseline F1"] or 0 for card in shown], MAILED):
        card = shown[chosen]
        image_id, maps = card["id"], films.maps(card["id"])
        tiled = pictures.uri("JPEG", (films.root / PAGE_FILMS / TILES / f"{image_id}.jpg").read_bytes())
        rows.append(card | {"tiles": tiled, "layers": None})
        side = len(maps.image)
        seen = viewed(films, image_id, maps, pictures.picture(maps.image, side), (0, 0, side, side))
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
