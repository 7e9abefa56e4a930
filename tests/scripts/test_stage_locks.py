"""Another version of a library reruns the stages whose output it decides, and no others."""

from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path

import pytest
from dvc.repo import Repo
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from scripts import stage_locks
from scripts.stage_locks import LOADED, NAME, NO_OUTPUT, UNUSED, canonical_pins
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tests.helpers.projects import make_project

PINS = canonical_pins(ROOT)
PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_depends_on_its_lock(stage: str) -> None:
    assert f"stages/{stage}" in PIPELINE[stage]["deps"]
    assert "requirements.lock" not in PIPELINE[stage]["deps"]


# An import at the top, one in a function, a need of an import, what is loaded without an import.
@pytest.mark.parametrize(
    ("stage", "inside", "outside"),
    [
        (
            "ingest",
            {"opencv-python-headless", "imagecodecs", "tifffile", "pylibjpeg-openjpeg"},
            {"torch", "matplotlib"},
        ),
        ("preprocess", {"opencv-python-headless", "numpy", "scipy", "pillow", "pyarrow"}, {"pydicom", "scikit-image"}),
        ("threshold", {"numpy", "pandas", "pillow", "opencv-python-headless"}, {"scipy"}),
        ("annotate", {"scikit-learn", "scipy", "pillow"}, {"torch"}),
        ("train", {"torch", "timm", "nvidia-cudnn-cu13", "triton", "sympy"}, {"jinja2", "nvidia-ml-py", "onnx"}),
        ("evaluate", {"torch", "scipy", "scikit-image"}, {"lightning-fabric", "matplotlib", "monai"}),
        ("report", {"matplotlib", "kiwisolver", "jinja2", "statsmodels"}, {"torch"}),
    ],
)
def test_a_lock_holds_what_decides_and_nothing_else(stage: str, inside: set[str], outside: set[str]) -> None:
    names = {canonicalize_name(line.partition("==")[0]) for line in lock_lines(ROOT, stage)}
    assert inside <= names
    assert not (outside | {"tqdm", "mlflow", "great-expectations", "pydantic", "dvc", "typer", "requests"}) & names


def lock_lines(root: Path, stage: str) -> list[str]:
    lines = (root / "stages" / stage / NAME).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_no_entry_of_the_tables_is_idle() -> None:
    reached = {name for stage in PIPELINE for name in reach(stage)}
    assert {name for names in NO_OUTPUT.values() for name in names} <= reached
    assert set(UNUSED) | set(LOADED) <= reached
    for library, names in UNUSED.items():
        assert set(names) <= {canonicalize_name(Requirement(text).name) for text in requires(library) or ()}, library
    for library, patterns in LOADED.items():
        assert all(any(fnmatch(name, pattern) for name in PINS) for pattern in patterns), library


def reach(stage: str) -> set[str]:
    """What a stage imports, its libraries, and what these need."""
    imported = stage_locks.imported_packages(ROOT, ROOT / "stages" / stage, stage_locks.module_packages(), PINS)
    chosen = stage_locks.libraries(imported, PINS)
    return imported | chosen | {need for name in chosen for need in stage_locks.needs(name, PINS)}


def test_a_module_that_no_pinned_package_provides_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages/one").mkdir(parents=True)
    for name in ("__main__", "main", "params"):
        (tmp_path / f"stages/one/{name}.py").write_text("def late():\n    import cv2.ximgproc\n")
    pins = {name: line for name, line in PINS.items() if name != "opencv-python-headless"}
    with pytest.raises(SystemExit, match=r"imports cv2, which no package of requirements\.lock provides"):
        stage_locks.stage_locks(tmp_path, pins)


def test_dvc_reruns_the_stages_whose_libraries_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real code and its real dependencies; the commands do nothing."""
    project = make_project(tmp_path, read_yaml(ROOT / "params.yaml"))
    code = {
        name: {"cmd": "true", "deps": [dep for dep in stage["deps"] if dep.startswith("stages/")]}
        for name, stage in PIPELINE.items()
    }
    with (project / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": code}, file)
    monkeypatch.chdir(project)
    with Repo() as repo:
        repo.reproduce()
    lock = project / "requirements.lock"
    text = lock.read_text()

    def changed(*names: str) -> set[str]:
        """The stages that DVC would run again with other versions of packages."""
        lines = text.splitlines()
        assert len([line for line in lines if line.startswith(tuple(f"{name}==" for name in names))]) == len(names)
        lock.write_text("".join(f"{other_version(line, names)}\n" for line in lines))
        stage_locks.main()
        with Repo() as repo:
            return set(repo.status())

    assert changed("opencv-python-headless") == set(code)  # it writes the pictures of all
    assert changed("imagecodecs") == {"ingest"}
    assert changed("nvidia-cudnn-cu13") == {"train", "evaluate"}
    assert changed("matplotlib") == {"report"}
    assert changed("tqdm", "typer", "mlflow", "dvc") == set()
    assert changed() == set()


def other_version(line: str, names: tuple[str, ...]) -> str:
    name, _, version = line.partition("==")
    return f"{name}=={version.split()[0]}.99 \\" if name in names else line
