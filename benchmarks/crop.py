"""What the crop keeps and removes on real films with annotated fractures (COCO), by the test's own measure.

Run: PYTHONPATH=. python benchmarks/crop.py FOLDER     (a folder with images/ and coco.json, as FracAtlas has them)
"""

# ruff: noqa: E402 - the arithmetic is chosen before any library is imported.
from stages.common.core.arithmetic import pin_instructions

pin_instructions(torch=True)

import sys
from pathlib import Path

import numpy as np

from tests.helpers.crop import removed

if __name__ == "__main__":
    print("| level | films | fractures kept whole | background removed, mean | median | films with over half removed |")
    print("|---|---|---|---|---|---|")
    for level, inverted in ((0.08, False), (0.12, False), (0.15, False), (0.15, True), (0.18, False), (0.22, False)):
        kept, total, gone = removed(Path(sys.argv[1]), level, inverted)
        name = f"{level}{', inverted films' if inverted else ''}"
        over = sum(share > 0.5 for share in gone)
        print(f"| {name} | {len(gone)} | {kept} of {total} | {np.mean(gone):.0%} | {np.median(gone):.0%} | {over} |")
