"""Whether a prepared film looks like those that a network was trained on, by a rule that fits in a sentence.

A film is 16 numbers (grey, contrast, edges, symmetry, nine blocks), its distance Mahalanobis' from the training films;
it is unfamiliar when it lies half as far again as the furthest validation film. The rule sees photographs and blank
films; it cannot tell a wrist from another joint that is as bright in the same places.
"""

import numpy as np

from stages.common.data.records import Reference

BLOCK = 64  # films
BEYOND = 1.5  # times the furthest validation film


def features(films: np.ndarray) -> np.ndarray:
    """float64 (N, 16) of prepared films, uint8 (N, H, W)."""
    blocks = (films[start : start + BLOCK] for start in range(0, len(films), BLOCK))
    return np.concatenate([features_of_block(block) for block in blocks])


def features_of_block(films: np.ndarray) -> np.ndarray:
    """`features` of so few films that their pixels as float64 fit into memory."""
    grey = films.astype(np.float64) / 255
    height, width = grey.shape[1:]
    blocks = grey[:, : height // 3 * 3, : width // 3 * 3].reshape(len(grey), 3, height // 3, 3, width // 3)
    columns = [
        grey.mean((1, 2)),
        grey.std((1, 2)),
        (films == 0).mean((1, 2)),
        np.abs(np.diff(grey, axis=1)).mean((1, 2)),
        np.abs(np.diff(grey, axis=2)).mean((1, 2)),
        np.abs(grey - grey[:, ::-1]).mean((1, 2)),
        np.abs(grey - grey[:, :, ::-1]).mean((1, 2)),
    ]
    return np.column_stack([*columns, blocks.mean((2, 4)).reshape(len(grey), 9)])


def fit_reference(train: np.ndarray, validation: np.ndarray) -> Reference:
    """What `distances` needs: the training films' mean and precision matrix (Ledoit and Wolf 2004), and the limit.

    Args:
        train, validation: prepared films, uint8 (N, H, W).
    """
    from sklearn.covariance import LedoitWolf  # a second, and only training needs it

    of_train = features(train)
    scale = np.maximum(of_train.std(axis=0), 1e-3)
    precision = LedoitWolf().fit(of_train / scale).precision_ / np.outer(scale, scale)
    reference: Reference = {"mean": of_train.mean(axis=0).tolist(), "precision": precision.tolist(), "limit": 0.0}
    reference["limit"] = BEYOND * float(distances(validation, reference).max())
    return reference


def distances(films: np.ndarray, reference: Reference) -> np.ndarray:
    """How far prepared films lie from the training films; beyond `reference["limit"]` they are unfamiliar.

    Args:
        films: uint8 (N, H, W).
        reference: of `fit_reference`.
    Returns:
        float64 (N,), >= 0.
    """
    difference = features(films) - np.array(reference["mean"])
    return np.asarray(np.sqrt(np.einsum("ni,ij,nj->n", difference, np.array(reference["precision"]), difference)))
