"""Augmentation whose every draw follows from (seed, epoch, film): a resumed or reordered run sees the same films."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stages.train.params import Augment

DRAWS = 11  # random numbers of a film: flip, angle, zoom, two shifts, gain, offset, up-down flip, gamma, two of noise


def augment(images: Tensor, masks: Tensor, changes: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Flip, rotate, scale, shift a batch on its own device, change its contrast and gamma, and add noise.

    Args:
        images: float32 (N, 1, H, W) in -1..1; beyond the border lies -1, black.
        masks: float32 (N, 1, H, W) of 0 and 1.
        changes: of `draw_changes`, on the same device.
    Returns:
        both, transformed alike; masks stay 0 and 1 (nearest neighbour).
    """
    grid = F.affine_grid(changes["theta"], list(images.shape), align_corners=False)
    moved = F.grid_sample(images + 1, grid, padding_mode="zeros", align_corners=False) - 1
    moved_masks = F.grid_sample(masks, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    gain, offset = (changes[name][:, None, None, None] for name in ("gain", "offset"))
    changed = (moved * gain + offset).clamp(-1, 1)
    if "exponents" in changes:
        changed = ((changed + 1) / 2) ** changes["exponents"][:, None, None, None] * 2 - 1
    if "noise" in changes:
        changed = (changed + changes["noise"]).clamp(-1, 1)
    return changed.contiguous(memory_format=torch.channels_last), moved_masks


def draw_changes(draws: np.ndarray, film: Sequence[int], settings: Augment) -> dict[str, Tensor]:
    """What `augment` does to each film, as float32 tensors on the CPU.

    What a strength of 0 leaves out changes no bit of the rest.

    Args:
        draws: float64 (N, DRAWS) uniform in 0..1, from `draw`.
        film: the shape of one, (C, H, W).
    Returns:
        theta (N, 2, 3), gain (N,), offset (N,), and where their strengths are above 0, exponents (N,) and noise
        (N, C, H, W).
    """
    theta, gain, offset = transforms(draws, settings)
    changes = {"theta": theta, "gain": gain, "offset": offset}
    if settings.gamma > 0:
        changes["exponents"] = np.exp(settings.gamma * (2 * draws[:, 8] - 1)).astype(np.float32)
    if settings.noise > 0:
        changes["noise"] = noise(draws, film, settings.noise)
    return {name: torch.from_numpy(values) for name, values in changes.items()}


def draw(seed: int, epoch: int, films: np.ndarray) -> np.ndarray:
    """The random numbers of each film in an epoch, float64 (len(films), DRAWS) in 0..1.

    A further one is drawn after all others, so that these stay what they are.
    """
    return np.stack([np.random.default_rng([seed, epoch, int(film)]).random(DRAWS) for film in films])


def noise(draws: np.ndarray, film: Sequence[int], strength: float) -> np.ndarray:
    """Gaussian noise for films in -1..1, float32 (N, *film).

    Args:
        draws: of `draw`; two of each film are its standard deviation and the seed of its pixels.
        film: the shape of one, (C, H, W).
        strength: the largest standard deviation, as a share of the grey scale, which is 2 wide.
    """
    fields = [
        2 * strength * row[9] * np.random.default_rng(int(row[10] * 2**53)).standard_normal(film, np.float32)
        for row in draws
    ]
    return np.stack(fields).astype(np.float32)


def transforms(draws: np.ndarray, settings: Augment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output-to-input affines float32 (N, 2, 3) in normalised coordinates, contrast gains and offsets float32 (N,)."""
    spread = 2 * draws - 1
    flip = np.where(draws[:, 0] < settings.flip, -1.0, 1.0)
    turn = np.where(draws[:, 7] < settings.flip_up_down, -1.0, 1.0)
    angle = np.deg2rad(settings.rotate_deg) * spread[:, 1]
    zoom = 1 / (1 + settings.scale * spread[:, 2])
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    # A shift is a share of the side, and the normalised side is 2 long.
    shifts = (2 * settings.shift * spread[:, 3], 2 * settings.shift * spread[:, 4])
    rows = [[cos * flip, -sin * turn, shifts[0]], [sin * flip, cos * turn, shifts[1]]]
    theta = np.stack([np.stack(row, axis=1) for row in rows], axis=1)
    gain = 1 + settings.contrast * spread[:, 5]
    return theta.astype(np.float32), gain.astype(np.float32), (settings.contrast * spread[:, 6]).astype(np.float32)
