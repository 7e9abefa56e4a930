"""Pictures that tests take of pages."""

from io import BytesIO

import numpy as np
from PIL import Image


def pixels(png: bytes) -> np.ndarray:
    """int (H, W, 3) of a screenshot."""
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)
