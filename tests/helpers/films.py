"""Films that a network must be able to learn: dark, with one bright square each."""

import numpy as np

from stages.common.data.dataset import Films


def squares(count: int, seed: int, side: int = 32) -> Films:
    rng = np.random.default_rng(seed)
    images, masks = rng.integers(0, 90, (count, side, side), dtype=np.uint8), np.zeros((count, side, side), bool)
    size = 3 * side // 8
    for image, mask in zip(images, masks, strict=True):
        y, x = rng.integers(2, side - size - 2, 2)
        mask[y : y + size, x : x + size] = True
        image[mask] = rng.integers(160, 255, size * size)
    return Films([f"f{i}" for i in range(count)], images[:, None], masks)
