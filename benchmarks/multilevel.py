"""Exact multilevel thresholding against scikit-image's search over all combinations, on one picture in one run.

Run: python benchmarks/multilevel.py
"""

from timeit import repeat

import numpy as np
from skimage.data import camera
from skimage.filters import threshold_multiotsu

from stages.threshold.multilevel import multilevel_thresholds


def best(work: str, **names: object) -> float:
    """The fastest of five calls, in seconds: noise on a shared machine only ever adds."""
    return min(repeat(work, number=1, repeat=5, globals=globals() | names))


if __name__ == "__main__":
    image = camera()
    print("classes  ours (ms)  scikit-image (ms)  ratio")
    for classes in (2, 3, 4, 5):
        ours = best(
            "multilevel_thresholds(np.bincount(image.ravel(), minlength=256), n, 'otsu')", image=image, n=classes
        )
        theirs = best("threshold_multiotsu(image, n)", image=image, n=classes)
        assert list(multilevel_thresholds(np.bincount(image.ravel()), classes, "otsu")) == list(
            threshold_multiotsu(image, classes)
        )
        print(f"{classes:7d} {ours * 1e3:10.1f} {theirs * 1e3:18.1f} {theirs / ours:6.1f}")
