"""Which slow libraries each start loads."""

import subprocess
import sys

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


@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.slow) if "torch" in STARTS[name] else name for name in STARTS]
)
def test_a_start_loads_no_slow_library_that_its_work_does_not_need(module: str) -> None:
    """Each library that is new here makes every start longer, in sweeps hundreds of times."""
    script = f"import sys, {module}; print(*sorted({SLOW} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= STARTS[module]
