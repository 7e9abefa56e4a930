"""Films of several threads in one forward pass of a GPU, which takes hardly longer for eight films than for one."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

import numpy as np

ROOM = 8  # films of a forward pass


class Together:
    """A network to which threads give films one by one, and which computes those that wait at the time at once.

    Every pass has the same shape, filled with black films where fewer wait: what a film gets does not depend on how
    many others there are. Nothing waits for a film that may come.
    """

    def __init__(self, network: Callable[[np.ndarray], np.ndarray]) -> None:
        """
        Args:
            network: uint8 films (8, C, H, W) to logits float32 (8, H, W).
        """
        self.network = network
        self.waiting = deque[tuple[np.ndarray, Future[np.ndarray]]]()
        self.turn = Lock()

    def __call__(self, films: np.ndarray) -> np.ndarray:
        """uint8 films (N, C, H, W) to logits float32 (N, H, W)."""
        futures = [Future[np.ndarray]() for _ in films]
        self.waiting.extend(zip(films, futures, strict=True))
        for future in futures:
            with self.turn:  # whoever comes next computes for all that wait, and finds most often that it is done
                while not future.done():
                    self.compute()
        return np.stack([future.result() for future in futures])

    def compute(self) -> None:
        """One pass over those that wait longest."""
        chosen = [self.waiting.popleft() for _ in range(min(ROOM, len(self.waiting)))]
        block = np.zeros((ROOM, *chosen[0][0].shape), np.uint8)
        block[: len(chosen)] = [film for film, _ in chosen]
        try:
            logits = self.network(block)
        except Exception as error:  # of each of these films, whose threads handle it
            for _, future in chosen:
                future.set_exception(error)
            return
        for (_, future), values in zip(chosen, logits[: len(chosen)], strict=True):
            future.set_result(values)
