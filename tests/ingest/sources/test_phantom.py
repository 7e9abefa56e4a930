import numpy as np
import pytest

from stages.ingest.params import Sample
from stages.ingest.sources.phantom import Fracture, PhantomFilm, ct_slice, draw_fracture, inflate, radiograph
from stages.ingest.sources.sample import draw, plan_films

BREAK = Fracture("radius", (6.0, 18.0), tilt=5, step=2.5, angulation=6, gap=1.4, visibility=1.0)


def film(fractures: list[Fracture], width: int = 200) -> PhantomFilm:
    rng = (np.random.default_rng([1, i]) for i in range(2))
    return radiograph(next(rng), next(rng), fractures, width)


def test_a_film_follows_from_its_seeds_alone() -> None:
    np.testing.assert_array_equal(film([BREAK]).density, film([BREAK]).density)
    plan = plan_films(16)[3]
    first, other = (draw(plan, Sample(seed=seed, films=16, width=96)).density for seed in (1, 2))
    assert not np.array_equal(first, other)


def test_a_break_changes_the_film_inside_its_box_most() -> None:
    whole, broken = film([]), film([BREAK])
    assert whole.boxes.shape == (0, 4)
    assert broken.boxes.shape == (1, 4)
    assert whole.density.shape == broken.density.shape, "the field must not depend on the fracture"
    left, top, right, bottom = broken.boxes[0].astype(int)
    change = np.abs(whole.density - broken.density)
    assert change[top:bottom, left:right].mean() > 4 * np.median(change[change > 0])


@pytest.mark.parametrize("bone", ["radius", "ulna", "scaphoid"])
def test_boxes_lie_on_the_film_and_are_no_slivers(bone: str) -> None:
    for seed in range(12):
        drawn = film([draw_fracture(bone, np.random.default_rng(seed))])
        height, width = drawn.density.shape
        for left, top, right, bottom in drawn.boxes:
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert min(right - left, bottom - top) >= 4


def test_density_is_a_picture() -> None:
    drawn = film([BREAK])
    assert drawn.density.dtype == np.float32
    assert drawn.density.min() >= 0
    assert drawn.density.max() <= 1
    assert drawn.side in "LR"
    assert 0.3 < drawn.spacing_mm < 0.7


def test_a_slice_shows_air_soft_tissue_and_cortex() -> None:
    drawn = ct_slice(np.random.default_rng(1), np.random.default_rng(2), [BREAK], 128)
    assert drawn.density[:10, :10].mean() == pytest.approx(-1000, abs=30)
    assert (np.abs(drawn.density - 55) < 60).mean() > 0.1
    assert drawn.density.max() > 900
    assert len(drawn.boxes) == 1


def test_inflate_gives_the_chord_of_a_circle() -> None:
    # 3 deep in a circle of radius 5 the chord is 2 sqrt(25 - 4)
    np.testing.assert_allclose(inflate(np.array([0.0, 3, 5, 9]), 5), [0, 2 * np.sqrt(21), 10, 10], rtol=1e-6)
