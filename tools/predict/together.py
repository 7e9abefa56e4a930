"""Films of several threads in one forward pass of a GPU, which takes hardly longer for eight films than for one."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

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
        self.one_pass_at_a_time = ThreadPoolExecutor(1)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        """uint8 films (N, C, H, W) to logits float32 (N, H, W)."""
        futures = [Future[np.ndarray]() for _ in films]
        self.waiting.extend(zip(films, futures, strict=True))
        for _ in films:  # more often than needed, as passes take several films: the others find none
            self.one_pass_at_a_time.submit(self.compute)
        return np.stack([future.result() for future in futures])

    def compute(self) -> None:
        """One pass over those that wait longest."""
        chosen = [self.waiting.popleft() for _ in range(min(ROOM, len(self.waiting)))]
        if not chosen:
            return
        try:
            block = np.zeros((ROOM, *chosen[0][0].shape), np.uint8)
            block[: len(chosen)] = [film for film, _ in chosen]
            logits = self.network(block)[: len(chosen)]
        except Exception as error:  # of each of these films, whose threads handle it
            for _, future in chosen:
                future.set_exception(error)
            return
        for (_, future), values in zip(chosen, logits, strict=True):
            future.set_result(values)
