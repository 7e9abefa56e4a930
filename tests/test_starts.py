"""Which slow libraries each start loads."""

import subprocess
import sys
from itertools import pairwise

import pytest

from tests.helpers.paths import ROOT

# What takes a tenth of a second or more to load, and which of it each start needs.
SLOW = {
    *("cv2", "distributed", "dvc.repo", "great_expectations", "highdicom", "lightning_fabric", "matplotlib", "mlflow"),
    *("onnxruntime", "pandas", "pydicom", "requests", "scipy", "segmentation_models_pytorch", "skimage", "sklearn"),
    *("statsmodels", "timm", "torch", "torchvision"),
}
MODEL = {"pandas", "scipy", "torch", "torchvision", "segmentation_models_pytorch", "timm"}
STARTS = {
    "stages": set(),
    "stages.ingest.main": {"cv2", "pandas", "scipy", "pydicom", "requests"},  # pydicom loads requests
    "stages.preprocess.main": {"cv2", "pandas"},
    "stages.threshold.main": {"pandas"},
    "stages.annotate.main": {"pandas", "scipy", "sklearn"},
    "stages.train.main": MODEL | {"lightning_fabric", "mlflow", "requests"},
    "stages.evaluate.main": MODEL | {"skimage"},
    "stages.report.main": {"cv2", "pandas", "scipy", "matplotlib", "skimage", "statsmodels"},
    "tools.command_line": set(),
    "tools.present": set(),
    "tools.predict.batch": {"cv2"},
    "tools.audit.page": {"pandas"},
    "tools.audit.compare": {"pandas"},
}


# A process loads one after the other, each of which may load all that those before it may.
ORDERS = (
    ("stages", "tools.command_line", "tools.present", "tools.audit.page", "tools.audit.compare"),
    ("stages.threshold.main", "stages.preprocess.main", "stages.ingest.main"),
    ("tools.predict.batch", "stages.report.main"),
    ("stages.annotate.main",),
    pytest.param(("stages.train.main",), marks=pytest.mark.slow),
    pytest.param(("stages.evaluate.main",), marks=pytest.mark.slow),
)


@pytest.mark.parametrize("modules", ORDERS)
def test_a_start_loads_no_slow_library_that_its_work_does_not_need(modules: tuple[str, ...]) -> None:
    """Each library that is new here makes every start longer, in sweeps hundreds of times."""
    script = "import sys" + "".join(f"\nimport {name}; print(*{SLOW} & set(sys.modules))" for name in modules)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    for name, loaded in zip(modules, done.stdout.splitlines(), strict=True):
        assert set(loaded.split()) <= STARTS[name], name


def test_every_start_is_looked_at_in_an_order_that_hides_nothing() -> None:
    orders = [getattr(order, "values", [order])[0] for order in ORDERS]
    assert sorted(name for order in orders for name in order) == sorted(STARTS)
    assert all(STARTS[before] <= STARTS[name] for order in orders for before, name in pairwise(order))
