"""Copies: what the perceptual hash catches and what it does not, on constructed sets and on real films."""

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.ingest.pictures import decode_picture
from stages.ingest.quality.duplicates import (
    cut_heights,
    groups,
    orientations,
    pairs_with_missing_rows,
    perceptual_hashes,
    pixel_hash,
    small_picture,
    upper_hashes,
)
from stages.ingest.quality.hash_search import near_pairs
from tests.helpers.copies import COPIES, films
from tests.helpers.paths import FRACATLAS, GRAZPEDWRI, needs


def distances(originals: list[Image.Image], copies: list[Image.Image]) -> list[int]:
    both = np.stack([perceptual_hashes(small_picture(np.asarray(image))) for image in originals + copies])
    found = {(i, j): bits for i, j, bits in near_pairs(both, 128)}
    return [found.get((i, i + len(originals)), 129) for i in range(len(originals))]


@pytest.mark.parametrize("name", COPIES)
def test_which_copies_are_caught(name: str) -> None:
    change, caught = COPIES[name]
    originals = films(6)
    apart = distances(originals, [change(image) for image in originals])
    assert (max(apart) <= 32) is caught, apart


@pytest.mark.slow
def test_no_two_films_of_the_sample_are_taken_for_copies() -> None:
    hashes = np.stack([perceptual_hashes(small_picture(np.asarray(image))) for image in films(40)])
    assert near_pairs(hashes, 32) == []


@pytest.mark.slow
@needs(FRACATLAS)
def test_no_false_alarm_on_real_films_and_their_copies_are_caught() -> None:
    paths = sorted(FRACATLAS.rglob("*.jpg"))
    hashes = np.stack(
        [perceptual_hashes(small_picture(decode_picture(path.read_bytes(), 64).pixels)) for path in paths]
    )
    assert len(hashes) == 196
    assert near_pairs(hashes, 45) == []
    originals = [Image.open(path).convert("L") for path in paths[::20]]
    for name, (change, caught) in COPIES.items():
        if caught:
            assert max(distances(originals, [change(image) for image in originals])) <= 34, name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_table_of_levels_stretches_as_the_formula_does(dtype: type) -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        low, high = sorted(draw.integers(0, np.iinfo(dtype).max + 1, 2))
        film = draw.integers(low, high + 1, draw.integers(1, 100, 2)).astype(dtype)
        values = film.astype(np.float32)
        spread = np.round((values - values.min()) * (255 / max(float(values.max() - values.min()), 1.0)))
        wanted = Image.fromarray(spread.astype(np.uint8)).resize((64, 64), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(small_picture(film), wanted)


def test_the_hashes_of_all_orientations_are_imagehashs_own() -> None:
    flat = [np.full((64, 64), level, np.uint8) for level in (0, 1, 255)]
    steps = [np.tile(np.arange(64, dtype=np.uint8), (64, 1)), np.eye(64, dtype=np.uint8)]  # many coefficients are 0
    for small in [small_picture(np.asarray(image)) for image in films(40)] + flat + steps:
        theirs = [imagehash.phash(Image.fromarray(way), hash_size=16).hash.ravel() for way in orientations(small)]
        np.testing.assert_array_equal(np.unpackbits(perceptual_hashes(small), axis=1).astype(bool), theirs)


def test_many_empty_films_are_as_many_pairs_and_not_their_square() -> None:
    hashes = np.repeat(perceptual_hashes(small_picture(np.zeros((40, 40), np.uint8)))[None], 3000, axis=0)
    assert near_pairs(hashes, 32) == [(0, i, 0) for i in range(1, 3000)]


def test_groups_join_patients_by_their_copies() -> None:
    assert groups(["c", "a", "b", "c", "d"], []) == ["c", "a", "b", "c", "d"]
    assert groups(["c", "a", "b", "c", "d"], [(1, 3), (0, 2)]) == ["a", "a", "a", "a", "d"]


def test_the_pixel_hash_tells_size_depth_and_values_apart() -> None:
    one = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert len({pixel_hash(p) for p in (one, one.reshape(4, 3), one.astype(np.uint16), one + 1)}) == 4
    assert pixel_hash(one) == pixel_hash(one.copy())


@pytest.mark.slow
@needs(GRAZPEDWRI)
def test_twenty_thousand_patients_of_graz_group_and_split_in_seconds() -> None:
    from stages.annotate.params import Drawn
    from stages.annotate.split import assign
    from stages.ingest.sources.film_tables import table_rows

    rows = table_rows(GRAZPEDWRI.read_bytes())
    assert len(rows) == 20_327
    frame = pd.DataFrame(
        {
            "image_id": list(rows),
            "group": groups([row["patient_id"] for row in rows.values()], []),
            "source": "graz",
            "fracture": [row["fracture_visible"] == "1" for row in rows.values()],
            "split": "",
        }
    )
    assert frame["group"].nunique() == 6_091
    side = assign(frame, Drawn(seed=1, train=15_000, test=5_000, validation=2_000))
    assert side.value_counts().to_dict() == {"train": 13_000, "test": 5_000, "validation": 2_000, "unused": 327}
    assert frame.groupby("group")["image_id"].size().sum() == 20_327
    both = side.replace("validation", "train").groupby(frame["group"]).agg(set)
    assert not any({"train", "test"} <= sides for sides in both)


def test_a_film_that_lacks_its_lower_part_meets_its_whole_copy_by_the_upper_part() -> None:
    whole = [np.asarray(image) for image in films(5)]
    cut = whole[2].copy()
    cut[len(cut) * 2 // 3 :] = 128
    smalls = np.stack([small_picture(pixels) for pixels in [*whole, cut]])
    assert near_pairs(np.stack([perceptual_hashes(small) for small in smalls]), 32) == []
    missing = [0.0] * 5 + [1 / 3]
    heights = cut_heights(missing)
    upper = np.stack([upper_hashes(small, heights) for small in smalls])
    (pair,) = pairs_with_missing_rows(upper, heights, missing, 32)
    assert pair[:2] == (2, 5)
    assert cut_heights([0.0] * 5 + [0.9]) == [], "too little is left"
    assert cut_heights([0.0] * 6) == []
