"""What a person looks at: the film with errors in colour."""

import cv2
import numpy as np

# Told apart with any colour vision, and on a grey film (Okabe and Ito 2008).
TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = (0, 158, 115), (230, 159, 0), (204, 121, 167)


def overlay(image: np.ndarray, *, mask_pred: np.ndarray, mask_ref: np.ndarray) -> np.ndarray:
    """The film with true positives green, false positives orange, false negatives purple; uint8 RGB (H, W, 3).

    Args:
        image: uint8 (H, W).
        mask_pred, mask_ref: bool (H, W).
    """
    colour = np.repeat(image[:, :, None], 3, axis=2).astype(np.float32)
    for where, paint in (
        (mask_pred & mask_ref, TRUE_POSITIVE),
        (mask_pred & ~mask_ref, FALSE_POSITIVE),
        (~mask_pred & mask_ref, FALSE_NEGATIVE),
    ):
        colour[where] = 0.45 * colour[where] + 0.55 * np.array(paint, np.float32)
    return np.round(colour).astype(np.uint8)


def outline(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The film with the border of a mask drawn in red: the paper's labelling; uint8 RGB (H, W, 3)."""
    colour = np.repeat(image[:, :, None], 3, axis=2)
    borders, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(colour, borders, -1, (220, 40, 40), 1)
