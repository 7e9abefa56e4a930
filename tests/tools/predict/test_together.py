"""Films of several threads in one forward pass."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from stages.common.model.architecture import Pyramid
from stages.common.model.network import build, predict_logits
from tools.predict.together import ROOM, Together

FILMS = np.random.default_rng(0).integers(1, 256, (40, 1, 32, 32), np.uint8)


def test_films_that_wait_are_computed_at_once_and_each_thread_gets_its_own() -> None:
    passes = []

    def slow(films: np.ndarray) -> np.ndarray:
        passes.append(int((films.max(axis=(1, 2, 3)) > 0).sum()))
        assert films.shape == (ROOM, 1, 32, 32)
        time.sleep(0.005)
        return films[:, 0].astype(np.float32)

    together = Together(slow)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(together, FILMS[:, None]))
    for film, logits in zip(FILMS, found, strict=True):
        np.testing.assert_array_equal(logits, film.astype(np.float32))
    assert sum(passes) == len(FILMS)
    assert len(passes) < len(FILMS)
    assert max(passes) <= ROOM
    passes.clear()
    np.testing.assert_array_equal(together(FILMS[:11]), FILMS[:11, 0])
    assert passes == [8, 3]


def test_a_film_gets_the_same_bits_alone_and_in_any_company() -> None:
    torch.manual_seed(0)
    network = build(Pyramid(channels=[16, 8, 8]))
    together = Together(lambda films: predict_logits(network, films, ROOM).numpy())
    alone = together(FILMS[:1])[0]
    for place in range(ROOM):
        np.testing.assert_array_equal(together(np.roll(FILMS[:ROOM], place, axis=0))[place], alone)
    assert np.abs(alone - predict_logits(network, FILMS[:1])[0].numpy()).max() < 1e-5


def test_an_error_reaches_each_whose_film_was_in_that_pass_and_no_other() -> None:
    def fails_once(films: np.ndarray) -> np.ndarray:
        if films.max() == 255:
            raise ValueError("a bad pass")
        return films[:, 0].astype(np.float32)

    together, good = Together(fails_once), np.minimum(FILMS, 254)
    with pytest.raises(ValueError, match="a bad pass"):
        together(np.full((3, 1, 32, 32), 255, np.uint8))
    np.testing.assert_array_equal(together(good[:2]), good[:2, 0])
