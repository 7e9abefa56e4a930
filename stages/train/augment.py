"""Augmentation whose every draw follows from (seed, epoch, film): a resumed or reordered run sees the same films."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.train.params import Augment


def augment(images: Tensor, masks: Tensor, draws: np.ndarray, settings: Augment) -> tuple[Tensor, Tensor]:
    """Flip, rotate, scale, shift and change the contrast of a batch on its own device.

    Args:
        images: float32 (N, 1, H, W) in -1..1; beyond the border lies -1, black.
        masks: float32 (N, 1, H, W) of 0 and 1.
        draws: float64 (N, 7) uniform in 0..1, from `draw`.
    Returns:
        both, transformed alike; masks stay 0 and 1 (nearest neighbour).
    """
    theta, gain, offset = (torch.from_numpy(part).to(images) for part in transforms(draws, settings))
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images + 1, grid, padding_mode="zeros", align_corners=False) - 1
    moved_masks = F.grid_sample(masks, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    changed = moved * gain[:, None, None, None] + offset[:, None, None, None]
    return changed.clamp(-1, 1).contiguous(memory_format=torch.channels_last), moved_masks


def draw(seed: int, epoch: int, films: np.ndarray) -> np.ndarray:
    """The random numbers of each film in an epoch, float64 (len(films), 7) in 0..1."""
    return np.stack([np.random.default_rng([seed, epoch, int(film)]).random(7) for film in films])


def transforms(draws: np.ndarray, settings: Augment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output-to-input affines float32 (N, 2, 3) in normalised coordinates, contrast gains and offsets float32 (N,)."""
    spread = 2 * draws - 1
    flip = np.where(draws[:, 0] < settings.flip, -1.0, 1.0)
    angle = np.deg2rad(settings.rotate_deg) * spread[:, 1]
    zoom = 1 / (1 + settings.scale * spread[:, 2])
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    # A shift is a share of the side, and the normalised side is 2 long.
    rows = [[cos * flip, -sin, 2 * settings.shift * spread[:, 3]], [sin * flip, cos, 2 * settings.shift * spread[:, 4]]]
    theta = np.stack([np.stack(row, axis=1) for row in rows], axis=1)
    gain = 1 + settings.contrast * spread[:, 5]
    return theta.astype(np.float32), gain.astype(np.float32), (settings.contrast * spread[:, 6]).astype(np.float32)
