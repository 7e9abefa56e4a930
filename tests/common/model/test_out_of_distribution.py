import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from skimage import data, transform

from stages.common.model.out_of_distribution import distances, features, fit_reference


def films(count: int, seed: int) -> np.ndarray:
    """A bright, slightly turned bar on black, as a limb is."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 48, 48))
    for film in found:
        film[4:44, 16:32] = rng.uniform(0.5, 0.9)
        film += rng.normal(0, 0.03, film.shape) * (film > 0)
    return np.stack([np.clip(transform.rotate(film, rng.uniform(-10, 10)), 0, 1) * 255 for film in found]).astype(
        np.uint8
    )


def test_films_like_those_of_training_are_familiar() -> None:
    learnt = fit_reference(films(60, 0), films(20, 1))
    assert (distances(films(200, 2), learnt) > learnt["limit"]).mean() < 0.01


@pytest.mark.parametrize("name", ["camera", "coins", "page", "moon", "brick"])
def test_photographs_are_not(name: str) -> None:
    learnt = fit_reference(films(60, 0), films(20, 1))
    picture = transform.resize(getattr(data, name)(), (48, 48), preserve_range=True).astype(np.uint8)
    assert distances(picture[None], learnt)[0] > learnt["limit"]


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_film_is_not(level: int) -> None:
    learnt = fit_reference(films(60, 0), films(20, 1))
    assert distances(np.full((1, 48, 48), level, np.uint8), learnt)[0] > learnt["limit"]


def test_the_distance_is_mahalanobis() -> None:
    learnt, other = fit_reference(films(60, 0), films(20, 1)), films(1, 5)
    expected = mahalanobis(features(other)[0], learnt["mean"], np.array(learnt["precision"]))
    assert distances(other, learnt)[0] == pytest.approx(expected)
